"""From the owner's wish to a threshold: how high strangers score against this very gallery.

The owner says how many of 1,000 strangers may get a name. Every stranger of the bundle's cohort is compared
with everybody enrolled, and the best of those scores counts, if it leads as a name must, as it would live
(ISO/IEC 19795-1: open-set identification, false-positive identification rate).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from edge_runtime.bundle.cohort_correction import CohortCorrection
from edge_runtime.decision.tail import FEWEST_IN_TAIL, Tail
from edge_runtime.errors import InputError
from edge_runtime.gallery.templates import Templates
from edge_runtime.metrics.biometrics import rule_of_three, wilson_interval
from edge_runtime.types import Floats

_REPEATS = 200
"""Bootstrap samples behind an interval."""
_BLOCK = 512


@dataclass(frozen=True)
class Calibration:
    """A threshold and what stands behind it.

    Attributes:
        threshold: the least score that may carry a name; infinite while nobody is enrolled.
        wish_per_1000: how many of 1,000 strangers the owner lets pass.
        expected_per_1000: how many are expected to pass at this threshold.
        supported_per_1000: the lowest rate the cohort can vouch for with 95 % confidence.
        interval: 95 % interval of the rate per 1,000, (low, high).
        stranger_scores: float32 (S,), ascending: each stranger's best score against the gallery.
        note: for the owner, where the wish cannot be kept for certain; or None.
        tail: of the strangers' scores that may carry a name; None with nobody enrolled or no strangers.
        people: enrolled, P.
        people_behind: how many real people the strangers stand for.
        realism: how real strangers differ from them.
    """

    threshold: float
    wish_per_1000: float
    expected_per_1000: float
    supported_per_1000: float
    interval: tuple[float, float]
    stranger_scores: Floats
    note: str | None = None
    tail: Tail | None = None
    people: int = 0
    people_behind: int = 0
    realism: CohortCorrection = field(default_factory=CohortCorrection)

    def confidence(self, scores: Floats) -> Floats:
        """The share of strangers who score less, float32 in 0..1, of scores of any shape; 0 without strangers."""
        below = np.searchsorted(self.stranger_scores, scores, side="left")
        return np.asarray(below / max(len(self.stranger_scores), 1), np.float32)

    @property
    def supported(self) -> bool:
        """Whether the cohort can vouch for the wish."""
        return self.wish_per_1000 >= self.supported_per_1000

    @property
    def extrapolated(self) -> bool:
        """Whether the threshold comes from the fitted tail rather than from counting."""
        return self.tail is not None and self.tail.share > 0 and self.threshold > float(self.tail.start)

    def rate_per_1000(self, threshold: float) -> float:
        """How many of 1,000 strangers are expected to pass another threshold."""
        if self.tail is None:
            return 0.0
        return 1000 * self.realism.real(float(self.tail.rate(threshold)), self.people)


def calibrate(
    templates: Templates,
    strangers: Floats,
    people_behind: int,
    wish_per_1000: float,
    margin: float = 0.0,
    realism: CohortCorrection | None = None,
) -> Calibration:
    """Derive the threshold for this gallery.

    Where enough of the strangers pass, they are counted: with n strangers and the next one drawn like them, the
    chance that the next one passes a threshold which k of the n pass is at most (k + 1) / (n + 1), whatever the
    distribution (Vovk, Gammerman, Shafer, "Algorithmic Learning in a Random World", 2005, chapter 2). A rarer wish
    takes the threshold from a tail fitted to the highest tenth (see ``tail.Tail``). A wish below 3/n, the "rule of
    three" of ISO/IEC 19795-1, cannot be vouched for: the threshold is the tail's all the same, and the note says
    what is not known.

    Args:
        templates: of everybody enrolled.
        strangers: float32 (S, D) embeddings of unit length.
        people_behind: how many people the strangers' embeddings come from.
        wish_per_1000: strangers who may pass, of 1,000; 0 to 1000.
        margin: how far the best person must lead for a name; a stranger between two people gets none.
        realism: how real strangers differ from these; None: not at all.

    Raises:
        InputError: embeddings of another size than the gallery's, or a wish out of range.
    """
    if strangers.ndim != 2 or strangers.shape[1] != templates.embeddings.shape[1]:
        raise InputError(f"strangers: expected (S, {templates.embeddings.shape[1]}), received {strangers.shape}")
    if not 0 <= wish_per_1000 <= 1000:
        raise InputError(f"wish: expected 0 to 1000 strangers of 1,000, received {wish_per_1000:g}")
    like = realism or CohortCorrection()
    n = min(len(strangers), max(people_behind, 0))
    supported = 1000 * rule_of_three(n) if n else 1000.0
    if not len(templates.embeddings):
        nothing = np.zeros(0, np.float32)
        return Calibration(
            math.inf, wish_per_1000, 0.0, supported, (0.0, 0.0), nothing, "nobody is enrolled: everybody is a stranger"
        )
    best, named = _stranger_scores(strangers, templates.person_embeddings(), margin)
    scores = np.sort(best)
    if not n:
        nobody = "the bundle's strangers stand for no real people, so no rate can be vouched for"
        highest = float(np.nextafter(scores[-1], np.float32(2))) if len(scores) else math.inf
        return Calibration(highest, wish_per_1000, 1000.0, supported, (0.0, 1000.0), scores, nobody)
    people = len(templates.names)
    tail = Tail.fit(named, n)
    aimed = like.drawn(wish_per_1000 / 1000, people)
    fitted = tail.share > aimed and float(tail.scale) > 0
    threshold = tail.threshold(aimed if fitted else _conformal(aimed, n))
    rate = float(tail.rate(threshold))
    expected = 1000 * like.real(rate if fitted else (rate * n + 1) / (n + 1), people)
    interval = _interval(tail, n, threshold, like, people)
    note = None
    if wish_per_1000 < supported:
        how = "follows the tail of their scores" if fitted else "is the strictest they support"
        note = (
            f"{n} strangers can vouch for {supported:.3g} of 1,000, not for {wish_per_1000:g}: the threshold {how}, "
            f"and the true rate may be as high as {max(interval[1], supported):.2g}"
        )
    return Calibration(threshold, wish_per_1000, expected, supported, interval, scores, note, tail, people, n, like)


def _stranger_scores(strangers: Floats, enrolled: Floats, margin: float) -> tuple[Floats, Floats]:
    """Each stranger's best score, float32 (S,), and the same with -inf where its lead would not do for a name."""
    best, lead = np.empty(len(strangers), np.float32), np.full(len(strangers), np.inf, np.float32)
    for start in range(0, len(strangers), _BLOCK):
        rows = slice(start, start + _BLOCK)
        scores = strangers[rows] @ enrolled.T
        best[rows] = scores.max(1)
        if margin > 0 and len(enrolled) > 1:
            top = np.partition(scores, len(enrolled) - 2, axis=1)[:, -2:]
            lead[rows] = np.abs(top[:, 1] - top[:, 0])
    return best, np.where(lead >= margin, best, -np.inf).astype(np.float32)


def _conformal(rate: float, n: int) -> float:
    """The share of n strangers that may pass so that the next one passes with a chance of at most ``rate``."""
    return max((rate * (n + 1) - 1) / n, 0.0)


def _interval(tail: Tail, n: int, threshold: float, like: CohortCorrection, people: int) -> tuple[float, float]:
    """95 % interval of the rate per 1,000, as far as ``n`` people can tell.

    Bootstrap (Efron, 1979) over samples of n strangers, each with a tail of its own, and over how far real
    strangers were found from what ``like`` says; where nothing is fitted, Wilson's interval of what was counted.
    """
    if not tail.share or n * tail.share < FEWEST_IN_TAIL:
        low, high = wilson_interval(float(tail.rate(threshold)) * n, n)
        return 1000 * like.real(low, people), 1000 * like.real(high, people)
    rng = np.random.default_rng(0)
    samples = rng.choice(tail.scores, (_REPEATS, n))
    rates = Tail.fit(samples, n).rate(threshold)
    off = np.exp(rng.normal(0.0, 1.0, _REPEATS) * like.spread)
    real = np.sort([1000 * like.real(float(rate), people) for rate in rates] * off)
    low, high = np.quantile(real, [0.025, 0.975])
    return float(low), float(min(high, 1000.0))
