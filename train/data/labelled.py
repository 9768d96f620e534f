"""The labelled-photos file: whole photos with the faces in them, in one .npz that detector recipes train from."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edge_runtime.pictures.archive import Kind, PictureArchive
from edge_runtime.types import Detections, Floats, Pixels
from train.data.archive import bounds, write_archive

_MIRRORED = [1, 0, 2, 4, 3]
"""Order of the landmarks in a mirrored picture."""
_REDUCED = {2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4}


@dataclass(frozen=True)
class LabelledPhoto:
    """One photo, ready to be stored.

    Attributes:
        jpeg: the photo, upright, JPEG.
        faces: every face in it; ``score`` is the labeller's own sureness in 0..1, landmarks may be NaN.
    """

    jpeg: bytes
    faces: Detections


def write_labelled(
    path: str | Path,
    photos: Sequence[LabelledPhoto],
    names: Sequence[str],
    split: Sequence[str],
    paths: Sequence[str],
    labeller: str,
    source: str,
) -> None:
    """Write a labelled-photos file whole or not at all.

    Args:
        path: the .npz file.
        photos: pictures and their faces.
        names: the person of each; empty where nobody knows.
        split: one of ``archive.SPLITS`` for each.
        paths: where each came from, relative, POSIX.
        labeller: who labelled them, in words; it travels into a model's card.
        source: what the photos are, in words; likewise.
    """
    write_archive(
        path,
        LabelledPhotos.kind,
        [photo.jpeg for photo in photos],
        (names, split, paths),
        {"labeller": labeller, "source": source},
        {
            "face_offsets": bounds([len(photo.faces) for photo in photos]),
            "xyxy": np.concatenate([photo.faces.xyxy for photo in photos]),
            "score": np.concatenate([photo.faces.score for photo in photos]),
            "landmarks": np.concatenate([photo.faces.landmarks for photo in photos]),
        },
    )


class LabelledPhotos(PictureArchive):
    """A labelled-photos file in memory; what ``PictureArchive`` has, and:

    Attributes:
        labeller: who labelled them, in words.
    """

    kind = Kind("a file of labelled photos", "python -m train label", 1, (), ("face_offsets",))

    def __init__(self, path: Path, arrays: dict[str, NDArray[Any]], meta: dict[str, Any]) -> None:
        super().__init__(path, arrays, meta)
        self.labeller = str(meta["labeller"])
        self._face_offsets = arrays["face_offsets"]
        self._small: dict[tuple[int, int], Pixels] = {}
        self._faces = Detections(arrays["xyxy"], arrays["score"], arrays["landmarks"])

    def faces(self, index: int) -> Detections:
        """The faces of one photo, px of the photo."""
        return self._faces[self._face_offsets[index] : self._face_offsets[index + 1]]

    def pixels(self, index: int, reduce: int = 1) -> Pixels:
        """One photo, uint8 (H, W, 3) RGB.

        Args:
            index: which.
            reduce: 1, 2 or 4: decode at that fraction of the size, which is quicker and antialiased; kept in memory.
        """
        if reduce == 1:
            return self.decoded(index)
        if (index, reduce) not in self._small:
            self._small[index, reduce] = self.decoded(index, _REDUCED[reduce])
        return self._small[index, reduce]

    def largest_share(self, index: int) -> float:
        """Width of the largest face of one photo as a share of the photo's; 0 without a face."""
        faces = self.faces(index)
        if not len(faces):
            return 0.0
        with Image.open(io.BytesIO(self.jpeg(index).tobytes())) as photo:
            return float(faces.width.max()) / photo.width


def scaled(faces: Detections, factor: float) -> Detections:
    """Faces of a picture made ``factor`` times as large; pixel centres stay at whole numbers."""
    shift = np.float32((factor - 1) / 2)
    factor32 = np.float32(factor)
    return Detections(
        _float32(faces.xyxy * factor32 + shift), faces.score, _float32(faces.landmarks * factor32 + shift)
    )


def mirrored(faces: Detections, about_x: float) -> Detections:
    """Faces of a picture mirrored about the column ``about_x``, px; right and left stay the subject's."""
    xyxy = faces.xyxy.copy()
    xyxy[:, [0, 2]] = 2 * about_x - faces.xyxy[:, [2, 0]]
    landmarks = faces.landmarks[:, _MIRRORED].copy()
    landmarks[..., 0] = 2 * about_x - landmarks[..., 0]
    return Detections(xyxy, faces.score, landmarks)


def _float32(values: NDArray[Any]) -> Floats:
    return np.asarray(values, np.float32)
