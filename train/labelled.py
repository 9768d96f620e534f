"""The labelled-photos file: whole photos with the faces in them, in one .npz that detector recipes train from."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edge_runtime.bundle import file_digest
from edge_runtime.errors import InputError
from edge_runtime.types import Detections, Floats, Pixels
from train.files import replacing

SCHEMA = 1
_MIRRORED = [1, 0, 2, 4, 3]
"""Order of the landmarks in a mirrored picture."""
_REDUCED = {1: cv2.IMREAD_COLOR, 2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4}


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
        split: one of ``chips.SPLITS`` for each.
        paths: where each came from, relative, POSIX.
        labeller: who labelled them, in words; it travels into a model's card.
        source: what the photos are, in words; likewise.
    """
    meta = {"schema": SCHEMA, "labeller": labeller, "source": source}
    with replacing(path) as draft, draft.open("wb") as stream:
        np.savez(
            stream,
            jpeg=np.frombuffer(b"".join(photo.jpeg for photo in photos), np.uint8),
            offsets=_offsets([len(photo.jpeg) for photo in photos]),
            face_offsets=_offsets([len(photo.faces) for photo in photos]),
            xyxy=np.concatenate([photo.faces.xyxy for photo in photos]),
            score=np.concatenate([photo.faces.score for photo in photos]),
            landmarks=np.concatenate([photo.faces.landmarks for photo in photos]),
            names=np.array(names, np.str_),
            split=np.array(split, np.str_),
            paths=np.array(paths, np.str_),
            meta=np.array(json.dumps(meta)),
        )


class LabelledPhotos:
    """A labelled-photos file in memory: photos stay JPEG until they are asked for.

    Attributes:
        path: the file.
        names: (N,) str, the person of each photo; empty where nobody knows.
        split: (N,) str, one of ``chips.SPLITS``.
        paths: (N,) str, where each came from, relative, POSIX.
        labeller: who labelled them, in words.
        source: what the photos are, in words.
    """

    def __init__(self, path: Path, arrays: dict[str, NDArray[Any]], meta: dict[str, Any]) -> None:
        self.path = path
        self.names, self.split, self.paths = arrays["names"], arrays["split"], arrays["paths"]
        self.labeller, self.source = str(meta["labeller"]), str(meta["source"])
        self._jpeg, self._offsets = arrays["jpeg"], arrays["offsets"]
        self._face_offsets = arrays["face_offsets"]
        self._small: dict[tuple[int, int], Pixels] = {}
        self._faces = Detections(arrays["xyxy"], arrays["score"], arrays["landmarks"])

    def __len__(self) -> int:
        return len(self.names)

    def sha256(self) -> str:
        """sha256 (hex) of the file as it is on disk."""
        return file_digest(self.path)[0]

    def indices(self, split: str) -> NDArray[np.int64]:
        """Where the photos of one split are, int64 (n,)."""
        return np.flatnonzero(self.split == split).astype(np.int64)

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
            return self._decoded(index, reduce)
        if (index, reduce) not in self._small:
            self._small[index, reduce] = self._decoded(index, reduce)
        return self._small[index, reduce]

    def _decoded(self, index: int, reduce: int) -> Pixels:
        data = self._jpeg[self._offsets[index] : self._offsets[index + 1]]
        pixels = cv2.imdecode(data, _REDUCED[reduce])
        if pixels is None:
            raise InputError(f"{self.path}: photo {index} cannot be decoded; run python -m train label again")
        return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)

    def largest_share(self, index: int) -> float:
        """Width of the largest face of one photo as a share of the photo's; 0 without a face."""
        faces = self.faces(index)
        if not len(faces):
            return 0.0
        data = self._jpeg[self._offsets[index] : self._offsets[index + 1]].tobytes()
        with Image.open(io.BytesIO(data)) as photo:
            return float(faces.width.max()) / photo.width


def load_labelled(path: str | Path) -> LabelledPhotos:
    """Open a labelled-photos file.

    Raises:
        InputError: nothing there, not such a file, or of another version.
    """
    file = Path(path)
    if not file.is_file():
        raise InputError(f"{file}: expected labelled photos, found none; make them with python -m train label")
    try:
        with np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        meta = json.loads(str(arrays["meta"]))
        if meta["schema"] != SCHEMA:
            raise InputError(f"{file}: expected schema {SCHEMA}, found {meta['schema']!r}; label the photos again")
        photos = LabelledPhotos(file, arrays, meta)
        lengths = {len(photos), len(photos.split), len(photos.paths), *(len(arrays[k]) - 1 for k in _OFFSETS)}
        if len(lengths) > 1:
            raise KeyError("arrays of different lengths")
    except InputError:
        raise
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, TypeError) as error:
        raise InputError(
            f"{file}: expected labelled photos of python -m train label, it cannot be read as such ({error})"
        ) from error
    return photos


_OFFSETS = ("offsets", "face_offsets")


def _offsets(sizes: Sequence[int]) -> NDArray[np.int64]:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(np.array(sizes, np.int64), dtype=np.int64)])


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
