"""From the owner's wish to a threshold: how high strangers score against this very gallery.

The owner says how many of 1,000 strangers may get a name. Every stranger of the bundle's cohort is compared
with everybody enrolled, and the best of those scores counts, as it would live (ISO/IEC 19795-1: open-set
identification, false-positive identification rate).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from edge_runtime.errors import InputError
from edge_runtime.metrics import rule_of_three, wilson_interval
from edge_runtime.templates import Templates
from edge_runtime.types import Floats


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
    """

    threshold: float
    wish_per_1000: float
    expected_per_1000: float
    supported_per_1000: float
    interval: tuple[float, float]
    stranger_scores: Floats
    note: str | None = None

    def confidence(self, scores: Floats) -> Floats:
        """The share of strangers who score less, float32 in 0..1, of scores of any shape; 0 without strangers."""
        below = np.searchsorted(self.stranger_scores, scores, side="left")
        return np.asarray(below / max(len(self.stranger_scores), 1), np.float32)


def calibrate(templates: Templates, strangers: Floats, people_behind: int, wish_per_1000: float) -> Calibration:
    """Derive the threshold for this gallery.

    With n strangers and the next one drawn like them, the chance that the next one passes a threshold which
    k of the n pass is at most (k + 1) / (n + 1), whatever the distribution (Vovk, Gammerman, Shafer,
    "Algorithmic Learning in a Random World", 2005, chapter 2). The threshold taken is the lowest for which
    that is within the wish. A wish below 3/n, the "rule of three" of ISO/IEC 19795-1, cannot be vouched for:
    then the threshold is the highest the cohort supports, one that not one stranger in n passes, and the note
    says so.

    Args:
        templates: of everybody enrolled.
        strangers: float32 (S, D) codes of unit length.
        people_behind: how many people the strangers' codes come from.
        wish_per_1000: strangers who may pass, of 1,000; 0 to 1000.

    Raises:
        InputError: codes of another size than the gallery's, or a wish out of range.
    """
    if strangers.ndim != 2 or strangers.shape[1] != templates.codes.shape[1]:
        raise InputError(f"strangers: expected (S, {templates.codes.shape[1]}), received {strangers.shape}")
    if not 0 <= wish_per_1000 <= 1000:
        raise InputError(f"wish: expected 0 to 1000 strangers of 1,000, received {wish_per_1000:g}")
    n = min(len(strangers), max(people_behind, 0))
    supported = 1000 * rule_of_three(n) if n else 1000.0
    if not len(templates.codes):
        nothing = np.zeros(0, np.float32)
        return Calibration(
            math.inf, wish_per_1000, 0.0, supported, (0.0, 0.0), nothing, "nobody is enrolled: everybody is a stranger"
        )
    scores = np.sort((strangers @ templates.person_codes().T).max(1)).astype(np.float32)
    if not n:
        nobody = "the bundle's strangers stand for no real people, so no rate can be vouched for"
        highest = float(np.nextafter(scores[-1], np.float32(2))) if len(scores) else math.inf
        return Calibration(highest, wish_per_1000, 1000.0, supported, (0.0, 1000.0), scores, nobody)
    note: str | None = None
    passing = 0
    if wish_per_1000 < supported:
        note = (
            f"{n} strangers can vouch for {supported:.3g} of 1,000, not for {wish_per_1000:g}: "
            "the threshold is the strictest they support"
        )
        # Where several codes were drawn for each stranger, the highest few are no evidence of their own.
        passing = max(len(scores) // n - 1, 0)
    else:
        # Several codes of one stranger are not several strangers: rates are per person.
        passing = math.floor((wish_per_1000 / 1000 * (n + 1) - 1) * len(scores) / n + 1e-9)
    passing = min(passing, len(scores))
    # At most `passing` strangers reach what lies just above the next lower one.
    threshold = (
        -1.0 if passing == len(scores) else float(np.nextafter(scores[len(scores) - 1 - passing], np.float32(2)))
    )
    rate = passing / len(scores)
    expected = 1000 * (rate * n + 1) / (n + 1)
    low, high = wilson_interval(rate * n, n)
    return Calibration(threshold, wish_per_1000, expected, supported, (1000 * low, 1000 * high), scores, note)
