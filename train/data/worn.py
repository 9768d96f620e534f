"""What people wear in front of a face, drawn on aligned chips: dark glasses, and a mask over nose and mouth."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_runtime.types import Floats, Pixels

Outlines = list[NDArray[np.float64]]
"""Polygons, each (n, 2), x and y as shares of a chip's width and height."""
_EYES = ((0.33, 0.46), (0.67, 0.46))
"""Where an aligned chip has them."""


def glasses(rng: np.random.Generator) -> Outlines:
    """Two lenses, between circle and box, and a bridge."""
    turn = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    rim = np.stack([np.cos(turn), np.sin(turn)], 1)
    rim = np.sign(rim) * np.abs(rim) ** rng.uniform(0.5, 1) * rng.uniform((0.12, 0.08), (0.16, 0.13))
    shift = rng.normal(0, 0.015, 2)
    left, right = (np.add(eye, shift) for eye in _EYES)
    thick = np.array([0, rng.uniform(0.01, 0.03)])
    return [rim + left, rim + right, np.array([left - thick, right - thick, right + thick, left + thick])]


def mask(rng: np.random.Generator) -> Outlines:
    """From the bridge of the nose to below the chin."""
    bridge, side = rng.uniform(0.52, 0.66), rng.uniform(0.6, 0.72)
    narrow = rng.uniform(0.05, 0.18)
    outline = [(narrow, side), (0.5, bridge), (1 - narrow, side), (0.8, 1.0), (0.2, 1.0)]
    return [np.array(outline) + rng.normal(0, 0.01, 2)]


def draw(chip: Pixels | Floats, worn: Outlines, colour: Sequence[float]) -> None:
    """Fill ``worn`` on one chip (h, w, 3), uint8 or float32 RGB, in place with a plain colour, 0..255."""
    height, width = chip.shape[:2]
    for part in worn:
        # One by one: filled together, polygons leave out what both cover. OpenCV takes sixteenths of a pixel.
        points = np.rint(part * (width, height) * 16).astype(np.int32)
        cv2.fillPoly(chip, [points], list(colour), cv2.LINE_8, 4)
