"""Pictures and what is known of them in one .npz: what chips files and files of labelled photos have in common."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_runtime.bundle.folder import file_digest
from edge_runtime.errors import InputError
from edge_runtime.storage.files import replacing
from edge_runtime.types import Pixels

SPLITS = ("train", "select", "final", "cohort", "check")
"""``train`` fits, ``select`` chooses, ``final`` measures last, ``cohort`` is for strangers alone, and ``check`` for
strangers that nothing was calibrated with."""
_JPEG_QUALITY = 95


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
        return file_digest(self.path)[0]

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


def write_archive(
    path: str | Path,
    kind: Kind,
    jpegs: Sequence[bytes],
    known: tuple[Sequence[str], Sequence[str], Sequence[str]],
    meta: dict[str, Any],
    arrays: dict[str, NDArray[Any]],
) -> None:
    """Write a file whole or not at all.

    Args:
        path: the .npz file.
        kind: which kind.
        jpegs: the pictures.
        known: names, splits and paths, one each a picture; see ``PictureArchive``.
        meta: what holds for the whole file, JSON-ready.
        arrays: everything else.
    """
    # A file object, not a name: numpy would add .npz to a name without it.
    with replacing(path) as draft, draft.open("wb") as stream:
        np.savez(
            stream,
            jpeg=np.frombuffer(b"".join(jpegs), np.uint8),
            offsets=bounds([len(jpeg) for jpeg in jpegs]),
            **{
                name: np.array(values, np.str_) for name, values in zip(("names", "split", "paths"), known, strict=True)
            },
            meta=np.array(json.dumps({"schema": kind.schema, **meta})),
            **arrays,  # type: ignore[arg-type]
        )


def bounds(sizes: Sequence[int]) -> NDArray[np.int64]:
    """Where each of several things begins that lie one behind the other, and where the last ends, int64 (n + 1,)."""
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(np.array(sizes, np.int64), dtype=np.int64)])


def encoded(pixels: Pixels, quality: int = _JPEG_QUALITY) -> bytes:
    """A picture, uint8 (H, W, 3) RGB, as the JPEG that is kept of it."""
    _, data = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    return bytes(data.tobytes())
