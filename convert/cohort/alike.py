"""Fits what a bundle knows of strangers by their look: a mixture, and how alike pairs of its people are.

Where a source's file names state the look of a face (UTKFace, SCUT-FBP5500), the looks are those; people of other
sources go to the look that a linear discriminant of the stated ones finds for them, once each source's own mean is
taken off. Looks of different sources are kept apart, because pictures of one source are alike as such. The file
holds means, shares and a discriminant, never a person's code.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_runtime.bundle.looks import GRID, LEAST_SHARE, Looks, LooksSheet
from edge_runtime.decision.household import Household
from edge_runtime.errors import InputError
from edge_runtime.gallery.templates import Templates
from edge_runtime.types import Floats

Reals = NDArray[np.float64]

FEWEST_PEOPLE = 300
"""Fewer people do not show looks."""
_FEWEST_IN_LOOK = 20
_STATED = (re.compile(r"(?:^|/)\d+_([01])_([0-4])_\d+"), re.compile(r"(?:^|/)([AC])([FM])\d+\.\w+$"))
_OF_ORIGIN = re.compile(r"(?:^|/)\d+_[01]_[0-3]_\d+")
_SHRUNK = 0.1
_TAIL, _FEWEST_IN_TAIL = 0.02, 30
_SHAPES = (-0.4, 0.1)
_MOST_PAIRS = 2_000_000
_TRIALS, _TRIAL_PEOPLE = 60, 10
_TRIAL_RATES = (0.01, 0.001)
_UNNAMED_LOOKS = 6


@dataclass(frozen=True)
class Source:
    """People of one source, a code each.

    Attributes:
        codes: float32 (N, D) of unit length.
        stated: (N,) the look that a file name states; "" where none does.
    """

    codes: Floats
    stated: NDArray[np.str_]


def stated_look(path: str) -> str:
    """The look in a file name of a known source, "" where the name states no look."""
    for pattern in _STATED:
        if found := pattern.search(path):
            return "-".join(found.groups())
    return ""


def one_each(codes: Floats, same: float) -> NDArray[np.bool_]:
    """Which of the codes (N, D) to keep so that of those ``same`` or more alike one is left, the first."""
    kept = np.ones(len(codes), np.bool_)
    for row in range(len(codes)):
        if kept[row]:
            kept[row + 1 :] &= codes[row + 1 :] @ codes[row] < same
    return kept


def make_looks(sources: Sequence[Source], own: Floats, seed: int = 0) -> Looks:
    """Fit to people.

    Args:
        sources: of people, one code each.
        own: true scores (N,), one photo of a person against another.
        seed: of the halves that the spread is measured on.

    Raises:
        InputError: fewer people than ``FEWEST_PEOPLE``.
    """
    people = sum(len(source.codes) for source in sources)
    if people < FEWEST_PEOPLE:
        raise InputError(
            f"looks: expected at least {FEWEST_PEOPLE} people, found {people}; name more with --cohort FILE"
        )
    codes, labels = _labelled(sources, seed)
    spread = _spread(codes, labels, own, seed)
    return _fit(codes, labels, own, spread)


def _fit(codes: Floats, labels: NDArray[np.int64], own: Floats, spread: tuple[float, float]) -> Looks:
    weights, bias = _discriminant(codes, labels)
    kinds = int(labels.max()) + 1
    reached, means = np.zeros((kinds, kinds, len(GRID))), np.zeros((kinds, kinds))
    groups = [codes[labels == kind] for kind in range(kinds)]
    for one in range(kinds):
        for other in range(one, kinds):
            pairs = groups[one] @ groups[other].T
            values = pairs[np.triu_indices(len(pairs), 1)] if one == other else pairs.ravel()
            means[one, other] = means[other, one] = values.mean()
            reached[one, other] = reached[other, one] = _reached(np.sort(values.astype(np.float64)))
    true = (float(np.mean(own)), max(float(np.std(own)), 1e-3))
    return Looks(weights, bias, reached, means, len(codes), spread, true)


def _labelled(sources: Sequence[Source], seed: int) -> tuple[Floats, NDArray[np.int64]]:
    """Everybody's code and look, small looks of a source put together."""
    teach = [source for source in sources if (source.stated != "").mean() > 0.5]
    known: tuple[Floats, Floats, NDArray[np.str_]] | None = None
    if teach:
        # The source with most looks teaches the others.
        best = max(teach, key=lambda source: len(set(source.stated.tolist())))
        use = np.array([look != "" and not look.endswith("-4") for look in best.stated])
        names, labels = np.unique(best.stated[use], return_inverse=True)
        weights, bias = _discriminant(best.codes[use] - best.codes[use].mean(0), labels.astype(np.int64))
        known = weights, bias, names
    codes, labels_all, count = [], [], 0
    for source in sources:
        if (source.stated != "").mean() > 0.5:
            kept = source.stated != ""
            part, looks = source.codes[kept], source.stated[kept]
        elif known is not None:
            part = source.codes
            looks = known[2][((part - part.mean(0)) @ known[0].T + known[1]).argmax(1)]
        else:
            part, looks = source.codes, _clusters(source.codes, seed).astype(str)
        names, index, sizes = np.unique(looks, return_inverse=True, return_counts=True)
        small = sizes < _FEWEST_IN_LOOK
        index = np.where(small[index], int(sizes.argmax()), index)
        _, index = np.unique(index, return_inverse=True)
        codes.append(part)
        labels_all.append(index + count)
        count += int(index.max()) + 1
    return np.concatenate(codes), np.concatenate(labels_all).astype(np.int64)


def _clusters(codes: Floats, seed: int) -> NDArray[np.int64]:
    """k-means (Lloyd, 1982) of codes whose looks nobody states."""
    rng = np.random.default_rng(seed)
    count = max(min(_UNNAMED_LOOKS, len(codes) // (4 * _FEWEST_IN_LOOK)), 1)
    centres = codes[rng.choice(len(codes), count, replace=False)]
    labels = np.zeros(len(codes), np.int64)
    for _ in range(30):
        labels = (codes @ centres.T - 0.5 * (centres**2).sum(1)).argmax(1)
        centres = np.stack([codes[labels == k].mean(0) if (labels == k).any() else centres[k] for k in range(count)])
    return labels


def _discriminant(codes: Floats, labels: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Weights (K, D) and bias (K,) of looks with one shrunk covariance, all as likely."""
    means = np.stack([codes[labels == kind].mean(0) for kind in range(int(labels.max()) + 1)]).astype(np.float64)
    within = np.cov((codes - means[labels]).T)
    within = (1 - _SHRUNK) * within + (_SHRUNK * np.trace(within) / len(within) + 1e-9) * np.eye(len(within))
    weights = np.linalg.solve(within, means.T).T
    return weights.astype(np.float32), (-0.5 * (weights * means).sum(1)).astype(np.float32)


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


def _spread(codes: Floats, labels: NDArray[np.int64], own: Floats, seed: int) -> tuple[float, float]:
    """How far rates of one look are off, in galleries and strangers that were not fitted to: by halves."""
    rng = np.random.default_rng(seed)
    found: tuple[list[float], list[float]] = ([], [])
    half = rng.permutation(len(codes)) % 2 == 0
    for fit, rest in ((half, ~half), (~half, half)):
        if min(np.bincount(labels[fit], minlength=int(labels.max()) + 1)) < 3:
            return 1.0, 1.0
        looks = _fit(codes[fit], labels[fit], own, (0.0, 0.0))
        for kind in range(int(labels.max()) + 1):
            pool = codes[rest & (labels == kind)]
            if len(pool) < 4 * _TRIAL_PEOPLE:
                continue
            passed = np.zeros(len(_TRIAL_RATES))
            seen = 0
            for _ in range(_TRIALS):
                order = rng.permutation(len(pool))
                enrolled, others = pool[order[:_TRIAL_PEOPLE]], pool[order[_TRIAL_PEOPLE:]]
                scores, household = others @ enrolled.T, Household(looks, _gallery(enrolled))
                for place, rate in enumerate(_TRIAL_RATES):
                    passed[place] += int((scores >= household.thresholds(rate)).any(1).sum())
                seen += len(others)
            for place, rate in enumerate(_TRIAL_RATES):
                found[place].append(float(np.log((passed[place] / seen + rate / 10) / (1.1 * rate))))
    if not found[0]:
        return 1.0, 1.0
    wide, rare = (float(np.sqrt(np.mean(np.square(values)))) for values in found)
    return round(wide, 4), round(max(rare, wide), 4)


def _gallery(codes: Floats) -> Templates:
    count = len(codes)
    rows = np.arange(count)
    return Templates(tuple(map(str, range(count))), rows, codes, np.ones(count, np.float32), rows)


def in_words(sheet: LooksSheet) -> str:
    """What a bundle knows of strangers alike, in a sentence."""
    return (
        f"{sheet.people:,} people in {sheet.kinds} looks stand behind the thresholds for strangers who look like "
        f"the household; measured on people they were not fitted to, rates are off by a factor of "
        f"{np.exp(sheet.spread[0]):.1f} at 1 in 100 and {np.exp(sheet.spread[1]):.1f} at 1 in 1,000 "
        "(one standard deviation)"
    )
