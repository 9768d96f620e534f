"""The small picture that may be kept of a face, for a person to look at or another encoder to read."""

from __future__ import annotations

import cv2
import numpy as np

from edge_runtime.types import Pixels

_ROOM = 0.5
"""Share of the face's longer side kept around it: the forehead's hair, and room for another detector's box."""
_MAX_SIDE_PX = 256
_QUALITY = 92


def cut(pixels: Pixels, xyxy: tuple[float, ...]) -> bytes:
    """A face with some room around it, as JPEG of at most 256 px a side.

    Args:
        pixels: uint8 (H, W, 3) RGB.
        xyxy: its box, px; it may reach beyond the picture.
    """
    left, top, right, bottom = xyxy
    room = _ROOM * max(right - left, bottom - top)
    height, width = pixels.shape[:2]
    x0, y0 = (min(max(int(value - room), 0), limit - 1) for value, limit in ((left, width), (top, height)))
    x1, y1 = (min(int(np.ceil(value + room)), limit) for value, limit in ((right, width), (bottom, height)))
    part: Pixels = pixels[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)]
    factor = _MAX_SIDE_PX / max(part.shape[:2])
    if factor < 1:
        part = np.asarray(cv2.resize(part, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA), np.uint8)
    _, data = cv2.imencode(".jpg", cv2.cvtColor(part, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return bytes(data.tobytes())
