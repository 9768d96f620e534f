"""A variational autoencoder: the code is the middle of a distribution, and the picture is drawn from a sample.

Kingma and Welling, "Auto-encoding variational Bayes", 2014. The code of ``conv`` has zero mean and unit spread by
its batch normalisation, which keeps the distribution from collapsing onto the prior (Zhu et al., "A batch normalized
inference network keeps the KL vanishing away", 2020). The encoder that goes to a device is the same: chip to middle.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

from models.autoencoder import Autoencoder

_LARGEST_LOG_VARIANCE = 5.0


class VariationalAutoencoder(Autoencoder):
    """Adds the output ``log_variance`` (N, D) and, while it trains, draws ``picture`` from a sample."""

    def __init__(
        self, encoder: keras.Model, decoder: keras.Model, people: int = 0, taught: tuple[int, ...] = ()
    ) -> None:
        """Join the two; see :class:`models.autoencoder.Autoencoder`."""
        super().__init__(encoder, decoder, people, taught)
        self._inside = keras.Model(encoder.input, [encoder.output, encoder.get_layer("code").input])
        self._spread = layers.Dense(encoder.output_shape[-1], name="log_variance", dtype="float32")
        self._draws = keras.random.SeedGenerator(0)

    @property
    def state(self) -> list[keras.Variable]:
        """The weights, and the state of the draws."""
        return [*super().state, self._draws.state]

    def call(self, chips: Any, training: bool = False) -> dict[str, Any]:
        """See the class for the outputs."""
        code, features = self._inside(chips, training=training)
        code = ops.cast(code, "float32")
        log_variance = ops.clip(self._spread(features), -_LARGEST_LOG_VARIANCE, _LARGEST_LOG_VARIANCE)
        drawn = code
        if training:
            noise = keras.random.normal(ops.shape(code), seed=self._draws)
            drawn = code + noise * ops.exp(0.5 * log_variance)
        return {**self.read(code), "picture": self.decoder(drawn, training=training), "log_variance": log_variance}
