"""A household seen by strangers who look like its people: a threshold for each of them.

The rate for strangers alike a person is the sum over the household of the shares that reach each one's threshold (a
union bound, so that it errs on the strict side where two people are enrolled who look alike). What is known of looks
is known of single photos and of the sources that they were fitted to, so two things are added:

- A person enrolled with several photos is compared by their average, which is shorter than a photo before it is
  normalised. All scores against it are larger by that: their mean m becomes m / r with r the length, and what a score
  differs from m grows by r ** -photos (measured where the bundle was made). The length is the gallery's own.
- All thresholds rise by what looks were too low for people of other sources who were as alike among themselves, and as
  far from their looks, as this household is; see ``LeftOut``.
"""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from edge_runtime.bundle.looks import GRID, LEAST_SHARE, Looks
from edge_runtime.gallery.templates import Templates
from edge_runtime.geometry.embeddings import rows_of_each
from edge_runtime.types import Floats

Reals = NDArray[np.float64]

_FLOOR = 1e-9
_SHORTEST = 0.3
"""An average shorter than this is of photos that have nothing in common; it is not followed further."""
_MOST_CODES = 4000
"""More codes than this say nothing new of how far people lie from their looks."""


class Household:
    """The people of one gallery and the strangers who look like them; time grows with the number of people.

    Attributes:
        parts: float64 (P, K), how much each person is of each look.
        lengths: float64 (P,), of each person's average before it was normalised, 1 for one photo.
        excess: how much more alike the people's photos are than their looks say; None: there are no two people.
        shift: by how much scores are higher than the looks say, a score >= 0.
    """

    def __init__(self, looks: Looks, templates: Templates) -> None:
        self.looks = looks
        self.parts = looks.parts(templates.person_embeddings())
        means = templates.person_means()
        self.lengths = np.clip(np.linalg.norm(means.astype(np.float64), axis=1), _SHORTEST, 1.0)
        self.excess = self._excess(means)
        self.shift = self._shift(templates)

    @cached_property
    def curve(self) -> Reals:
        """float64 (P, T): of strangers alike a person, how many get a name where all thresholds are ``GRID``.

        As if everybody had one photo and nothing was shifted; :meth:`from_looks` makes thresholds of such scores.
        """
        everybody = np.einsum("klt,l->kt", self.looks.reached, self.parts.sum(0))
        return np.asarray(self.parts @ everybody)

    def thresholds(self, rate: float) -> Reals:
        """The score each person needs so that strangers alike get a name with a chance of ``rate``, float64 (P,)."""
        wanted = math.log(max(rate, LEAST_SHARE))
        logs = np.log(np.maximum(np.minimum.accumulate(self.curve, 1), LEAST_SHARE))
        # The first score on the grid at which few enough are left, then back along the line to the one before.
        after = np.argmax(logs <= wanted, axis=1)
        never = logs[:, -1] > wanted
        rows, before = np.arange(len(logs)), np.maximum(after - 1, 0)
        high, low = logs[rows, before], logs[rows, after]
        back = np.where(high > low, (low - wanted) / np.minimum(low - high, -_FLOOR), 0.0)
        scores = GRID[after] - np.clip(back, 0.0, 1.0) * (GRID[after] - GRID[before])
        return self.from_looks(np.where(never, GRID[-1], scores))

    def rates(self, thresholds: Reals) -> Reals:
        """Of strangers alike each person, the share who get a name at these ``thresholds`` (P,), float64 (P,)."""
        if not len(thresholds):
            return np.zeros(0)
        at = np.clip(self._to_looks(thresholds) * (len(GRID) - 1), 0, len(GRID) - 1)
        below = np.minimum(at.astype(np.int64), len(GRID) - 2)
        share = at - below
        counted = np.zeros((len(GRID), self.parts.shape[1]))
        np.add.at(counted, below, self.parts * (1 - share)[:, None])
        np.add.at(counted, below + 1, self.parts * share[:, None])
        return np.asarray(np.minimum(self.parts @ np.einsum("klt,tl->k", self.looks.reached, counted), 1.0))

    def from_looks(self, scores: Reals, person: int | slice = slice(None)) -> Reals:
        """Scores as looks know them, one a person (P,) or any of one ``person``, as scores against the averages."""
        mean, length = self._means[person] + self.shift, self.lengths[person]
        return np.asarray(mean / length + (scores + self.shift - mean) * length**-self.looks.photos)

    def of_length(self, score: float, person: int, length: float) -> float:
        """What a score against a person's average is against one of another length, as with more photos."""
        mean, exponent = float(self._means[person]) + self.shift, self.looks.photos
        beyond = (score - mean / float(self.lengths[person])) * float(self.lengths[person]) ** exponent
        return float(mean / length + beyond * length**-exponent)

    def _to_looks(self, scores: Reals) -> Reals:
        mean = self._means + self.shift
        return np.asarray((scores - mean / self.lengths) * self.lengths**self.looks.photos + mean - self.shift)

    @cached_property
    def _means(self) -> Reals:
        """Mean scores of strangers alike each person, float64 (P,)."""
        return np.asarray(((self.parts @ self.looks.means) * self.parts).sum(1))

    def _shift(self, templates: Templates) -> float:
        left_out, count = self.looks.left_out, len(templates.names)
        if left_out is None or not count:
            return 0.0
        rows = np.arange(0, len(templates.embeddings), max(len(templates.embeddings) // _MOST_CODES, 1))
        codes, person = templates.embeddings[rows], templates.person_index[rows]
        further = left_out.further(codes, self.looks.logits(codes), self.parts[person])
        # Everybody counts the same, however many photos they have.
        each = rows_of_each(person, count)
        apart = float(np.average(further, weights=1 / each[person]))
        return left_out.shift(self.excess, apart, count)

    def _excess(self, means: Floats) -> float | None:
        count = len(means)
        if count < 2:
            return None
        rows = means.astype(np.float64)
        pairs = count * (count - 1) / 2
        total, whole = rows.sum(0), self.parts.sum(0)
        found = total @ total - (rows**2).sum()
        among = whole @ self.looks.means @ whole - self._means.sum()
        return float((found - among) / (2 * pairs))
