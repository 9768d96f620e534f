"""A household seen by strangers who look like its people: a threshold for each of them.

The rate for strangers alike a person is the sum over the household of the shares that reach each one's threshold (a
union bound, so that it errs on the strict side where two people are enrolled who look alike). People enrolled are
strangers to one another: where a household is more alike than its looks say, as of an origin that the bundle
has not seen, every threshold rises by what they are more alike.
"""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from edge_runtime.bundle.looks import GRID, LEAST_SHARE, Looks
from edge_runtime.gallery.templates import Templates
from edge_runtime.geometry.embeddings import normalise
from edge_runtime.types import Floats

Reals = NDArray[np.float64]

_FEW_PAIRS = 15.0
"""So many pairs of enrolled people count half."""
_SLACK = 0.05
"""A household that is more alike than expected by less than this is left as it is."""
_STRICTER = 0.85
"""The rate aimed at, of the target: thresholds err on the strict side."""
_FLOOR = 1e-9


class Household:
    """The people of one gallery and the strangers who look like them; time grows with the number of people.

    Attributes:
        parts: float64 (P, K), how much each person is of each look.
        alike: how much more alike the people are than their looks say, a score >= 0; thresholds rise by it.
    """

    def __init__(self, looks: Looks, templates: Templates) -> None:
        self.looks = looks
        embeddings = templates.person_embeddings()
        self.parts = looks.parts(embeddings)
        self.alike = self._alike(embeddings)

    @cached_property
    def curve(self) -> Reals:
        """float64 (P, T): of strangers alike a person, how many get a name where all thresholds are ``GRID``."""
        everybody = np.einsum("klt,l->kt", self.looks.reached, self.parts.sum(0))
        return np.asarray(self.parts @ everybody)

    def thresholds(self, rate: float, exactly: bool = False) -> Reals:
        """The score each person needs so that strangers alike get a name with a chance of ``rate``, float64 (P,).

        Args:
            rate: 0..1.
            exactly: do not err on the strict side.
        """
        wanted = math.log(max(rate if exactly else rate * _STRICTER, LEAST_SHARE))
        logs = np.log(np.maximum(np.minimum.accumulate(self.curve, 1), LEAST_SHARE))
        # The first score on the grid at which few enough are left, then back along the line to the one before.
        after = np.argmax(logs <= wanted, axis=1)
        never = logs[:, -1] > wanted
        rows, before = np.arange(len(logs)), np.maximum(after - 1, 0)
        high, low = logs[rows, before], logs[rows, after]
        back = np.where(high > low, (low - wanted) / np.minimum(low - high, -_FLOOR), 0.0)
        scores = GRID[after] - np.clip(back, 0.0, 1.0) * (GRID[after] - GRID[before])
        return np.asarray(np.where(never, GRID[-1], scores) + self.alike)

    def rates(self, thresholds: Reals) -> Reals:
        """Of strangers alike each person, the share who get a name at these ``thresholds`` (P,), float64 (P,)."""
        if not len(thresholds):
            return np.zeros(0)
        at = np.clip((thresholds - self.alike) * (len(GRID) - 1), 0, len(GRID) - 1)
        below = np.minimum(at.astype(np.int64), len(GRID) - 2)
        share = at - below
        counted = np.zeros((len(GRID), self.parts.shape[1]))
        np.add.at(counted, below, self.parts * (1 - share)[:, None])
        np.add.at(counted, below + 1, self.parts * share[:, None])
        return np.asarray(np.minimum(self.parts @ np.einsum("klt,tl->k", self.looks.reached, counted), 1.0))

    def _alike(self, embeddings: Floats) -> float:
        count = len(embeddings)
        pairs = count * (count - 1) / 2
        if not pairs:
            return 0.0
        units = normalise(embeddings)[0].astype(np.float64)
        total = units.sum(0)
        found = (total @ total - (units**2).sum()) / (2 * pairs)
        whole = self.parts.sum(0)
        among = whole @ self.looks.means @ whole - ((self.parts @ self.looks.means) * self.parts).sum()
        more = (found - among / (2 * pairs)) * pairs / (pairs + _FEW_PAIRS)
        return float(max(more - _SLACK, 0.0))
