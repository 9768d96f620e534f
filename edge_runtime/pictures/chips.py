"""Reads the chips file: aligned faces with context around them, in one .npz that any recipe can train from.

A crop is the device's own alignment to the ArcFace template with 24 px more on each side, so that a recipe can
align again at its own size, and jitter, without the photos. ``python -m train prepare`` writes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_runtime.geometry.alignment import Template, align
from edge_runtime.pictures.archive import Kind, PictureArchive
from edge_runtime.types import Floats, Pixels

CONTEXT_PX = 24
CROP_TEMPLATE = Template.arcface(112 + 2 * CONTEXT_PX, -CONTEXT_PX)
"""Alignment of a stored crop: 160x160, the face at the scale of the 112x112 ArcFace chip."""


class Chips(PictureArchive):
    """A chips file in memory; what ``PictureArchive`` has, and:

    Attributes:
        landmarks: float32 (N, 5, 2), px of the crop.
        detector: name of the detector whose landmarks these are.
        preprocessing_hash: sha256 of detector and crop template.
    """

    kind = Kind("a chips file", "python -m train prepare", 1, ("landmarks",))

    def __init__(self, path: Path, arrays: dict[str, NDArray[Any]], meta: dict[str, Any]) -> None:
        super().__init__(path, arrays, meta)
        self.landmarks: Floats = arrays["landmarks"].astype(np.float32)
        self.detector = str(meta["detector"])
        self.preprocessing_hash = str(meta["preprocessing_hash"])

    def crop(self, index: int) -> Pixels:
        """One stored crop, uint8 (160, 160, 3) RGB; one that was packed smaller is enlarged."""
        pixels = self.decoded(index)
        if pixels.shape[:2] != CROP_TEMPLATE.size_wh:
            pixels = np.asarray(cv2.resize(pixels, CROP_TEMPLATE.size_wh, interpolation=cv2.INTER_LINEAR), np.uint8)
        return pixels

    def aligned(self, indices: Sequence[int] | NDArray[np.int64], template: Template) -> Pixels:
        """Faces as a device would align them, uint8 (n, h, w, 3) RGB."""
        width, height = template.size_wh
        chips = np.empty((len(indices), height, width, 3), np.uint8)
        for chip, index in zip(chips, indices, strict=True):
            chip[:] = align(self.crop(int(index)), self.landmarks[index][None], template)[0]
        return chips
