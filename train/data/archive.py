"""Writes pictures and what is known of them into one .npz; ``edge_runtime.pictures.archive`` reads it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_runtime.pictures.archive import Kind
from edge_runtime.storage.files import replacing
from edge_runtime.types import Pixels

_JPEG_QUALITY = 95


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
            names=np.array(known[0], np.str_),
            split=np.array(known[1], np.str_),
            paths=np.array(known[2], np.str_),
            meta=np.array(json.dumps({"schema": kind.schema, **meta})),
            allow_pickle=False,
            **arrays,
        )


def bounds(sizes: Sequence[int]) -> NDArray[np.int64]:
    """Where each of several things begins that lie one behind the other, and where the last ends, int64 (n + 1,)."""
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(np.array(sizes, np.int64), dtype=np.int64)])


def encoded(pixels: Pixels, quality: int = _JPEG_QUALITY) -> bytes:
    """A picture, uint8 (H, W, 3) RGB, as the JPEG that is kept of it."""
    _, data = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    return bytes(data.tobytes())
