"""A mixture of looks: a linear discriminant, and for every two looks how high pairs of their people score."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_runtime.bundle.looks import GRID, LEAST_SHARE, Looks
from edge_runtime.types import Floats

Reals = NDArray[np.float64]

_SHRUNK = 0.1
_TAIL, _FEWEST_IN_TAIL = 0.02, 30
_SHAPES = (-0.4, 0.1)


@dataclass(frozen=True)
class People:
    """Everybody a bundle's looks are fitted to.

    Attributes:
        codes: float32 (N, D) of unit length.
        look: int64 (N,), from 0 on, each of one source.
        source: int64 (N,).
    """

    codes: Floats
    look: NDArray[np.int64]
    source: NDArray[np.int64]

    def some(self, rows: NDArray[np.bool_]) -> People:
        """Those of ``rows`` (N,), their looks numbered anew."""
        _, look = np.unique(self.look[rows], return_inverse=True)
        return People(self.codes[rows], look.astype(np.int64), self.source[rows])


def fit_looks(people: People, own: Floats) -> Looks:
    """The looks alone, without what they are off by."""
    weights, bias = discriminant(people.codes, people.look)
    kinds = int(people.look.max()) + 1
    reached, means = np.zeros((kinds, kinds, len(GRID))), np.zeros((kinds, kinds))
    groups = [people.codes[people.look == kind] for kind in range(kinds)]
    for one in range(kinds):
        for other in range(one, kinds):
            pairs = groups[one] @ groups[other].T
            values = pairs[np.triu_indices(len(pairs), 1)] if one == other else pairs.ravel()
            means[one, other] = means[other, one] = values.mean()
            reached[one, other] = reached[other, one] = _reached(np.sort(values.astype(np.float64)))
    true = (float(np.mean(own)), max(float(np.std(own)), 1e-3))
    return Looks(weights, bias, reached, means, len(people.codes), (0.0, 0.0), true)


def discriminant(codes: Floats, labels: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Weights (K, D) and bias (K,) of looks with one shrunk covariance, all as likely."""
    means, within = within_looks(codes, labels)
    weights = np.linalg.solve(within, means.T).T
    return weights.astype(np.float32), (-0.5 * (weights * means).sum(1)).astype(np.float32)


def within_looks(codes: Floats, labels: NDArray[np.int64]) -> tuple[Reals, Reals]:
    """The mean of every look (K, D), and the shrunk covariance (D, D) that all have within."""
    means = np.stack([codes[labels == kind].mean(0) for kind in range(int(labels.max()) + 1)]).astype(np.float64)
    within = np.cov((codes - means[labels]).T)
    return means, (1 - _SHRUNK) * within + (_SHRUNK * np.trace(within) / len(within) + 1e-9) * np.eye(len(within))


def _reached(values: Reals) -> Reals:
    """The share of ascending similarities that reaches ``GRID``, the highest from a fitted tail; see ``Tail``."""
    count = len(values)
    above = min(max(int(_TAIL * count), _FEWEST_IN_TAIL), count - 1)
    start = values[count - above - 1]
    beyond = values[count - above :] - start
    first = max(float(beyond.mean()), 1e-9)
    second = float((beyond * (above - np.arange(1, above + 1)) / max(above - 1, 1)).mean())
    shape = float(np.clip(2 - first / max(first - 2 * second, 1e-9), *_SHAPES))
    shape = shape if abs(shape) > 1e-6 else 1e-6
    scale = first * (1 - shape)
    counted = 1 - np.searchsorted(values, GRID, "left") / count
    inside = np.maximum(1 + shape * np.maximum(GRID - start, 0) / scale, 1e-9)
    return np.maximum(np.where(start < GRID, above / count * inside ** (-1 / shape), counted), LEAST_SHARE)
