"""Exact search over many codes in a quarter of their memory: int8 rows, compared in float32 a block at a time.

Each row has a scale of its own (its largest number is 127). A block is widened into a buffer that stays in the
processor's cache, so that memory, which bounds a plain product of float32, is read a quarter as much.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import InputError
from edge_runtime.types import Floats

_BLOCK_BYTES = 1 << 20
"""Of the buffer; measured, see docs/gallery.md."""


class Int8Rows:
    """Rows that are searched whole, so that nothing is missed.

    Attributes:
        codes: int8 (N, D).
        scales: float32 (N,).
    """

    def __init__(self, rows: Floats) -> None:
        """Quantise float32 (N, D).

        Raises:
            InputError: of another shape, or not finite.
        """
        rows = np.asarray(rows, np.float32)
        if rows.ndim != 2 or not np.isfinite(rows).all():
            raise InputError(f"rows: expected finite float32 (N, D), received {rows.dtype} {rows.shape}")
        largest = np.abs(rows).max(1, initial=0.0)
        self.scales: Floats = np.asarray(np.where(largest > 0, largest, 1.0) / 127, np.float32)
        self.codes: NDArray[np.int8] = np.empty(rows.shape, np.int8)
        np.rint(rows / self.scales[:, None], out=self.codes, casting="unsafe")
        self._block = max(_BLOCK_BYTES // max(4 * rows.shape[1], 1), 1)
        self._buffer = np.empty((min(self._block, len(rows)), rows.shape[1]), np.float32)

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def nbytes(self) -> int:
        """Memory that it holds, buffer included."""
        return self.codes.nbytes + self.scales.nbytes + self._buffer.nbytes

    def scores(self, code: Floats) -> Floats:
        """Products of all rows with ``code`` (D,), float32 (N,), off by at most half a step of each number.

        Not for several threads at once: they would share the buffer.
        """
        code = np.asarray(code, np.float32)
        found = np.empty(len(self.codes), np.float32)
        for start in range(0, len(self.codes), self._block):
            rows = self.codes[start : start + self._block]
            wide = self._buffer[: len(rows)]
            np.copyto(wide, rows)
            np.dot(wide, code, out=found[start : start + len(rows)])
        found *= self.scales
        return found
