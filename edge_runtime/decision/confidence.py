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

Reals = NDArray[np.float64]


@dataclass(frozen=True)
class Confidence:
    """Of the faces that score best against each person.

    Attributes:
        scores: float64 (T,), where the shares are known.
        reached: float64 (P, T) or (1, T): the share of strangers who reach each score.
        own: mean and standard deviation of true scores.
    """

    scores: Reals
    reached: Reals
    own: tuple[float, float]
    _lines: dict[int, Reals] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of_household(cls, household: Household) -> Confidence:
        """From strangers who look like the household."""
        return cls(GRID + household.alike, household.curve, household.looks.own)

    @classmethod
    def of_rate(cls, rate_per_1000: Callable[[float], float]) -> Confidence:
        """From strangers in general: so many of 1,000 of them reach a score."""
        return cls(GRID, np.array([[rate_per_1000(float(score)) / 1000 for score in GRID]]), TYPICAL_OWN)

    def of(self, score: float, person: int) -> float:
        """The probability that a face of this score is this person's, 0.001 to 0.999."""
        return float(np.interp(score, self.scores, self._of_person(person)))

    def likely_from(self, person: int) -> float:
        """The score from which a face is more likely this person's than a stranger's; infinite if there is none."""
        likely = np.flatnonzero(self._of_person(person) >= PRIOR)
        return float(self.scores[likely[0]]) if len(likely) else np.inf

    def _of_person(self, person: int) -> Reals:
        row = min(person, len(self.reached) - 1)
        if row not in self._lines:
            self._lines[row] = self._line(self.reached[row])
        return self._lines[row]

    def _line(self, reached: Reals) -> Reals:
        share = np.minimum.accumulate(np.clip(reached, 0.0, 1.0))
        strangers = np.maximum(-np.gradient(share, self.scores), _LEAST_DENSITY)
        # Below the score that most strangers come to, where nearly all of them reach it, a face is a stranger's.
        strangers[: int(strangers.argmax())] = np.inf
        mean, deviation = self.own
        true = np.exp(-0.5 * ((self.scores - mean) / deviation) ** 2) / (deviation * np.sqrt(2 * np.pi))
        sure = PRIOR * true / (PRIOR * true + (1 - PRIOR) * strangers + _LEAST_DENSITY)
        # A higher score is never less sure, although the normal density of true scores falls again.
        return np.asarray(np.clip(np.maximum.accumulate(sure), 1 - _SUREST, _SUREST))
