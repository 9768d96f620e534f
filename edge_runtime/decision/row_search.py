"""Search over many embeddings in a quarter of their memory: 8-bit rows, all compared, the nearest scored exactly.

OpenCV compares the rows as integers, by Euclidean distance, which for rows of one length has the order of the cosine.
"""

from __future__ import annotations

import cv2
import numpy as np

from edge_runtime.errors import InputError
from edge_runtime.types import Floats, Pixels

_NEAREST = 32
_ZERO = 128
"""The byte that stands for 0."""


class RowSearch:
    """Rows of unit length that are searched whole, so that nothing is missed.

    Attributes:
        embeddings: uint8 (N, D), 128 more than the rounded numbers.
        step: what one unit of them is.
    """

    def __init__(self, rows: Floats) -> None:
        """Quantise float32 (N, D) of unit length, or zero.

        Raises:
            InputError: of another shape, or not finite.
        """
        rows = np.asarray(rows, np.float32)
        if rows.ndim != 2 or not np.isfinite(rows).all():
            raise InputError(f"rows: expected finite float32 (N, D), received {rows.dtype} {rows.shape}")
        self.step = float(max(rows.max(initial=0.0), -rows.min(initial=0.0)) or 1.0) / 127
        self.embeddings = self._rounded(rows)

    def __len__(self) -> int:
        return len(self.embeddings)

    @property
    def nbytes(self) -> int:
        """Memory that it holds."""
        return self.embeddings.nbytes

    def scores(self, embedding: Floats) -> Floats:
        """Products of the rows with ``embedding`` (D,), float32 (N,), off by at most half a step of each number.

        That holds for the 32 nearest rows; all others get the score of the last of these, which they do not surpass
        by more than that.
        """
        embedding = np.asarray(embedding, np.float32)
        if not len(self):
            return np.zeros(0, np.float32)
        _, found = cv2.batchDistance(
            self._rounded(embedding[None]),
            self.embeddings,
            cv2.CV_32S,
            normType=cv2.NORM_L2SQR,
            K=min(_NEAREST, len(self)),
        )
        nearest = found[0]
        exact = (self.embeddings[nearest].astype(np.float32) - _ZERO) @ embedding * np.float32(self.step)
        scores = np.full(len(self), exact.min(), np.float32)
        scores[nearest] = exact
        return scores

    def _rounded(self, rows: Floats) -> Pixels:
        quantised = np.empty(rows.shape, np.uint8)
        # A block at a time, so that a large gallery is not held in float32 once more.
        for start in range(0, len(rows), 4096):
            whole = np.rint(rows[start : start + 4096] / np.float32(self.step)) + _ZERO
            quantised[start : start + 4096] = whole.clip(0, 255)
        return quantised
