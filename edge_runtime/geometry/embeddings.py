"""Embeddings as directions: rows at unit length."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from edge_runtime.types import Floats

_SHORTEST_EMBEDDING = 1e-6


def normalise(embeddings: Floats) -> tuple[Floats, Floats]:
    """Codes (N, D) at unit length and their lengths (N,); an embedding of (nearly) zero length stays zero, length 0."""
    norms = np.linalg.norm(embeddings, axis=1).astype(np.float32)
    good = np.isfinite(norms) & (norms > _SHORTEST_EMBEDDING)
    unit = np.zeros_like(embeddings, dtype=np.float32)
    unit[good] = embeddings[good] / norms[good, None]
    return unit, np.where(good, norms, np.float32(0))


def embedding_hash(encoder_hash: str, preprocessing_hash: str) -> str:
    """By which embeddings are known to be comparable, 64 hex digits."""
    return hashlib.sha256(f"{encoder_hash}/{preprocessing_hash}".encode()).hexdigest()


def summed(rows: Floats, index: NDArray[np.int64], count: int) -> Floats:
    """float32 (count, D): the sum of the rows (N, D) of each index (N,), zeros where there is no row."""
    order = np.argsort(index, kind="stable")
    sums = np.zeros((count, rows.shape[1]), np.float32)
    if len(order):
        present, starts = np.unique(index[order], return_index=True)
        sums[present] = np.add.reduceat(rows[order], starts, axis=0)
    return sums


def rows_of_each(index: NDArray[np.int64], count: int) -> NDArray[np.intp]:
    """How many rows each index has, intp (count,); ``bincount`` itself takes no int64 where pointers have 32 bits."""
    return np.bincount(index.astype(np.intp), minlength=count)
