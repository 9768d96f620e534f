"""A device's own door: strangers who came and were never named show where the bundle's looks are too mild, or are not.

Whoever scored enough got a name and is not among those remembered, so nothing is counted near the thresholds. Instead
the promise is asked for at a rate of one in ten, where hardly anybody was named: if clearly more of the door's
strangers come that near than they should, every threshold rises by what makes it right. It never falls as long as the
gallery is the same and the daemon runs: who stands at the door for days can make names rarer, by ``MOST_RAISED`` at
most, and nothing else.
"""

from __future__ import annotations

import math

import numpy as np

from edge_runtime.decision.household import Household
from edge_runtime.types import Floats

FEWEST = 50
"""Fewer strangers say nothing of a door."""
MOST_RAISED = 0.15
_ASKED = 0.1
_CLEARLY = 1.645
"""One-sided 95 %."""


def raised_by(household: Household, averages: Floats, likely: Floats, door: Floats, track: float = 0.0) -> float:
    """By how much the door's strangers raise every threshold, a score of 0 to ``MOST_RAISED``.

    Args:
        household: of the gallery.
        averages: float32 (P, D) of unit length, one a person enrolled.
        likely: float64 (P,), the score from which a face is more likely that person than a stranger: such strangers
            may be somebody enrolled who was seen badly, and are left out.
        door: float32 (S, D) of unit length, one a stranger however often they came.
        track: log of how much more often a track passes than a picture.
    """
    if not len(averages) or len(door) < FEWEST:
        return 0.0
    scores = door @ averages.T
    scores = scores[~(scores >= likely).any(1)]
    count = len(scores)
    if count < FEWEST:
        return 0.0
    needed = household.thresholds(_ASKED / math.exp(track))
    above = np.sort((scores - needed).max(1))[::-1]
    allowed = _ASKED * count + _CLEARLY * math.sqrt(_ASKED * (1 - _ASKED) * count)
    return float(np.clip(above[min(math.ceil(allowed), count - 1)], 0.0, MOST_RAISED))
