"""A run's encoder and decoder side by side: faces to codes, and codes to faces."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from edge_runtime.errors import InputError
from edge_runtime.types import Floats, Pixels
from train.runs.models import open_model
from train.runs.run import Run

_BATCH = 128


class Autoencoder:
    """Both models of a finished run.

    Attributes:
        run: whose they are.
        encoder: Keras model, float32 (N, h, w, C) normalised to float32 (N, D).
        decoder: Keras model, float32 (N, D) to float32 (N, h, w, C) in 0..1.
    """

    def __init__(self, run: Run) -> None:
        """Open both.

        Raises:
            InputError: they do not open, or the run has not ended.
        """
        if not run.finished:
            raise InputError(f"{run.path}: expected a finished run, this one is not; fit it to its end")
        self.run = run
        self.encoder, self.decoder = open_model(run.encoder_path), open_model(run.decoder_path)

    def encode(self, faces: Pixels) -> Floats:
        """Codes float32 (N, D), as the encoder gives them, of faces uint8 (N, h, w, C) in the run's colours."""
        return self._in_batches("encode", faces, lambda part: self.encoder.predict_on_batch(self._scaled(part)))

    def draw(self, codes: Floats) -> Pixels:
        """Faces uint8 (N, h, w, C), in the run's colours, of codes float32 (N, D)."""
        drawn = self._in_batches("draw", codes, self.decoder.predict_on_batch)
        return np.asarray(np.rint(255 * np.clip(drawn, 0, 1)), np.uint8)

    def _scaled(self, faces: Pixels) -> Floats:
        return self.run.preprocessing.scale(faces)

    def _in_batches(self, doing: str, rows: NDArray[Any], compute: Callable[[NDArray[Any]], Any]) -> Floats:
        starts = tqdm(range(0, len(rows), _BATCH), doing, unit="batch", disable=None, leave=False, delay=2)
        return np.concatenate([np.asarray(compute(rows[k : k + _BATCH]), np.float32) for k in starts])


def unit_range(faces: Pixels) -> Floats:
    """Pixels 0..255 as float32 in 0..1."""
    return faces.astype(np.float32) / np.float32(255)
