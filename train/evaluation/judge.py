"""Whether a tuned encoder recognises its people better than the one it came from, on photos it was not fitted on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import InputError
from edge_runtime.geometry.embeddings import normalise
from edge_runtime.types import Floats

_REPLICATES = 2000
_FPIR = 0.01
_CONFIDENCE = 0.95


@dataclass(frozen=True)
class Trial:
    """Codes of one encoder for a judgement.

    Attributes:
        enrolled: float32 (n, D), photos that make the people's templates.
        searches: float32 (m, D), other photos of the same people.
        strangers: float32 (s, D), photos of others.
    """

    enrolled: Floats
    searches: Floats
    strangers: Floats


@dataclass(frozen=True)
class Verdict:
    """What came of it.

    Attributes:
        fpir: share of the strangers' photos that get a name.
        old, new: share of the searches that get their own name at that rate, 0..1, each encoder at its threshold.
        chance: share of the bootstrap's draws in which the new one is not the better.
        low, high: 95 % of the draws' differences lie between.
        searches, people, strangers: how many photos, people and strangers' photos.
        better: whether the new one is, with 95 % confidence.
    """

    fpir: float
    old: float
    new: float
    chance: float
    low: float
    high: float
    searches: int
    people: int
    strangers: int
    better: bool

    def sentence(self) -> str:
        """One line for people."""
        how = f"DIR at FPIR {100 * self.fpir:g} % {100 * self.old:.1f} -> {100 * self.new:.1f} %"
        how += f" ({self.searches} photos of {self.people} people, {self.strangers} of strangers; "
        how += f"difference {100 * self.low:+.1f} to {100 * self.high:+.1f} points)"
        return f"better than before: {how}" if self.better else f"not shown to be better, the old encoder stays: {how}"


def judge(
    old: Trial,
    new: Trial,
    enrolled: NDArray[np.str_],
    searched: NDArray[np.str_],
    strange: NDArray[np.str_],
    seed: int = 0,
) -> Verdict:
    """Compare two encoders on the same photos.

    A paired bootstrap (Efron and Tibshirani, "An introduction to the bootstrap", 1993) over people, the searched and
    the strangers alike: photos of one person are not independent. Both encoders face the same draw, each with the
    threshold that lets ``fpir`` of the drawn strangers' photos pass.

    Args:
        old: codes of the encoder that is there.
        new: codes of the one that would take its place.
        enrolled: (n,) str, who is on each photo.
        searched: (m,) str.
        strange: (s,) str; an empty name is a person of their own.
        seed: of the draws.

    Raises:
        InputError: no searches, a search for nobody enrolled, or strangers too few for the rate.
    """
    if not len(searched) or not set(searched.tolist()) <= set(enrolled.tolist()) or len(strange) < 1 / _FPIR:
        raise InputError(
            f"expected held-out photos of the people and {1 / _FPIR:.0f} photos of strangers or more, "
            f"found {len(searched)} and {len(strange)}; give more photos of each person, or more --strangers"
        )
    scores = [_scores(trial, enrolled, searched) for trial in (old, new)]
    whole = [_rate(own, others) for own, others in scores]
    people, owners = np.unique(searched, return_inverse=True)
    alone = np.array([name or f"\0{k}" for k, name in enumerate(strange.tolist())])
    strangers, faces = np.unique(alone, return_inverse=True)
    rng = np.random.default_rng(seed)
    differences = np.empty(_REPLICATES)
    for draw in range(_REPLICATES):
        weight = np.bincount(rng.integers(0, len(people), len(people)), minlength=len(people))[owners]
        other = np.bincount(rng.integers(0, len(strangers), len(strangers)), minlength=len(strangers))[faces]
        before, after = (_rate(own, others, weight, other) for own, others in scores)
        differences[draw] = after - before
    chance = float(np.mean(differences <= 0))
    low, high = (float(end) for end in np.quantile(differences, (0.025, 0.975)))
    better = whole[1] > whole[0] and chance < 1 - _CONFIDENCE
    return Verdict(_FPIR, whole[0], whole[1], chance, low, high, len(searched), len(people), len(strange), better)


def _scores(trial: Trial, enrolled: NDArray[np.str_], searched: NDArray[np.str_]) -> tuple[Floats, Floats]:
    """Each search's similarity where the right person comes first, -1 where not; each stranger's largest."""
    unit = normalise(trial.enrolled)[0]
    people = np.unique(enrolled)
    templates = normalise(np.stack([unit[enrolled == name].mean(0) for name in people]))[0]
    similarity = normalise(trial.searches)[0] @ templates.T
    right = people[similarity.argmax(1)] == searched
    own = np.where(right, similarity.max(1), -1.0).astype(np.float32)
    return own, np.asarray((normalise(trial.strangers)[0] @ templates.T).max(1), np.float32)


def _rate(
    own: Floats, others: Floats, weight: NDArray[np.int64] | None = None, other: NDArray[np.int64] | None = None
) -> float:
    """DIR at the threshold that ``_FPIR`` of the strangers' (weighted) photos exceed."""
    weight = np.ones(len(own), np.int64) if weight is None else weight
    other = np.ones(len(others), np.int64) if other is None else other
    order = np.argsort(-others)
    passed = np.cumsum(other[order])
    threshold = others[order[np.searchsorted(passed, _FPIR * passed[-1], side="right")]]
    return float(weight[own > threshold].sum() / max(weight.sum(), 1))
