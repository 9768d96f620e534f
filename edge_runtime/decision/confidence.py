"""How likely a face is the person it scores best against: a probability, from how strangers and true faces score.

By Bayes' rule from two densities at the score: of true scores, taken as normal, and of strangers' best scores, the
slope of the share of strangers who reach it. The prior is stated: as many faces of the enrolled come as of strangers.
A device sees neither density exactly, so nothing is said more surely than 999 in 1,000.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edge_runtime.bundle.looks import GRID
from edge_runtime.decision.household import Household

PRIOR = 0.5
"""The share of the faces that are of somebody enrolled."""
_SUREST = 0.999
TYPICAL_OWN = (0.62, 0.15)
"""True scores of an encoder whose bundle does not say: mean and standard deviation."""
_LEAST_DENSITY = 1e-9
_MOST_ALIKE = 0.95

Reals = NDArray[np.float64]


@dataclass(frozen=True)
class Confidence:
    """Of the faces that score best against each person.

    Attributes:
        reached: float64 (P, T) or (1, T): the share of strangers who reach each score.
        own: mean and standard deviation of true scores against one photo.
        household: whose people the shares are known of, where they are.
    """

    reached: Reals
    own: tuple[float, float]
    household: Household | None = None
    _lines: dict[int, tuple[Reals, Reals]] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of_household(cls, household: Household) -> Confidence:
        """From strangers who look like the household."""
        return cls(household.curve, household.looks.own, household)

    @classmethod
    def of_rate(cls, rate_per_1000: Callable[[float], float]) -> Confidence:
        """From strangers in general: so many of 1,000 of them reach a score."""
        return cls(np.array([[rate_per_1000(float(score)) / 1000 for score in GRID]]), TYPICAL_OWN)

    def of(self, score: float, person: int) -> float:
        """The probability that a face of this score is this person's, 0.001 to 0.999."""
        return float(np.interp(score, *self._of_person(person)))

    def likely_from(self, person: int) -> float:
        """The score from which a face is more likely this person's than a stranger's; infinite where none is."""
        scores, sure = self._of_person(person)
        likely = np.flatnonzero(sure >= PRIOR)
        return float(scores[likely[0]]) if len(likely) else np.inf

    def _of_person(self, person: int) -> tuple[Reals, Reals]:
        """Scores and how sure each is."""
        if person not in self._lines:
            scores, mean = GRID, self.own[0]
            if self.household is not None:
                scores = self.household.from_looks(GRID, person)
                # Another photo is nearer to an average than to a photo, by as much as the average is shorter.
                mean = min(mean / float(self.household.lengths[person]), _MOST_ALIKE)
            self._lines[person] = scores, self._sure(scores, self.reached[min(person, len(self.reached) - 1)], mean)
        return self._lines[person]

    def _sure(self, scores: Reals, reached: Reals, mean: float) -> Reals:
        share = np.minimum.accumulate(np.clip(reached, 0.0, 1.0))
        strangers = np.maximum(-np.gradient(share, scores), _LEAST_DENSITY)
        # Below the score that most strangers come to, where nearly all of them reach it, a face is a stranger's.
        strangers[: int(strangers.argmax())] = np.inf
        deviation = self.own[1]
        true = np.exp(-0.5 * ((scores - mean) / deviation) ** 2) / (deviation * np.sqrt(2 * np.pi))
        sure = PRIOR * true / (PRIOR * true + (1 - PRIOR) * strangers + _LEAST_DENSITY)
        # A higher score is never less sure, although the normal density of true scores falls again.
        return np.asarray(np.clip(np.maximum.accumulate(sure), 1 - _SUREST, _SUREST))
