"""A running mean of a model's weights over its steps, which recognises better than the weights of any one step.

Polyak and Juditsky, "Acceleration of stochastic approximation by averaging", 1992; as exponential decay in
Tarvainen and Valpola, "Mean teachers are better role models", 2017. What batch normalisation has seen is
averaged with the rest.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import keras

_EVERY = 8
"""Steps between two updates: cheap, and the same mean to within a step's noise."""


class WeightAverage:
    """The mean of some variables; with a decay of 0, nothing at all.

    Attributes:
        variables: of the mean, for a checkpoint.
    """

    def __init__(self, weights: Sequence[keras.Variable], decay: float) -> None:
        """Start from what ``weights`` are now.

        Args:
            weights: to average.
            decay: of the mean, a step; 0: no average.
        """
        self._weights = list(weights)
        self._decay = decay
        self.variables = [
            keras.Variable(keras.ops.convert_to_numpy(weight), trainable=False, dtype=weight.dtype, name="mean")
            for weight in (weights if decay else ())
        ]

    def update(self, step: int) -> None:
        """Take in the weights after step ``step``, from 0; early on the mean is shorter, to forget the beginning."""
        if not self.variables or (step + 1) % _EVERY:
            return
        updates = (step + 1) // _EVERY
        keep = min(self._decay**_EVERY, updates / (updates + 9))
        for mean, weight in zip(self.variables, self._weights, strict=True):
            mean.assign(mean * keep + weight * (1 - keep))

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Let the weights be the mean for as long as the block lasts."""
        kept = [keras.ops.convert_to_numpy(weight) for weight in self._weights] if self.variables else []
        for mean, weight in zip(self.variables, self._weights, strict=bool(self.variables)):
            weight.assign(mean)
        try:
            yield
        finally:
            for weight, value in zip(self._weights, kept, strict=bool(kept)):
                weight.assign(value)
