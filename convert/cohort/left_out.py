"""Measures how far looks are off for people they were not fitted to: every source left out in turn, and by halves.

Galleries of people of one look are drawn, their strangers are of that look, and it is noted by how much the thresholds
that the looks of the others give would have to rise. What each case shows beforehand (how alike its people are, how
far they lie from the looks) is noted with it. A device weighs these cases by what its own household shows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convert.cohort.mixture import People, fit_looks, within_looks
from edge_runtime.bundle.left_out import LeftOut, squared_distances
from edge_runtime.decision.household import Household
from edge_runtime.gallery.templates import Templates
from edge_runtime.types import Floats

Reals = NDArray[np.float64]

_FEWEST = 50
"""A look with fewer people says too little of its strangers."""
_ENROLLED, _GALLERIES = 10, 40
_RATES = (0.01, 0.001)
_MARGIN = 0.02
"""The usual margin: who lies between two people gets no name and does not count."""
_UNSEEN = 0.5
"""The weight of cases whose source was left out; the rest is of sources that were fitted to."""


@dataclass(frozen=True)
class Case:
    """One look whose people were not fitted to.

    Attributes:
        source: it is of; -1: of a source that was fitted to.
        excess: (G,), of each gallery: how much more alike its people are than the looks say.
        further: (G,), how much further they lie from the looks than is usual.
        above: (G, rates, S), how far each stranger's best score is above what its person needs; -1 without the margin.
    """

    source: int
    excess: Reals
    further: Reals
    above: Reals

    @property
    def shift(self) -> float:
        """By how much thresholds had to rise, on average of the rates."""
        return float(np.mean([np.quantile(self.above[:, i], 1 - rate) for i, rate in enumerate(_RATES)]))


def measure_left_out(people: People, own: Floats, seed: int) -> tuple[LeftOut | None, tuple[float, float]]:
    """The cases, and the spread of log(measured / stated rate) at 1 in 100 and 1 in 1,000, each case by the others.

    Without any case nothing is known, and the spread is a factor of e.
    """
    cases = list(_cases(people, own, seed))
    if not cases:
        return None, (1.0, 1.0)
    left_out = _left_out(people, cases)
    errors, weights = [], []
    for case in cases:
        others = [other for other in cases if other.source != case.source or (other.source < 0 and other is not case)]
        if others:
            errors.append(_error(case, _left_out(people, others)))
            weights.append(_weight(case, cases))
    if not errors:
        return left_out, (1.0, 1.0)
    wide, rare = np.sqrt(np.average(np.square(errors), axis=0, weights=weights)).tolist()
    return left_out, (round(wide, 4), round(max(rare, wide), 4))


def _cases(people: People, own: Floats, seed: int) -> Iterator[Case]:
    rng = np.random.default_rng(seed)
    # Of one source alone, its looks stand in for sources.
    source = people.source if len(np.unique(people.source)) > 1 else people.look
    for number in np.unique(source):
        out = source == number
        if not out.all():
            yield from _trials(people, ~out, out, int(number), own, rng)
    half = rng.permutation(len(people.codes)) % 2 == 0
    for fit in (half, ~half):
        yield from _trials(people, fit, ~fit, -1, own, rng)


def _trials(
    people: People, fit: NDArray[np.bool_], rest: NDArray[np.bool_], source: int, own: Floats, rng: np.random.Generator
) -> Iterator[Case]:
    seen = people.some(fit)
    if min(np.bincount(seen.look)) < 3:
        return
    looks, (whitening, usual) = fit_looks(seen, own), _distances(seen)
    for look in np.unique(people.look[rest]):
        pool = people.codes[rest & (people.look == look)]
        if len(pool) < _FEWEST:
            continue
        excess, further, above = [], [], []
        for _ in range(_GALLERIES):
            order = rng.permutation(len(pool))
            enrolled = pool[order[:_ENROLLED]]
            household = Household(looks, gallery(enrolled))
            distances = squared_distances(whitening, enrolled, looks.logits(enrolled))
            excess.append(household.excess)
            further.append(float((household.parts * (distances - usual)).sum(1).mean()))
            above.append(_above(household, enrolled, pool[order[_ENROLLED:]]))
        yield Case(source, np.array(excess), np.array(further), np.stack(above))


def _above(household: Household, enrolled: Floats, strangers: Floats) -> Reals:
    scores = strangers @ enrolled.T
    top = np.partition(scores, -2, axis=1)
    leads = top[:, -1] - top[:, -2] >= _MARGIN
    return np.stack([np.where(leads, (scores - household.thresholds(rate)).max(1), -1.0) for rate in _RATES])


def _left_out(people: People, cases: list[Case]) -> LeftOut:
    whitening, usual = _distances(people)
    weights = np.array([_weight(case, cases) for case in cases])
    rows = [(float(case.excess.mean()), float(case.further.mean()), case.shift) for case in cases]
    return LeftOut(whitening, usual, np.column_stack([weights / weights.sum(), rows]), _scatter(people, cases))


def _weight(case: Case, cases: list[Case]) -> float:
    """Each source left out counts the same, whatever the number of its looks."""
    same = sum(other.source == case.source for other in cases)
    if case.source < 0:
        return (1 - _UNSEEN) / same
    return _UNSEEN / same / len({other.source for other in cases if other.source >= 0})


def _scatter(people: People, cases: list[Case]) -> tuple[float, float, float]:
    """Standard deviations within a case: of a pair's similarity, of what a person adds, of a person's distance."""
    pairs = []
    for look in np.unique(people.look):
        codes = people.codes[people.look == look]
        pairs.append((codes @ codes.T)[np.triu_indices(len(codes), 1)].var())
    pair = float(np.mean(pairs))
    excess = float(np.mean([case.excess.var() for case in cases]))
    person = max(excess - pair / (_ENROLLED * (_ENROLLED - 1) / 2), 0.0) * _ENROLLED / 4
    further = float(np.mean([case.further.var() for case in cases])) * _ENROLLED
    return pair**0.5, person**0.5, further**0.5


def _error(case: Case, left_out: LeftOut) -> list[float]:
    """log(measured / stated) at each rate, with the shifts that other cases give."""
    pairs = zip(case.excess, case.further, strict=True)
    shifts = np.array([left_out.shift(float(excess), float(further), _ENROLLED) for excess, further in pairs])
    measured = (case.above >= shifts[:, None, None]).mean((0, 2))
    # Rates of which hardly anything can be counted are not taken for nothing at all.
    return [float(np.log((found + rate / 10) / (1.1 * rate))) for found, rate in zip(measured, _RATES, strict=True)]


def _distances(people: People) -> tuple[Floats, Reals]:
    """The whitening and each look's usual squared distance, as of people who were not fitted to."""
    means, within = within_looks(people.codes, people.look)
    whitening = np.linalg.cholesky(np.linalg.inv(within)).astype(np.float32)
    found = (((people.codes - means[people.look]) @ whitening) ** 2).sum(1)
    count, size = people.codes.shape
    # A covariance fits those best whom it was made of.
    found = found * count / max(count - size - 1, 1)
    return whitening, np.array([found[people.look == look].mean() for look in range(len(means))])


def gallery(codes: Floats) -> Templates:
    """Templates of one person a code (N, D)."""
    count = len(codes)
    rows = np.arange(count)
    return Templates(tuple(map(str, range(count))), rows, codes, np.ones(count, np.float32), rows)
