"""Draws faces of people who do not exist with a run's decoder."""

from __future__ import annotations

import keras
import numpy as np
from tqdm import tqdm

from edge_runtime.errors import InputError
from edge_runtime.geometry.embeddings import normalise
from edge_runtime.types import Floats, Pixels
from train.encoder.datasets import Faces, in_chunks, prefetched
from train.runs.codes import as_rgb
from train.runs.run import Run, same_chips

_BATCH = 128
_ALIKE_QUANTILE = 0.95
"""Two faces taken may be as alike, by the run's own encoder, as this share of pairs of people."""


class FaceGenerator:
    """Draws faces with a run's decoder.

    Attributes:
        run: the run.
        training: every face it was fitted on.
        held: faces of people it was not fitted on.
        alike_limit: cosine that two people's mean codes rarely exceed.
    """

    def __init__(self, run: Run) -> None:
        """Load the models and fit the distribution of codes.

        Raises:
            InputError: models or chips are missing or altered, or fewer than two people.
        """
        self.run = run
        sources = [run.chips(), *(same_chips(described) for described in run.also)]
        self.training = Faces.of_split(sources, "train")
        self.held = Faces.of_split(sources[:1], "select")
        try:
            self._encoder = keras.models.load_model(run.encoder_path, compile=False)
            self._decoder = keras.models.load_model(run.decoder_path, compile=False)
        except (OSError, ValueError) as error:
            raise InputError(f"{run.path}: expected the run's models, they do not load ({error}); fit again") from error
        # Only a code's direction counts where the decoder takes nothing else.
        self._unit = run.recipe["encoder"]["kind"] == "conv"
        codes = self._training_codes()
        if len(codes) < 2:
            raise InputError(
                f"{run.path}: expected two people or more in train, found {len(codes)}; fit on more people"
            )
        self.alike_limit = alike_limit(codes)
        self._mean = codes.mean(0)
        self._low = codes.min(0)
        spread = np.cov(codes.T)
        # With few people the covariance is not of full rank; a little of its diagonal fixes that.
        self._root = np.linalg.cholesky(0.95 * spread + np.diag(0.05 * np.diag(spread) + 1e-9))

    def codes(self, count: int, spread: float, rng: np.random.Generator) -> Floats:
        """Codes (count, D) of people who do not exist, as the decoder takes them."""
        noise = rng.standard_normal((count, len(self._mean)))
        codes = np.maximum(self._mean + spread * noise @ self._root.T, np.minimum(self._low, self._mean))
        return np.asarray(codes, np.float32)

    def draw(self, codes: Floats) -> Pixels:
        """Faces uint8 (N, h, w, 3) RGB of codes (N, D), each aligned to the run's template."""
        pictures = np.asarray(self._decoder.predict_on_batch(codes))
        pixels = np.rint(255 * np.clip(pictures, 0, 1)).astype(np.uint8)
        return as_rgb(pixels, self.run.preprocessing)

    def between(self, first: Floats, last: Floats, steps: int) -> Floats:
        """Codes (steps, D) from one (D,) to another, both included.

        On the sphere at equal angles (slerp; Shoemake, 1985) where only a direction counts, else on a straight line.
        """
        way = np.linspace(0, 1, steps, dtype=np.float32)[:, None]
        if not self._unit:
            return np.asarray((1 - way) * first + way * last, np.float32)
        first, last = normalise(np.stack([first, last]))[0]
        angle = max(float(np.arccos(np.clip(first @ last, -1, 1))), 1e-6)
        return np.asarray((np.sin((1 - way) * angle) * first + np.sin(way * angle) * last) / np.sin(angle), np.float32)

    def encode(self, chips: Pixels) -> Floats:
        """The run's own codes (N, D), of unit length, of chips of its template."""
        return normalise(self._raw(chips))[0]

    def _raw(self, chips: Pixels) -> Floats:
        return np.asarray(self._encoder.predict_on_batch(self.run.preprocessing.as_float(chips)), np.float32)

    def _training_codes(self) -> Floats:
        """One mean code a person (P, D); a face without a name counts as a person."""
        template, faces = self.run.preprocessing.template, self.training
        chunks = in_chunks(np.arange(len(faces)), _BATCH)
        views = prefetched(lambda chunk: faces.aligned(chunk, template), chunks)
        codes = np.concatenate(
            [self._raw(chips) for chips in tqdm(views, "codes", len(chunks), disable=None, delay=2, leave=False)]
        )
        if self._unit:
            codes = normalise(codes)[0]
        named = faces.person >= 0
        sums = np.zeros((faces.people, codes.shape[1]), np.float64)
        np.add.at(sums, faces.person[named], codes[named])
        means = sums / np.maximum(np.bincount(faces.person[named], minlength=faces.people), 1)[:, None]
        return np.concatenate([means, codes[~named]]).astype(np.float32)


def alike_limit(codes: Floats) -> float:
    """The cosine that ``_ALIKE_QUANTILE`` of the pairs of codes (P, D) stay below; at most 2,000 codes are paired."""
    unit = normalise(codes[:: max(len(codes) // 2000, 1)])[0]
    return float(np.quantile((unit @ unit.T)[np.triu_indices(len(unit), 1)], _ALIKE_QUANTILE))
