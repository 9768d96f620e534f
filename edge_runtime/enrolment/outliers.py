"""Which photos of a person look like somebody else's: the majority of them decides, whatever their order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_runtime.geometry.embeddings import normalise
from edge_runtime.types import Floats

_STRANGERS_BELOW = 0.90, 0.98
"""A photo fits if it is nearer to the person's others than the second share of strangers is; it may still fit where
it is nearer than the first one, ..."""
_OF_USUAL = 0.5
"""... if it is this part as near as the person's photos usually are to each other: an encoder that tells people apart
poorly would else refuse many good photos, and one that does it well take a tenth of the wrong ones."""
_STRANGERS = 1000
"""As many say where that is."""
_BLOCK = 2048


@dataclass(frozen=True)
class Consistency:
    """How a person's photos fit each other.

    Attributes:
        outlier: bool (T,).
        score: float32 (T,), the cosine to the average of the others that fit; 1 for a photo alone.
        needed: float32 (T,), what it had to reach.
    """

    outlier: NDArray[np.bool_]
    score: Floats
    needed: Floats


@dataclass(frozen=True)
class FirstLook:
    """Photos of several people against the averages of their persons' others; one product for all of them.

    Attributes:
        score: float32 (T,), the cosine.
        least, most: float32 (T,), what two shares of strangers stay below.
    """

    score: Floats
    least: Floats
    most: Floats

    @classmethod
    def of(cls, embeddings: Floats, rest: Floats, strangers: Floats) -> FirstLook:
        """Compare embeddings (T, D) with the averages of the others, ``rest`` (T, D), and those with ``strangers``."""
        bounds = np.zeros((2, len(embeddings)), np.float32)
        for start in range(0, len(embeddings) if len(strangers) else 0, _BLOCK):
            part = slice(start, start + _BLOCK)
            bounds[:, part] = _bounds(_some(strangers) @ rest[part].T)
        return cls((rest * embeddings).sum(1), *bounds)

    def rows(self, which: NDArray[np.int64]) -> FirstLook:
        """Of some of the photos."""
        return FirstLook(self.score[which], self.least[which], self.most[which])


def consistency(embeddings: Floats, weights: Floats, strangers: Floats, first: FirstLook | None = None) -> Consistency:
    """Set aside, one by one, the photo that fits the others least, until all that are left fit.

    Two photos that do not fit each other are no majority: the later one is set aside.

    Args:
        embeddings: float32 (T, D) of unit length, the oldest first.
        weights: float32 (T,), > 0.
        strangers: float32 (S, D) of unit length.
        first: how each photo fits the others, where that is known already.
    """
    count = len(embeddings)
    outlier, needed = np.zeros(count, np.bool_), np.full(count, -1.0, np.float32)
    score = np.ones(count, np.float32)
    if count < 2 or not len(strangers):
        return Consistency(outlier, score, needed)
    others = _some(strangers)
    weighted = embeddings * weights[:, None]
    while (left := np.flatnonzero(~outlier)).size > 1:
        if first is None or len(left) < count:
            first = FirstLook.of(embeddings[left], normalise(weighted[left].sum(0)[None] - weighted[left])[0], others)
        score[left], needed[left] = first.score, _needed(first.least, first.most, float(np.median(first.score)))
        lack = score[left] - needed[left]
        # Of equally bad ones the latest goes, as with two that are each other's only measure.
        worst = left[len(left) - 1 - int(np.argmin(lack[::-1]))]
        if len(left) == 2:
            worst = left[1]
        if score[worst] >= needed[worst]:
            break
        outlier[worst] = True
    outlier |= _of_another(left, weighted, embeddings, others)
    if len(left := np.flatnonzero(~outlier)) == 1:
        score[left], needed[left] = 1.0, -1.0
    for row in np.flatnonzero(outlier):
        rest = normalise(weighted[left].sum(0, keepdims=True))[0]
        score[row] = float(rest[0] @ embeddings[row])
        needed[row] = float(_needed(*_bounds(others @ rest.T), float(np.median(score[left])))[0])
    return Consistency(outlier, score, needed)


def _of_another(left: NDArray[np.int64], weighted: Floats, embeddings: Floats, strangers: Floats) -> NDArray[np.bool_]:
    """Photos that fit each other and not the rest, bool (T,): two people, each with photos that support each other.

    The two groups are those of average linkage (Sokal and Michener, 1958) cut where two are left. They are of two
    people if their averages are no nearer than strangers are; the smaller group is another's, of two equal ones the
    later.
    """
    found = np.zeros(len(embeddings), np.bool_)
    if len(left) < 4 or min(map(len, groups := _two_groups(left, embeddings[left]))) < 2:
        return found
    averages = normalise(np.stack([weighted[group].sum(0) for group in groups]))[0]
    apart = float(np.quantile(strangers @ averages.T, _STRANGERS_BELOW[1]))
    if float(averages[0] @ averages[1]) < apart:
        found[max(groups, key=lambda group: (-len(group), min(group)))] = True
    return found


def _two_groups(rows: NDArray[np.int64], embeddings: Floats) -> list[list[int]]:
    """``rows``, two or more, parted by the average linkage of their embeddings (N, D)."""
    groups = [[int(row)] for row in rows]
    alike = np.asarray(embeddings @ embeddings.T, np.float64)
    np.fill_diagonal(alike, -np.inf)
    for _ in range(len(rows) - 2):
        one, other = sorted(divmod(int(np.argmax(alike)), len(rows)))
        sizes = len(groups[one]), len(groups[other])
        # The mean over the joined group's pairs follows from those of its parts (Lance and Williams, 1967).
        joined = (sizes[0] * alike[one] + sizes[1] * alike[other]) / sum(sizes)
        alike[one], alike[:, one] = joined, joined
        alike[other], alike[:, other], alike[one, one] = -np.inf, -np.inf, -np.inf
        groups[one] += groups[other]
        groups[other] = []
    return [group for group in groups if group]


def _some(strangers: Floats) -> Floats:
    return strangers[:: max(len(strangers) // _STRANGERS, 1)]


def _bounds(scores: Floats) -> tuple[Floats, Floats]:
    """What two shares of strangers' scores (S, T) stay below, float32 (T,) each."""
    least, most = np.quantile(scores, _STRANGERS_BELOW, axis=0)
    return np.asarray(least, np.float32), np.asarray(most, np.float32)


def _needed(least: Floats, most: Floats, usual: float) -> Floats:
    """What a photo has to reach, float32 (T,), by strangers' scores and how near photos usually are."""
    return np.minimum(most, np.maximum(least, np.float32(_OF_USUAL * usual)))
