"""How well embeddings tell people apart: the one set of measures for training, conversion and the device.

Terms are those of ISO/IEC 19795-1:2021 and of NIST's 1:N reports (Grother, Ngan, Hanaoka: "Face Recognition Vendor
Test Part 2: Identification", NISTIR 8271, 2019). FMR and FNMR, TMR = 1 - FNMR: false (non-)match rates of pairs.
FPIR: share of strangers' searches that return anybody. FNIR: share of enrolled people's searches that do not
return them. DIR = 1 - FNIR: detection and identification rate, here at rank 1. A score passes when it is
*greater than* the threshold.

A zero embedding stands for a photo without a usable face. It never matches: as a pair it scores -1, as a search it
finds nobody, so it counts as a miss where a match is due and is never enrolled.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge_runtime.errors import InputError
from edge_runtime.geometry.embeddings import normalise
from edge_runtime.types import Floats

Reals = NDArray[np.float64]
_BLOCK = 512


def pair_similarity(left: Floats, right: Floats) -> Floats:
    """Cosine of embeddings (P, D) row by row, float32 (P,); -1 where either embedding is zero."""
    a, b = _unit(left, "left"), _unit(right, "right")
    if a.shape != b.shape:
        raise InputError(f"pairs: expected two arrays of one shape, received {a.shape} and {b.shape}")
    return np.where(_usable(a) & _usable(b), (a * b).sum(1), np.float32(-1)).astype(np.float32)


@dataclass(frozen=True, slots=True)
class PairAccuracy:
    """Share of pairs judged right, each fold by the threshold that is best on the other folds.

    Attributes:
        mean: over folds.
        standard_error: of that mean, as LFW's tables give it: the folds' standard deviation / sqrt(folds).
        folds, accuracy, threshold: one a fold.
    """

    mean: float
    standard_error: float
    folds: tuple[int, ...]
    accuracy: tuple[float, ...]
    threshold: tuple[float, ...]


def pair_accuracy(similarity: ArrayLike, same: ArrayLike, folds: ArrayLike) -> PairAccuracy:
    """LFW's View-2 accuracy (Huang et al., "Labeled Faces in the Wild", 2007).

    Args:
        similarity: (P,), larger is more alike.
        same: bool (P,).
        folds: int (P,), which fold a pair belongs to; at least two.

    Raises:
        InputError: no pairs, only one kind of pair outside of a fold, or a single fold.
    """
    scores, truth = _scores(similarity, same)
    fold = np.asarray(folds)
    names = np.unique(fold)
    if fold.shape != scores.shape or len(names) < 2:
        raise InputError(
            f"pair accuracy: expected a fold for each of {len(scores)} pairs and at least two folds, "
            f"received {fold.shape} and {len(names)}; name two folds, for one sets the threshold of the other"
        )
    thresholds = [_best_threshold(*_scores(scores[fold != f], truth[fold != f])) for f in names]
    right = [
        float(np.mean((scores[fold == f] > t) == truth[fold == f])) for f, t in zip(names, thresholds, strict=True)
    ]
    error = float(np.std(right, ddof=1)) / math.sqrt(len(right))
    return PairAccuracy(
        float(np.mean(right)), error, tuple(int(f) for f in names), tuple(right), tuple(float(t) for t in thresholds)
    )


def _best_threshold(scores: Reals, truth: NDArray[np.bool_]) -> float:
    """Where ``score > threshold`` is right most often; the middle one of equally good gaps."""
    curve = roc(scores, truth)
    right = curve.tmr * truth.sum() + (1 - curve.fmr) * (~truth).sum()
    best = np.flatnonzero(right >= right.max() - 1e-9)
    at = int(best[len(best) // 2])
    upper, lower = curve.threshold[max(at - 1, 0)], curve.threshold[at]
    # The curve's thresholds are scores themselves; half way to the next higher one errs equally to both sides.
    return float(lower if not np.isfinite(upper + lower) else (lower + upper) / 2)


@dataclass(frozen=True, slots=True)
class Roc:
    """Receiver operating characteristic: rates of ``score > threshold``, from (0, 0) to (1, 1).

    Attributes:
        fmr, tmr: float64 (K,), rising.
        threshold: float64 (K,), falling: the pairs' distinct scores, -inf at the end.
    """

    fmr: Reals
    tmr: Reals
    threshold: Reals

    @property
    def auc(self) -> float:
        """Area below the curve: the chance that a same pair scores above a different one, ties half."""
        return float((np.diff(self.fmr) * (self.tmr[1:] + self.tmr[:-1]) / 2).sum())

    @property
    def eer(self) -> float:
        """Equal error rate, where FMR = FNMR, between two points of the curve by a straight line."""
        gap = self.fmr - (1 - self.tmr)
        k = int(np.argmax(gap >= 0))
        part = -gap[k - 1] / (gap[k] - gap[k - 1])
        return float(self.fmr[k - 1] + part * (self.fmr[k] - self.fmr[k - 1]))


def roc(similarity: ArrayLike, same: ArrayLike) -> Roc:
    """The curve of pairs, one point a distinct score.

    Args:
        similarity: (P,), larger is more alike.
        same: bool (P,).

    Raises:
        InputError: no pairs, only one kind of them, or a score that is not a number.
    """
    scores, truth = _scores(similarity, same)
    order = np.argsort(-scores, kind="stable")
    scores, truth = scores[order], truth[order]
    first = np.concatenate([[True], scores[1:] != scores[:-1]])
    hits = np.concatenate([[0], np.cumsum(truth)])[np.append(np.flatnonzero(first), len(scores))]
    passed = np.append(np.flatnonzero(first), len(scores))
    return Roc((passed - hits) / (~truth).sum(), hits / truth.sum(), np.concatenate([scores[first], [-np.inf]]))


@dataclass(frozen=True, slots=True)
class TmrAtFmr:
    """True match rate at a false match rate, over all pairs.

    Attributes:
        tmr: mean over people of the share of their pairs that match.
        fmr: the rate asked for.
        threshold: the score a match has to exceed.
        people: with at least two photos, over whom ``tmr`` is the mean.
    """

    tmr: float
    fmr: float
    threshold: float
    people: int


def tmr_at_fmr(embeddings: Floats, names: Sequence[str], fmr: float = 1e-4) -> TmrAtFmr:
    """TMR at a fixed FMR over all pairs of photos, every person weighing the same.

    A person's same pairs together weigh 1, and so do the photo pairs of any two people, so that somebody
    with a hundred photos counts no more than others.

    Args:
        embeddings: float32 (N, D); zero embeddings never match.
        names: N people.
        fmr: 0..1, exclusive.

    Raises:
        InputError: nobody with two photos, fewer than two people, or a rate out of range.
    """
    unit, people, person = _people(embeddings, names)
    photos = np.bincount(person)
    if not 0 < fmr < 1 or len(people) < 2 or photos.max() < 2:
        raise InputError(
            f"TMR at FMR: expected a rate between 0 and 1, two people and one of them with two photos; "
            f"received {fmr}, {len(people)} people, at most {photos.max()} photos"
        )
    different = len(people) * (len(people) - 1) // 2
    threshold = _weighted_quantile(unit, person, 1 / photos, fmr * different)
    matched = np.zeros(len(people))
    for p in np.flatnonzero(photos > 1):
        mine = unit[person == p]
        scores = _cosines(mine, mine)[np.triu_indices(len(mine), 1)]
        matched[p] = np.mean(scores > threshold)
    return TmrAtFmr(float(matched[photos > 1].mean()), fmr, threshold, int((photos > 1).sum()))


def _weighted_quantile(unit: Floats, person: NDArray[np.int64], weight: Reals, allowed: float) -> float:
    """The lowest score such that different-person pairs above it weigh at most ``allowed`` together.

    Rows are compared in blocks, and only what may still lie above the score is kept.
    """
    scores, weights, floor = np.zeros(0, np.float32), np.zeros(0), -np.inf
    for start in range(0, len(unit), _BLOCK):
        rows = slice(start, start + _BLOCK)
        block = _cosines(unit[rows], unit[start:])
        others = np.triu(person[rows, None] != person[None, start:], 1) & (block >= floor)
        i, j = np.nonzero(others)
        scores = np.concatenate([scores, block[i, j]])
        weights = np.concatenate([weights, weight[person[start + i]] * weight[person[start + j]]])
        order = np.argsort(-scores, kind="stable")
        scores, weights = scores[order], weights[order]
        beyond = int(np.searchsorted(np.cumsum(weights), allowed * (1 + 1e-9), side="right"))
        if beyond < len(scores):
            floor = float(scores[beyond])
            scores, weights = scores[: beyond + 1], weights[: beyond + 1]
    return floor


@dataclass(frozen=True, slots=True)
class OpenSet:
    """Identification among enrolled people with strangers about, over seeded draws of who is enrolled.

    Attributes:
        fpir: the rate asked for; the threshold of a draw is the lowest that keeps it on that draw's strangers.
        dir_mean, dir_std: mean and standard deviation over draws of the rank-1 DIR (FNIR = 1 - DIR).
        threshold_mean: over draws.
        people, photos, draws, seed, template: how it was drawn.
        searches, strangers: mean number of searches of enrolled people and of strangers a draw. With fewer
            than 1 / fpir strangers, the threshold is the best stranger's score.
    """

    fpir: float
    dir_mean: float
    dir_std: float
    threshold_mean: float
    people: int
    photos: int
    draws: int
    seed: int
    template: str
    searches: float
    strangers: float


def dir_at_fpir(
    embeddings: Floats,
    names: Sequence[str],
    fpirs: Sequence[float] = (0.01, 0.001),
    *,
    people: int = 40,
    photos: int = 3,
    draws: int = 20,
    seed: int = 0,
    template: Literal["mean", "best"] = "mean",
    enrollable: NDArray[np.bool_] | None = None,
    enrolled_as: Floats | None = None,
) -> list[OpenSet]:
    """DIR at rank 1 for given FPIRs: some people are enrolled with a few photos, everybody else is a stranger.

    Args:
        embeddings: float32 (N, D); zero embeddings are never enrolled, and are misses as searches.
        names: N people.
        fpirs: rates, 0..1; 1 gives the closed-set rank-1 rate.
        people: how many are enrolled, of those with more than ``photos`` photos.
        photos: how many usable photos enrol somebody; the others of that person are searches.
        draws: how often it is repeated, at least 2.
        seed: of the draws.
        template: ``mean`` of a person's embeddings, or the ``best`` of them.
        enrollable: bool (N,); photos of people who may be enrolled (default: all); the others stay strangers.
        enrolled_as: float32 (N, D), what enrols somebody in the place of a photo's own embedding.

    Raises:
        InputError: too few people with enough photos, no strangers left, or a value out of range.
    """
    unit, everybody, person = _people(embeddings, names)
    if draws < 2 or people < 1 or photos < 1 or not all(0 <= rate <= 1 for rate in fpirs):
        raise InputError(
            "identification: expected 2 draws or more, 1 person and photo or more, and rates of 0 to 1; "
            f"received {draws}, {people}, {photos} and {list(fpirs)}"
        )
    allowed = _usable(unit) if enrollable is None else _usable(unit) & enrollable
    usable = np.bincount(person, weights=allowed, minlength=len(everybody))
    eligible = np.flatnonzero((usable >= photos) & (np.bincount(person) > photos))
    if len(eligible) < people or len(everybody) <= people:
        raise InputError(
            f"identification: expected {people} people with more than {photos} photos each and strangers beside "
            f"them, found {len(eligible)} such of {len(everybody)} people; enrol fewer people or photos"
        )
    rng = np.random.default_rng(seed)
    given = unit if enrolled_as is None else _unit(enrolled_as, "enrolled_as")
    rows = [
        _identify(
            unit, given, person, allowed, rng.choice(eligible, people, replace=False), photos, template, rng, fpirs
        )
        for _ in range(draws)
    ]
    rates, thresholds, sizes = (np.asarray(column) for column in zip(*rows, strict=True))
    searches, strangers = sizes.mean(0)
    return [
        OpenSet(
            float(rate),
            float(rates[:, i].mean()),
            float(rates[:, i].std(ddof=1)),
            float(thresholds[:, i].mean()),
            people,
            photos,
            draws,
            seed,
            template,
            float(searches),
            float(strangers),
        )
        for i, rate in enumerate(fpirs)
    ]


def _identify(
    unit: Floats,
    given: Floats,
    person: NDArray[np.int64],
    allowed: NDArray[np.bool_],
    enrolled: NDArray[np.int64],
    photos: int,
    template: str,
    rng: np.random.Generator,
    fpirs: Sequence[float],
) -> tuple[list[float], list[float], tuple[int, int]]:
    """One draw: DIR and threshold for each rate, and the numbers of searches and strangers."""
    chosen = np.stack([rng.choice(np.flatnonzero((person == p) & allowed), photos, replace=False) for p in enrolled])
    if template == "mean":
        scores = _cosines(unit, normalise(given[chosen].mean(1))[0])
    else:
        scores = _cosines(unit, given[chosen.ravel()]).reshape(len(unit), len(enrolled), photos).max(2)
    top, best = enrolled[scores.argmax(1)], scores.max(1)
    mated = np.isin(person, enrolled)
    strangers = np.sort(best[~mated])[::-1]
    mated[chosen.ravel()] = False
    rates, thresholds = [], []
    for fpir in fpirs:
        passes = math.floor(fpir * len(strangers) + 1e-9)
        threshold = float(strangers[passes]) if passes < len(strangers) else -1.0
        rates.append(float(np.mean((top[mated] == person[mated]) & (best[mated] > threshold))))
        thresholds.append(threshold)
    return rates, thresholds, (int(mated.sum()), len(strangers))


def cosine_summary(a: Floats, b: Floats) -> dict[str, float]:
    """How near two encoders' embeddings (N, D) of the same chips are, as float against int8.

    A chip that both refuse (a zero embedding) agrees fully, one that only one refuses not at all.

    Returns:
        ``mean``, ``min`` and ``p1`` (first percentile) of the row-wise cosine.

    Raises:
        InputError: no embeddings, or two shapes.
    """
    left, right = _unit(a, "codes"), _unit(b, "codes")
    if left.shape != right.shape or not len(left):
        raise InputError(f"codes: expected two arrays (N, D) of one shape, received {left.shape} and {right.shape}")
    cosine = np.where(_usable(left) | _usable(right), (left * right).sum(1), np.float32(1))
    return {"mean": float(cosine.mean()), "min": float(cosine.min()), "p1": float(np.percentile(cosine, 1))}


def wilson_interval(successes: float, trials: int, z: float = 1.959964) -> tuple[float, float]:
    """Interval for a proportion (Wilson, 1927): lower and upper end; ``z`` 1.96 is 95 % confidence.

    Successes need not be whole: a rate measured on several embeddings a person is one of people.

    Raises:
        InputError: no trials, or more successes than trials.
    """
    if trials < 1 or not 0 <= successes <= trials:
        raise InputError(f"proportion: expected 0 to N successes of N >= 1 trials, received {successes} of {trials}")
    share, shrink = successes / trials, 1 + z * z / trials
    centre = share + z * z / (2 * trials)
    half = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    # Exactly 0 and exactly all are not left to rounding.
    low = (centre - half) / shrink if successes > 0 else 0.0
    high = (centre + half) / shrink if successes < trials else 1.0
    return max(low, 0.0), min(high, 1.0)


def rule_of_three(trials: int) -> float:
    """Upper 95 % bound of a rate of which no case was seen (Hanley and Lippman-Hand, 1983): 3 / trials, at most 1.

    Raises:
        InputError: no trials.
    """
    if trials < 1:
        raise InputError(f"rule of three: expected at least one trial, received {trials}")
    return min(3.0 / trials, 1.0)


def _scores(similarity: ArrayLike, same: ArrayLike) -> tuple[Reals, NDArray[np.bool_]]:
    scores, truth = np.asarray(similarity, np.float64), np.asarray(same, bool)
    if scores.ndim != 1 or scores.shape != truth.shape or not truth.any() or truth.all() or np.isnan(scores).any():
        raise InputError(
            f"pairs: expected scores (P,) without NaN, of same and of different pairs, received {scores.shape} "
            f"scores and {truth.shape} truths, {int(truth.sum())} of them same"
        )
    return scores, truth


def _unit(embeddings: Floats, name: str) -> Floats:
    values = np.asarray(embeddings, np.float32)
    if values.ndim != 2 or not values.shape[1]:
        raise InputError(f"{name}: expected codes float32 (N, D), received {values.dtype} {values.shape}")
    return normalise(values)[0]


def _usable(unit: Floats) -> NDArray[np.bool_]:
    return np.asarray(unit.any(1), np.bool_)


def _cosines(a: Floats, b: Floats) -> Floats:
    """(N, M) cosines of unit embeddings; -1 where either is zero."""
    scores = a @ b.T
    scores[~_usable(a)] = -1
    scores[:, ~_usable(b)] = -1
    return np.asarray(scores, np.float32)


def _people(embeddings: Floats, names: Sequence[str]) -> tuple[Floats, list[str], NDArray[np.int64]]:
    """Unit embeddings, everybody's name sorted, and each embedding's index into them."""
    unit = _unit(embeddings, "codes")
    if len(unit) != len(names) or not len(unit):
        raise InputError(
            f"codes: expected at least one code and a name for each, received {len(unit)} and {len(names)}"
        )
    everybody, person = np.unique(np.asarray(names, str), return_inverse=True)
    return unit, [str(name) for name in everybody], np.asarray(person, np.int64)
