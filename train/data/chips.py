"""Cuts faces out of photos and writes the chips file; ``edge_runtime.pictures.chips`` says what it is and reads it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_runtime.bundle.preprocessing import Preprocessing, preprocessing_hash
from edge_runtime.geometry.alignment import similarity, warp
from edge_runtime.pictures.chips import CROP_TEMPLATE, Chips
from edge_runtime.types import Floats, Pixels
from train.data.archive import encoded, write_archive


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
