"""The small picture that may be kept of a face: for a person to look at, or for another encoder to read."""

from __future__ import annotations

import cv2
import numpy as np

from edge_runtime.types import Floats, Pixels

CROP_PX = 160
"""Longer side at most: a person is recognised in it, and it takes about 5 kB."""
_MARGIN = 0.25
_QUALITY = 90


def face_crop(pixels: Pixels, xyxy: Floats, margin: float = _MARGIN, side_px: int = CROP_PX) -> bytes | None:
    """A JPEG of a face with some room around it.

    Args:
        pixels: uint8 (H, W, 3) RGB.
        xyxy: float32 (4,), the face's box, px; may reach beyond the picture.
        margin: room on each side, in shares of the box.
        side_px: longer side of the crop at most.

    Returns:
        The file's bytes; None where the box lies outside the picture.
    """
    reach = margin * (xyxy[2:] - xyxy[:2])
    left, top = np.maximum(np.floor(xyxy[:2] - reach), 0).astype(int)
    right, bottom = np.minimum(np.ceil(xyxy[2:] + reach), (pixels.shape[1], pixels.shape[0])).astype(int)
    if right <= left or bottom <= top:
        return None
    crop = pixels[top:bottom, left:right]
    scale = min(side_px / max(crop.shape[:2]), 1.0)
    if scale < 1:
        size_wh = (max(round(crop.shape[1] * scale), 1), max(round(crop.shape[0] * scale), 1))
        crop = np.asarray(cv2.resize(crop, size_wh, interpolation=cv2.INTER_AREA), np.uint8)
    done, data = cv2.imencode(".jpg", cv2.cvtColor(crop, cv2.COLOR_RGB2BGR), (cv2.IMWRITE_JPEG_QUALITY, _QUALITY))
    return bytes(data) if done else None
