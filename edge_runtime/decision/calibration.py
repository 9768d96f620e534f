"""From the owner's target to a threshold for each person: how high strangers score against this very gallery.

The owner states a target FPIR (ISO/IEC 19795-1: open-set identification, false-positive identification rate): how many
of 1,000 strangers may get a name. Every stranger of the bundle's cohort is compared with everybody enrolled, and the
best of those scores counts, if it has the margin that a name needs, as it would live. Where the bundle knows looks,
the threshold of each person also keeps the target for strangers who look like them; see ``looks``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from edge_runtime.bundle.cohort_correction import CohortCorrection
from edge_runtime.bundle.looks import Looks
from edge_runtime.decision.confidence import Confidence
from edge_runtime.decision.door import FEWEST as FEWEST_AT_DOOR
from edge_runtime.decision.door import raised_by
from edge_runtime.decision.household import Household
from edge_runtime.decision.refusal import why_refused
from edge_runtime.decision.tail import FEWEST_IN_TAIL, Tail
from edge_runtime.errors import InputError
from edge_runtime.gallery.templates import Templates
from edge_runtime.metrics.biometrics import rule_of_three, wilson_interval
from edge_runtime.types import Floats

_REPEATS = 200
"""Bootstrap samples behind an interval."""
_BLOCK = 512
_TWO_SIDED = 1.96


@dataclass(frozen=True)
class Calibration:
    """The thresholds of one gallery and what stands behind them; what takes long is computed when it is asked for.

    Attributes:
        threshold: the least score that may carry a name, if a stranger may be anybody; infinite while nobody is
            enrolled.
        target_per_1000: the target FPIR: how many of 1,000 strangers the owner lets pass.
        expected_per_1000: how many strangers in general are expected to pass.
        supported_per_1000: the lowest rate the cohort supports with 95 % confidence.
        stranger_scores: float32 (S,), ascending: each stranger's best score against the gallery.
        tail: of the strangers' scores that may carry a name; None with nobody enrolled or no strangers.
        own: of the same scores, each moved by what its person's threshold lies above ``threshold``; the expected rate
            and its interval are of these.
        people: enrolled, P.
        people_behind: how many real people the cohort stands for.
        realism: how real strangers differ from it.
        thresholds: float64 (P,), the least score that may carry each person's name; None: ``threshold`` for everybody.
        household: the enrolled as strangers who look like them see them; None: the bundle does not know looks, or the
            target is for strangers in general.
        unfit: why the encoder names nobody whatever the gallery; None: it may.
        raised: how much of the thresholds the device's own door has added, a score >= 0.
    """

    threshold: float
    target_per_1000: float
    expected_per_1000: float
    supported_per_1000: float
    stranger_scores: Floats
    tail: Tail | None = None
    own: Tail | None = None
    people: int = 0
    people_behind: int = 0
    realism: CohortCorrection = field(default_factory=CohortCorrection)
    thresholds: NDArray[np.float64] | None = None
    household: Household | None = None
    unfit: str | None = None
    raised: float = 0.0

    def with_door(self, averages: Floats, door: Floats, at_least: float = 0.0) -> Calibration:
        """The same, no milder, for a device whose door such strangers come to; see ``door``.

        Args:
            averages: float32 (P, D) of unit length, one a person enrolled.
            door: float32 (S, D) of unit length, one a stranger.
            at_least: by how much the door's strangers raised thresholds for this gallery before, a score >= 0: who
                comes later takes none of that back.
        """
        if self.household is None or self.thresholds is None:
            return self
        raised = at_least
        if len(door) >= FEWEST_AT_DOOR:
            likely = np.array([self._confidence.likely_from(person) for person in range(self.people)])
            raised = max(raised, raised_by(self.household, averages, likely, door, self.realism.track))
        return replace(self, thresholds=self.thresholds + raised, raised=raised)

    def needed(self, person: int) -> float:
        """The least score that may carry a person's name."""
        return self.threshold if self.thresholds is None else float(self.thresholds[person])

    @property
    def bounds(self) -> tuple[float, float] | None:
        """The lowest and the highest threshold of anybody; None where nobody can be named by a score."""
        several = np.array([self.threshold]) if self.thresholds is None else self.thresholds
        return (float(several.min()), float(several.max())) if len(several) and np.isfinite(several).all() else None

    def confidence(self, score: float, person: int) -> float:
        """How likely a face of this score against a person, the best one, is theirs; see ``Confidence``."""
        return self._confidence.of(score, person)

    @property
    def supported(self) -> bool:
        """Whether the cohort supports the target."""
        return self.target_per_1000 >= self.supported_per_1000

    @property
    def extrapolated(self) -> bool:
        """Whether the threshold comes from the fitted tail rather than from counting."""
        return self.tail is not None and self.tail.share > 0 and self.threshold > float(self.tail.start)

    @cached_property
    def interval(self) -> tuple[float, float]:
        """95 % interval of ``expected_per_1000``, (low, high), of the same thresholds."""
        if self.own is None:
            return (0.0, 1000.0) if self.people else (0.0, 0.0)
        return _interval(self.own, self.people_behind, self.threshold, self.realism, self.people)

    @cached_property
    def alike_per_1000(self) -> float | None:
        """How many strangers who look like the household are expected to pass; None: not known."""
        rates = self.alike_by_person
        return None if rates is None or not len(rates) else float(rates.mean())

    @cached_property
    def alike_by_person(self) -> NDArray[np.float64] | None:
        """The same for strangers who look like each person, float64 (P,) per 1,000."""
        if self.household is None or self.thresholds is None:
            return None
        rates = np.minimum(self.household.rates(self.thresholds) * math.exp(self.realism.track), 1.0)
        return np.asarray(1000 * rates)

    def alike_rate(self, threshold: float) -> float:
        """The share of strangers who look like the household named at one threshold for all; 0: not known."""
        if self.household is None:
            return 0.0
        rates = self.household.rates(np.full(self.people, threshold)) * math.exp(self.realism.track)
        return float(np.minimum(rates, 1.0).mean())

    @property
    def supported_in_general(self) -> float:
        """The lowest share of strangers in general that the cohort is evidence for (rule of three)."""
        return rule_of_three(self.people_behind) if self.people_behind else 1.0

    @property
    def alike_interval(self) -> tuple[float, float] | None:
        """95 % interval of ``alike_per_1000``: how far rates were off where the bundle was made."""
        if self.household is None or self.alike_per_1000 is None:
            return None
        factor = math.exp(_TWO_SIDED * self.household.looks.spread_at(self.alike_per_1000 / 1000))
        return self.alike_per_1000 / factor, min(self.alike_per_1000 * factor, 1000.0)

    @cached_property
    def refused(self) -> str | None:
        """Why nobody is named, in a line for the owner; None: names are given."""
        return why_refused(self)

    @cached_property
    def note(self) -> str | None:
        """For the owner, where the target cannot be kept for certain; or None."""
        if self.refused or not self.people:
            return self.refused or "nobody is enrolled: everybody is a stranger"
        if self.supported:
            return None
        fitted = self.tail is not None and self.tail.share > 0
        how = "follows the tail of their scores" if fitted else "is the strictest they support"
        return (
            f"{self.people_behind} strangers support {self.supported_per_1000:.3g} of 1,000, not "
            f"{self.target_per_1000:g}: the threshold {how}, and the true rate may be as high as "
            f"{max(self.interval[1], self.supported_per_1000):.2g}"
        )

    def rate_per_1000(self, threshold: float) -> float:
        """How many of 1,000 strangers in general are expected to pass another threshold, the same for everybody."""
        if self.tail is None:
            return 1000.0 if self.people else 0.0
        return 1000 * self.realism.real(float(self.tail.rate(threshold)), self.people)

    @cached_property
    def _confidence(self) -> Confidence:
        return Confidence.of_household(self.household) if self.household else Confidence.of_rate(self.rate_per_1000)


def calibrate(
    templates: Templates,
    strangers: Floats,
    people_behind: int,
    target_per_1000: float,
    margin: float = 0.0,
    realism: CohortCorrection | None = None,
    looks: Looks | None = None,
) -> Calibration:
    """Derive the thresholds for this gallery.

    Where enough of the strangers pass, they are counted: with n strangers and the next one drawn like them, the
    chance that the next one passes a threshold which k of the n pass is at most (k + 1) / (n + 1), whatever the
    distribution (Vovk, Gammerman, Shafer, "Algorithmic Learning in a Random World", 2005, chapter 2). A rarer target
    takes the threshold from a tail fitted to the highest tenth (see ``tail.Tail``). A target below 3/n, the "rule of
    three" of ISO/IEC 19795-1, is not supported: the threshold is the tail's all the same, and the note says
    what is not known. Nobody's threshold is below that of strangers in general.

    Args:
        templates: of everybody enrolled.
        strangers: float32 (S, D) embeddings of unit length.
        people_behind: how many people the strangers' embeddings come from.
        target_per_1000: strangers who may pass, of 1,000; 0 to 1000.
        margin: how far the best person must be ahead of the second for a name;
            a stranger between two people gets no name.
        realism: how real strangers differ from these; None: not at all.
        looks: keep the target for strangers who look like the household too; None: for strangers in general alone.

    Raises:
        InputError: embeddings of another size than the gallery's, or a target out of range.
    """
    if strangers.ndim != 2 or strangers.shape[1] != templates.embeddings.shape[1]:
        raise InputError(f"strangers: expected (S, {templates.embeddings.shape[1]}), received {strangers.shape}")
    if not 0 <= target_per_1000 <= 1000:
        raise InputError(f"target: expected 0 to 1000 strangers of 1,000, received {target_per_1000:g}")
    like = realism or CohortCorrection()
    n = min(len(strangers), max(people_behind, 0))
    behind = looks.people if looks else n
    supported = 1000 * rule_of_three(behind) if behind else 1000.0
    people = len(templates.names)
    if not len(templates.embeddings):
        return Calibration(math.inf, target_per_1000, 0.0, supported, np.zeros(0, np.float32))
    enrolled = templates.person_embeddings()
    best, named, who = _stranger_scores(strangers, enrolled, margin)
    scores = np.sort(best)
    if not n:
        highest = float(np.nextafter(scores[-1], np.float32(2))) if len(scores) else math.inf
        return Calibration(highest, target_per_1000, 1000.0, supported, scores, people=people)
    tail = Tail.fit(named, n)
    aimed = like.drawn(target_per_1000 / 1000, people)
    fitted = tail.share > aimed and float(tail.scale) > 0
    threshold = tail.threshold(aimed if fitted else _conformal(aimed, n))
    household, thresholds, own = Household(looks, templates) if looks else None, None, tail
    if household is not None and target_per_1000 < 1000:
        thresholds = np.maximum(household.thresholds(target_per_1000 / 1000 / math.exp(like.track)), threshold)
        # How far everybody is above their own threshold, as a score against the common one.
        own = Tail.fit(named - thresholds[who] + threshold, n)
    rate = float(own.rate(threshold))
    expected = 1000 * like.real(rate if fitted else (rate * n + 1) / (n + 1), people)
    return Calibration(
        threshold, target_per_1000, expected, supported, scores, tail, own, people, n, like, thresholds, household
    )


def _stranger_scores(strangers: Floats, enrolled: Floats, margin: float) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Each stranger's best score, float32 (S,), the same with -inf where its margin is too small, and to whom (S,)."""
    best, ahead = np.empty(len(strangers), np.float32), np.full(len(strangers), np.inf, np.float32)
    who = np.zeros(len(strangers), np.int64)
    for start in range(0, len(strangers), _BLOCK):
        rows = slice(start, start + _BLOCK)
        scores = strangers[rows] @ enrolled.T
        who[rows] = scores.argmax(1)
        best[rows] = scores[np.arange(len(scores)), who[rows]]
        if margin > 0 and len(enrolled) > 1:
            top = np.partition(scores, len(enrolled) - 2, axis=1)[:, -2:]
            ahead[rows] = np.abs(top[:, 1] - top[:, 0])
    return best, np.where(ahead >= margin, best, -np.inf).astype(np.float32), who


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
