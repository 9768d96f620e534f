"""Parts of a picture that are searched closely, because shrunk whole it shows small faces no more.

As in an image pyramid (Adelson et al., 1984) the picture is searched at several scales, each cut into windows that
overlap and that are shown to the network in its own size.
"""

from __future__ import annotations

import math

import numpy as np

from edge_runtime.types import NOWHERE, Windows

OVERLAP = 0.25
"""Share of a window's sides that it has in common with its neighbour: a face of that size is whole in one of them."""
_STEP = 3.6
"""From one scale to the next: a face too large for the overlap is large enough for the network at the next scale."""
_CLOSER = 1.5
"""No windows where they would show little more than the whole picture does."""
_MOST = 128
"""Windows of one picture; of larger pictures they show less."""


def cover(shape_hw: tuple[int, ...], size_wh: tuple[int, int], closest: float) -> Windows:
    """Windows that cover a picture at every scale between the whole, shrunk to the network's size, and the closest.

    Args:
        shape_hw: the picture's height and width, px.
        size_wh: the network's width and height, px.
        closest: how many times the windows of the closest scale are to be shrunk, at least 1.

    Returns:
        int64 (N, 4), xyxy px, N at most 128, the closest first; N is 0 where the whole picture is close enough.
    """
    height, width = shape_hw[:2]
    whole = max(width / size_wh[0], height / size_wh[1])
    while True:
        if whole <= _CLOSER * closest:
            return NOWHERE
        scales = math.ceil(math.log(whole / closest) / math.log(_STEP) - 1e-9)
        step = (whole / closest) ** (1 / scales)
        windows = [row for k in range(scales) for row in _at((width, height), size_wh, closest * step**k)]
        if len(windows) <= _MOST:
            return np.array(windows, np.int64)
        closest *= 1.1


def _at(picture_wh: tuple[int, int], size_wh: tuple[int, int], shrink: float) -> list[tuple[int, int, int, int]]:
    """The windows of one scale, row by row."""
    w, h = (min(round(side * shrink), most) for side, most in zip(size_wh, picture_wh, strict=True))
    columns, rows = _starts(picture_wh[0], w), _starts(picture_wh[1], h)
    return [(left, top, left + w, top + h) for top in rows for left in columns]


def _starts(length: int, size: int) -> list[int]:
    """Where pieces of ``size`` begin that cover ``length`` and overlap."""
    count = max(math.ceil((length - size) / (size * (1 - OVERLAP))) + 1, 1)
    return [round(k * (length - size) / max(count - 1, 1)) for k in range(count)]
