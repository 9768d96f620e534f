"""The chips file: aligned faces with context around them, in one .npz that any recipe can train from.

A crop is the device's own alignment to the ArcFace template with 24 px more on each side, so that a recipe can
align again at its own size, and jitter, without the photos.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_runtime.bundle.manifest import preprocessing_hash
from edge_runtime.bundle.preprocessing import Preprocessing
from edge_runtime.geometry.alignment import Template, align, similarity, warp
from edge_runtime.types import Floats, Pixels
from train.data.archive import Kind, PictureArchive, encoded, write_archive

CONTEXT_PX = 24
CROP_TEMPLATE = Template.arcface(112 + 2 * CONTEXT_PX, -CONTEXT_PX)
"""Alignment of a stored crop: 160x160, the face at the scale of the 112x112 ArcFace chip."""


def crop_hash(detector: str) -> str:
    """sha256 of what shapes a crop: detector and template, plain RGB values."""
    return preprocessing_hash(Preprocessing("rgb", (0.0,) * 3, (1.0,) * 3, CROP_TEMPLATE), detector)


@dataclass(frozen=True)
class Crop:
    """One face, ready to be stored.

    Attributes:
        jpeg: the 160x160 crop, JPEG.
        landmarks: float32 (5, 2), px of the crop.
    """

    jpeg: bytes
    landmarks: Floats


def make_crop(pixels: Pixels, landmarks: Floats) -> Crop:
    """Cut one face out of a picture.

    Args:
        pixels: uint8 (H, W, 3) RGB.
        landmarks: float32 (5, 2), px.

    Raises:
        InputError: landmarks that coincide.
    """
    matrix = similarity(landmarks, CROP_TEMPLATE.as_array())
    pixels = warp(pixels, matrix, CROP_TEMPLATE.size_wh)
    moved = landmarks @ matrix[:, :2].T + matrix[:, 2]
    return Crop(encoded(pixels), moved.astype(np.float32))


def write_chips(
    path: str | Path,
    crops: Sequence[Crop],
    names: Sequence[str],
    split: Sequence[str],
    paths: Sequence[str],
    detector: str,
    source: str,
) -> None:
    """Write a chips file whole or not at all.

    Args:
        path: the .npz file.
        crops: one a face.
        names: the person of each; empty where nobody knows.
        split: one of ``SPLITS`` for each.
        paths: where each came from, relative, POSIX.
        detector: name of the detector whose landmarks these are.
        source: what the photos are, in words; it travels into a model's card.
    """
    meta = {"detector": detector, "preprocessing_hash": crop_hash(detector), "source": source}
    landmarks = np.stack([crop.landmarks for crop in crops])
    jpegs = [crop.jpeg for crop in crops]
    write_archive(path, Chips.kind, jpegs, (names, split, paths), meta, {"landmarks": landmarks})


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
