"""A picture with its faces marked, for people to look at."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from edge_runtime.drawing.contact_sheet import GREEN, GREY, RED, Tile, annotated
from edge_runtime.types import Pixels

_COLOURS = {"identified": GREEN, "unknown": RED}


def draw_faces(
    pixels: Pixels,
    faces: Sequence[tuple[Sequence[float], str, str]],
    longest_side_px: float = math.inf,
    least_side_px: float = 0.0,
) -> Pixels:
    """Draw a box and a label for each face, uint8 (H, W, 3) RGB.

    Args:
        pixels: uint8 (H, W, 3) RGB.
        faces: box xyxy px, label, and state (``identified``, ``unknown``, or another, which is drawn grey) each.
        longest_side_px: a picture with a longer side is reduced to it.
        least_side_px: one whose longer side is shorter is enlarged to it, so that labels find room.
    """
    boxes = tuple(
        ((float(box[0]), float(box[1]), float(box[2]), float(box[3])), label, _COLOURS.get(state, GREY))
        for box, label, state in faces
    )
    height, width = pixels.shape[:2]
    longest = max(width, height)
    scale = min(max(longest, least_side_px), longest_side_px) / longest
    size_wh = max(round(width * scale), 1), max(round(height * scale), 1)
    return np.asarray(annotated(Tile(pixels, boxes, "", ""), *size_wh), np.uint8)
