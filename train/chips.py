"""The chips file: aligned faces with context around them, in one .npz that any recipe can train from.

A crop is the device's own alignment to the ArcFace template with 24 px more on each side, so that a recipe can
align again at its own size, and jitter, without the photos.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_runtime.align import Template, align, similarity, warp
from edge_runtime.bundle import file_digest, preprocessing_hash
from edge_runtime.encoder import Preprocessing
from edge_runtime.errors import InputError
from edge_runtime.types import Floats, Pixels
from train.files import replacing

SCHEMA = 1
CONTEXT_PX = 24
CROP_TEMPLATE = Template.arcface(112 + 2 * CONTEXT_PX, -CONTEXT_PX)
"""Alignment of a stored crop: 160x160, the face at the scale of the 112x112 ArcFace chip."""
SPLITS = ("train", "select", "final", "cohort")
"""``train`` fits, ``select`` chooses, ``final`` measures last, ``cohort`` is for strangers alone."""
_JPEG_QUALITY = 95


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
    _, data = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    moved = landmarks @ matrix[:, :2].T + matrix[:, 2]
    return Crop(data.tobytes(), moved.astype(np.float32))


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
    sizes = np.array([len(crop.jpeg) for crop in crops], np.int64)
    meta = {"schema": SCHEMA, "detector": detector, "preprocessing_hash": crop_hash(detector), "source": source}
    # A file object, not a name: numpy would add .npz to a name without it.
    with replacing(path) as draft, draft.open("wb") as stream:
        np.savez(
            stream,
            jpeg=np.frombuffer(b"".join(crop.jpeg for crop in crops), np.uint8),
            offsets=np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)]),
            landmarks=np.stack([crop.landmarks for crop in crops]),
            names=np.array(names, np.str_),
            split=np.array(split, np.str_),
            paths=np.array(paths, np.str_),
            meta=np.array(json.dumps(meta)),
        )


class Chips:
    """A chips file in memory: crops stay JPEG until they are asked for.

    Attributes:
        path: the file.
        names: (N,) str, the person of each face; empty where nobody knows.
        split: (N,) str, one of ``SPLITS``.
        paths: (N,) str, where each came from, relative, POSIX.
        landmarks: float32 (N, 5, 2), px of the crop.
        detector: name of the detector whose landmarks these are.
        source: what the photos are, in words.
        preprocessing_hash: sha256 of detector and crop template.
    """

    def __init__(self, path: Path, arrays: dict[str, NDArray[Any]], meta: dict[str, Any]) -> None:
        self.path = path
        self.names = arrays["names"]
        self.split = arrays["split"]
        self.paths = arrays["paths"]
        self.landmarks: Floats = arrays["landmarks"].astype(np.float32)
        self.detector = str(meta["detector"])
        self.source = str(meta["source"])
        self.preprocessing_hash = str(meta["preprocessing_hash"])
        self._jpeg, self._offsets = arrays["jpeg"], arrays["offsets"]

    def __len__(self) -> int:
        return len(self.names)

    def sha256(self) -> str:
        """sha256 (hex) of the file as it is on disk."""
        return file_digest(self.path)[0]

    def indices(self, split: str) -> NDArray[np.int64]:
        """Where the faces of one split are, int64 (n,)."""
        return np.flatnonzero(self.split == split).astype(np.int64)

    def crop(self, index: int) -> Pixels:
        """One stored crop, uint8 (160, 160, 3) RGB."""
        data = self._jpeg[self._offsets[index] : self._offsets[index + 1]]
        pixels = cv2.imdecode(data, cv2.IMREAD_COLOR)
        if pixels is None:
            raise InputError(f"{self.path}: crop {index} cannot be decoded; run python -m train prepare again")
        return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)

    def aligned(self, indices: Sequence[int] | NDArray[np.int64], template: Template) -> Pixels:
        """Faces as a device would align them, uint8 (n, h, w, 3) RGB."""
        width, height = template.size_wh
        chips = np.empty((len(indices), height, width, 3), np.uint8)
        for chip, index in zip(chips, indices, strict=True):
            chip[:] = align(self.crop(int(index)), self.landmarks[index][None], template)[0]
        return chips


def load_chips(path: str | Path) -> Chips:
    """Open a chips file.

    Raises:
        InputError: nothing there, not a chips file, or of another version.
    """
    file = Path(path)
    if not file.is_file():
        raise InputError(f"{file}: expected a chips file, found none; make one with python -m train prepare")
    try:
        with np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        meta = json.loads(str(arrays["meta"]))
        if meta["schema"] != SCHEMA:
            raise InputError(f"{file}: expected chips of schema {SCHEMA}, found {meta['schema']!r}; make it again")
        chips = Chips(file, arrays, meta)
        count = len(chips.names)
        if not len(chips.split) == len(chips.paths) == len(chips.landmarks) == len(arrays["offsets"]) - 1 == count:
            raise KeyError("arrays of different lengths")
    except InputError:
        raise
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, TypeError) as error:
        raise InputError(f"{file}: expected a chips file, it cannot be read as one ({error}); make it again") from error
    return chips
