"""How often a score is passed that hardly anybody reaches: the data where they suffice, beyond them a fitted tail.

What exceeds a high threshold is nearly generalised Pareto distributed, whatever the distribution (Pickands,
"Statistical inference using extreme order statistics", 1975). Shape and scale come from probability-weighted
moments (Hosking and Wallis, "Parameter and quantile estimation for the generalized Pareto distribution", 1987),
which are steady with few values and need no iteration.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import InputError

Reals = NDArray[np.float64]

_LARGEST_SHARE = 0.1
"""The tail is at most this share of the scores; more would no longer be a tail."""
_PEOPLE = 250
"""The tail holds no more real people than this: beyond, counting is better than fitting."""
FEWEST_IN_TAIL = 20
"""The tail holds at least this many real people, or nothing is fitted."""
FEWEST_TO_FIT = round(FEWEST_IN_TAIL / _LARGEST_SHARE)
"""With fewer people nothing is fitted, and no rate below the inverse of their number is set."""
_SHAPES = (-0.9, 0.5)
"""What the moments can tell; a shape outside of it comes from too few values."""
_FLAT = 1e-6


@dataclass(frozen=True)
class Tail:
    """The distribution of scores, counted below ``start`` and fitted above; every field may carry leading axes.

    Attributes:
        scores: float64 (..., N), ascending; -inf where a score could never count.
        start: float64 (...), where the fitted part begins.
        share: of the scores that lie above ``start``; 0: nothing is fitted.
        shape, scale: float64 (...), of the generalised Pareto distribution; a negative shape has an end.
    """

    scores: Reals
    start: Reals
    share: float
    shape: Reals
    scale: Reals

    @classmethod
    def fit(cls, scores: NDArray[Any], people: int) -> Tail:
        """Fit to scores.

        Args:
            scores: float (..., N) in any order; -inf: could never count.
            people: how many people stand behind each N scores; that many say something on their own.

        Raises:
            InputError: no scores.
        """
        values = np.sort(np.asarray(scores, np.float64), axis=-1)
        count = values.shape[-1]
        if not count:
            raise InputError("tail: expected at least one score, received none")
        share = min(_LARGEST_SHARE, _PEOPLE / max(people, 1))
        above = round(share * count)
        nothing = np.zeros(values.shape[:-1])
        if share * people < FEWEST_IN_TAIL or above < FEWEST_IN_TAIL or above >= count:
            return cls(values, nothing, 0.0, nothing, nothing)
        start = values[..., count - above - 1]
        if not np.isfinite(start).all():
            return cls(values, nothing, 0.0, nothing, nothing)
        shape, scale = _pareto(values[..., count - above :] - start[..., None])
        return cls(values, start, above / count, shape, scale)

    def threshold(self, rate: float) -> float:
        """The least score that at most the share ``rate`` reaches, of scores (N,)."""
        count = len(self.scores)
        if self.share and rate < self.share and float(self.scale) > _FLAT:
            part = max(rate, 1e-9) / self.share
            shape, scale = float(self.shape), float(self.scale)
            beyond = -scale * math.log(part) if abs(shape) < _FLAT else scale / shape * (part**-shape - 1)
            return float(self.start) + beyond
        passing = min(max(math.floor(rate * count + 1e-9), 0), count)
        if passing == count:
            return -1.0
        # Scores are compared as float32, so just above one is the next float32.
        return float(np.nextafter(np.float32(self.scores[count - 1 - passing]), np.float32(np.inf)))

    def rate(self, threshold: float) -> Reals:
        """The share that reaches ``threshold``, float64 (...)."""
        counted = (self.scores >= threshold).mean(-1)
        if not self.share:
            return np.asarray(counted)
        beyond = np.maximum(threshold - self.start, 0.0)
        scale = np.maximum(self.scale, 1e-12)
        shape = np.where(np.abs(self.shape) < _FLAT, _FLAT, self.shape)
        fitted = self.share * np.maximum(1 + shape * beyond / scale, 0.0) ** (-1 / shape)
        return np.asarray(np.where((threshold > self.start) & (self.scale > _FLAT), fitted, counted))


def _pareto(exceedances: Reals) -> tuple[Reals, Reals]:
    """Shape and scale of ascending exceedances (..., M)."""
    count = exceedances.shape[-1]
    first = exceedances.mean(-1)
    second = (exceedances * (count - np.arange(1, count + 1)) / (count - 1)).mean(-1)
    gap = np.maximum(first - 2 * second, 1e-12)
    shape = np.clip(2 - first / gap, *_SHAPES)
    # With the shape held, the mean still gives the scale: E[x] = scale / (1 - shape).
    return shape, first * (1 - shape)
