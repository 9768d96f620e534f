"""Reads pictures and what is known of them in one .npz: what chips files and files of labelled photos have in common.

A device needs neither. Both desktop programs do, ``train`` which writes them and ``convert``, and this is the package
that both may import.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import InputError
from edge_runtime.types import Pixels

SPLITS = ("train", "select", "final", "cohort", "check")
"""``train`` fits, ``select`` chooses, ``final`` measures last, ``cohort`` is for strangers alone, and ``check`` for
strangers that nothing was calibrated with."""


@dataclass(frozen=True)
class Kind:
    """One kind of such files.

    Attributes:
        what: in words, as in ``expected a chips file``.
        maker: the command that makes one.
        schema: version of what is in it.
        per_picture: arrays with one row a picture, beside names, split and paths.
        bounds: arrays with one row a picture and one more.
    """

    what: str
    maker: str
    schema: int
    per_picture: tuple[str, ...] = ()
    bounds: tuple[str, ...] = ()


class PictureArchive:
    """Such a file in memory: pictures stay JPEG until they are asked for.

    Attributes:
        path: the file.
        names: (N,) str, the person of each picture; empty where nobody knows.
        split: (N,) str, one of ``SPLITS``.
        paths: (N,) str, where each came from, relative, POSIX.
        source: what the pictures are, in words.
    """

    kind: ClassVar[Kind]

    def __init__(self, path: Path, arrays: dict[str, NDArray[Any]], meta: dict[str, Any]) -> None:
        self.path = path
        self.names, self.split, self.paths = arrays["names"], arrays["split"], arrays["paths"]
        self.source = str(meta["source"])
        self._jpeg, self._offsets = arrays["jpeg"], arrays["offsets"]

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Open a file.

        Raises:
            InputError: nothing there, not such a file, or of another version.
        """
        file, kind = Path(path), cls.kind
        if not file.is_file():
            raise InputError(f"{file}: expected {kind.what}, found none; make one with {kind.maker}")
        try:
            with np.load(file, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
            meta = json.loads(str(arrays["meta"]))
            if meta["schema"] != kind.schema:
                raise InputError(
                    f"{file}: expected {kind.what} of schema {kind.schema}, found {meta['schema']!r}; make it again"
                )
            rows = {len(arrays[name]) for name in ("names", "split", "paths", *kind.per_picture)}
            if len(rows | {len(arrays[name]) - 1 for name in ("offsets", *kind.bounds)}) > 1:
                raise KeyError("arrays of different lengths")
            return cls(file, arrays, meta)
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, TypeError) as error:
            raise InputError(
                f"{file}: expected {kind.what}, it cannot be read as one ({error}); make it again with {kind.maker}"
            ) from error

    def __len__(self) -> int:
        return len(self.names)

    def sha256(self) -> str:
        """sha256 (hex) of the file as it is on disk."""
        with self.path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()

    def indices(self, split: str) -> NDArray[np.int64]:
        """Where the pictures of one split are, int64 (n,)."""
        return np.flatnonzero(self.split == split).astype(np.int64)

    def jpeg(self, index: int) -> NDArray[np.uint8]:
        """One picture's file, uint8 (bytes,)."""
        return self._jpeg[self._offsets[index] : self._offsets[index + 1]]

    def decoded(self, index: int, flags: int = cv2.IMREAD_COLOR) -> Pixels:
        """One picture, uint8 (H, W, 3) RGB.

        Args:
            index: which.
            flags: of ``cv2.imdecode``, for a smaller one.
        """
        pixels = cv2.imdecode(self.jpeg(index), flags)
        if pixels is None:
            raise InputError(f"{self.path}: picture {index} cannot be decoded; run {self.kind.maker} again")
        return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)
