"""Reads the chips file of a run: the same .npz, schema 1, that ``train.data.chips`` documents and writes.

The file is the contract between the two programs, as ``run.json`` is; a test holds both readers to the same chips.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import InputError
from edge_runtime.geometry.alignment import Template, align
from edge_runtime.types import Floats, Pixels

SCHEMA = 1


@dataclass(frozen=True)
class Chips:
    """Crops of faces, JPEG until they are asked for.

    Attributes:
        path: the file.
        names: (N,) str, the person of each face; empty where nobody knows.
        split: (N,) str, ``train``, ``select``, ``final`` or ``cohort``.
        landmarks: float32 (N, 5, 2), px of the crop.
        detector: name of the detector whose landmarks these are.
        source: what the photos are, in words.
        files: (N,) str, the photo of each face, relative to its folder; empty where the file does not say.
    """

    path: Path
    names: NDArray[np.str_]
    split: NDArray[np.str_]
    landmarks: Floats
    detector: str
    source: str
    files: NDArray[np.str_]
    _jpeg: NDArray[np.uint8] = field(repr=False)
    _offsets: NDArray[np.int64] = field(repr=False)

    @classmethod
    def load(cls, path: Path) -> Chips:
        """Open a chips file.

        Raises:
            InputError: nothing there, not a chips file, or of another schema.
        """
        if not path.is_file():
            raise InputError(f"{path}: expected a chips file, found none; name one with --chips")
        try:
            with np.load(path, allow_pickle=False) as archive:
                arrays: dict[str, NDArray[Any]] = {name: archive[name] for name in archive.files}
            meta = json.loads(str(arrays["meta"]))
            schema, detector, source = meta["schema"], str(meta["detector"]), str(meta["source"])
            landmarks = arrays["landmarks"].astype(np.float32)
            chips = cls(
                path,
                arrays["names"],
                arrays["split"],
                landmarks,
                detector,
                source,
                arrays.get("paths", np.full(len(arrays["names"]), "")),
                arrays["jpeg"],
                arrays["offsets"],
            )
            whole = len(arrays["offsets"]) == len(chips.names) + 1 == len(chips.split) + 1 == len(landmarks) + 1
        except Exception as error:  # numpy and zipfile raise whatever a damaged archive leads them to
            raise InputError(
                f"{path}: expected a chips file, it cannot be read as one ({error}); "
                "make it again with python -m train prepare"
            ) from error
        if schema != SCHEMA or not whole:
            raise InputError(
                f"{path}: expected whole chips of schema {SCHEMA}, found schema {schema!r} and {len(chips.names)} "
                "names; make it again with python -m train prepare"
            )
        return chips

    def indices(self, split: str) -> NDArray[np.int64]:
        """Where the faces of one split are, int64 (n,)."""
        return np.flatnonzero(self.split == split).astype(np.int64)

    def aligned(self, indices: NDArray[np.int64], template: Template) -> Pixels:
        """Faces as a device would align them, uint8 (n, h, w, 3) RGB.

        Raises:
            InputError: a crop that cannot be decoded.
        """
        width, height = template.size_wh
        chips = np.empty((len(indices), height, width, 3), np.uint8)
        for chip, index in zip(chips, indices, strict=True):
            data = self._jpeg[self._offsets[index] : self._offsets[index + 1]]
            pixels = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
            if pixels is None:
                raise InputError(f"{self.path}: crop {index} cannot be decoded; run python -m train prepare again")
            rgb = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)
            chip[:] = align(rgb, self.landmarks[index][None], template)[0]
        return chips
