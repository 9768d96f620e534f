"""How far a bundle's looks were off: for people of sources that they were not fitted to, and of sources that they were.

Faces of one source are alike as such, and no home is a source that a bundle has seen. So where the bundle was made
every source was left out in turn, and for each of its looks it was measured how much higher its strangers score than
the looks of the other sources say. Two things show on a device which of these cases a household resembles: how much
more alike the enrolled are than their looks say, and how far they lie from the looks' means.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import InputError
from edge_runtime.types import Floats

Reals = NDArray[np.float64]

ARRAYS = ("whitening", "usual", "cases", "scatter")
"""What a bundle's file calls them."""
_BETWEEN_EXCESS, _BETWEEN_DISTANCE = 0.015, 3.0
"""Standard deviations of what one case shows in two homes."""


@dataclass(frozen=True)
class LeftOut:
    """J measured cases.

    Attributes:
        whitening: float32 (D, D): the squared distance of a code from a look's mean m is |(code - m) @ whitening|^2.
        usual: float64 (K,), the mean squared distance of people of each look.
        cases: float64 (J, 4): weight (1 in sum), how much more alike people are than their looks say, how much further
            they lie than usual, and by how much thresholds must rise.
        scatter: standard deviations: of a pair's similarity, of what a person adds to all of theirs, of a distance.
    """

    whitening: Floats
    usual: Reals
    cases: Reals
    scatter: tuple[float, float, float]

    def __post_init__(self) -> None:
        size = len(self.whitening)
        if self.whitening.shape != (size, size) or self.cases.ndim != 2 or self.cases.shape[1:] != (4,):
            raise InputError(
                f"looks: expected a square whitening and cases (J, 4), found {self.whitening.shape}, {self.cases.shape}"
            )
        numbers = np.concatenate([self.whitening.ravel(), self.usual, self.cases.ravel(), self.scatter])
        if not len(self.cases) or not np.isfinite(numbers).all() or min(self.scatter) < 0 or self.cases[:, 0].min() < 0:
            raise InputError("looks: expected cases with finite numbers and weights >= 0")

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """From a bundle's file; the inverse of :meth:`as_arrays`.

        Raises:
            InputError: arrays that do not fit together.
            KeyError, ValueError: an array missing, or of another kind.
        """
        pair, person, distance = (float(value) for value in arrays["scatter"])
        return cls(
            arrays["whitening"].astype(np.float32),
            arrays["usual"].astype(np.float64),
            arrays["cases"].astype(np.float64),
            (pair, person, distance),
        )

    def as_arrays(self) -> dict[str, NDArray[Any]]:
        return {
            "whitening": self.whitening.astype(np.float16),
            "usual": self.usual.astype(np.float32),
            "cases": self.cases.astype(np.float32),
            "scatter": np.array(self.scatter, np.float32),
        }

    def further(self, codes: Floats, logits: Reals, parts: Reals) -> Reals:
        """How much further codes (N, D) lie from their looks than is usual, squared distances, float64 (N,).

        Args:
            codes: of unit length.
            logits: float64 (N, K), of the looks' linear discriminant.
            parts: float64 (N, K), how much each code is of each look.
        """
        return np.asarray((parts * (squared_distances(self.whitening, codes, logits) - self.usual)).sum(1))

    def shift(self, excess: float | None, further: float, people: int) -> float:
        """By how much thresholds rise, a score >= 0: the median of the cases, each as likely as what is seen makes it.

        The median and not the mean: where little is seen, as of few people, a few cases far off must not make
        everybody's threshold higher than it has to be.

        Args:
            excess: how much more alike the enrolled are than their looks say; None: there is one person.
            further: how much further they lie from their looks than is usual, on average.
            people: enrolled, >= 1.
        """
        weight, alike, distance, shifts = self.cases.T
        pair, person, apart = self.scatter
        log = np.log(np.maximum(weight, 1e-12))
        log -= 0.5 * (further - distance) ** 2 / (apart**2 / people + _BETWEEN_DISTANCE**2)
        if excess is not None:
            variance = 4 * person**2 / people + pair**2 / (people * (people - 1) / 2) + _BETWEEN_EXCESS**2
            log -= 0.5 * (excess - alike) ** 2 / variance
        likely = np.exp(log - log.max())
        order = np.argsort(shifts)
        share = np.cumsum(likely[order]) / likely.sum()
        return max(float(np.interp(0.5, share - likely[order] / (2 * likely.sum()), shifts[order])), 0.0)


def squared_distances(whitening: Floats, codes: Floats, logits: Reals) -> Reals:
    """Of codes (N, D) from the mean of each look, float64 (N, K); |c - m|^2 = |c|^2 - 2 logit, once whitened."""
    lengths = ((codes @ whitening).astype(np.float64) ** 2).sum(1)
    return np.asarray(lengths[:, None] - 2 * logits)
