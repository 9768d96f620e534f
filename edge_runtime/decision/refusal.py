"""When nobody is named: the target cannot be kept with this bundle and gallery, or nobody can say whether it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edge_runtime.bundle.figures import Metrics
from edge_runtime.errors import SelfTestError
from edge_runtime.gallery.templates import Templates
from edge_runtime.types import Floats

if TYPE_CHECKING:
    from edge_runtime.bundle.folder import Bundle
    from edge_runtime.config import DecideConfig
    from edge_runtime.decision.calibration import Calibration

PROMISE = "promise"
"""What the daemon's health, the self-test and deploy call this."""
MOST_OF_THE_TARGET = 3.0
"""An estimated rate above so many times the target names nobody."""
UNBOUNDED = 100.0
"""A cohort that supports no rate below so many times the target says nothing about it."""
LEAST_CONFIDENCE = 0.5
"""A name that is more likely wrong than right is not given."""
LEAST_RIGHT = 0.7
"""Of pairs of photos, the share that an encoder must judge right; a coin judges half."""
LEAST_PAIRS = 300
"""Fewer pairs say nothing."""
_TRIAL_PEOPLE = 5
_ASKED = 50
"""Of so many people it is asked whether a face can be recognised as theirs at all."""
WHAT_WOULD_DO = (
    "use another bundle, as the released one ([bundle] path), or ask for more with [decide] "
    "false_accepts_per_1000_strangers; familiar calibrate shows both rates"
)


def why_refused(calibration: Calibration) -> str | None:
    """Why a calibration names nobody, in a line with what would do; None: it names."""
    if not calibration.people:
        return None
    if calibration.unfit:
        return f"nobody is named: {calibration.unfit}; use another bundle, as the released one ([bundle] path)"
    target, most = calibration.target_per_1000, calibration.target_per_1000 * MOST_OF_THE_TARGET
    told = f"of 1,000 strangers, where {target:g} is the target"
    if not calibration.people_behind:
        return f"nobody is named: no real people stand behind the bundle's cohort, so no rate is known; {WHAT_WOULD_DO}"
    if calibration.expected_per_1000 > most:
        expected = (
            f"{calibration.expected_per_1000:.2g}"
            if calibration.expected_per_1000 < 100
            else (f"{calibration.expected_per_1000:.0f}")
        )
        return f"nobody is named: about {expected} {told}, would get a name; {WHAT_WOULD_DO}"
    if calibration.alike_per_1000 is not None and calibration.alike_per_1000 > most:
        return (
            f"nobody is named: about {calibration.alike_per_1000:.2g} {told}, would get a name if they look like the "
            f"household; {WHAT_WOULD_DO}"
        )
    asked = range(0, calibration.people, max(calibration.people // _ASKED, 1))
    surest = max(calibration.confidence(1.0, person) for person in asked)
    if surest < LEAST_CONFIDENCE:
        return (
            "nobody is named: the encoder does not tell people apart, for the same face would be the person's with "
            f"a probability of {surest:.2f}; use another bundle, as the released one ([bundle] path)"
        )
    if calibration.supported_per_1000 > UNBOUNDED * target:
        return (
            f"nobody is named: the bundle's cohort supports no rate below {calibration.supported_per_1000:.3g} {told}; "
            f"{WHAT_WOULD_DO}"
        )
    return None


def why_unfit(metrics: Metrics) -> str | None:
    """Why an encoder names nobody whatever the gallery, by its bundle's own figures; None: it names, or no figures.

    Args:
        metrics: of the bundle.
    """
    if metrics.pairs_right is None:
        return None
    pairs, right = metrics.pairs_right
    if pairs < LEAST_PAIRS or right >= LEAST_RIGHT:
        return None
    return f"the encoder judges {right:.0%} of pairs of photos right, a coin 50 %, and {LEAST_RIGHT:.0%} are needed"


def check_bundle(bundle: Bundle, decide: DecideConfig, strangers: Floats | None = None) -> None:
    """Try a household of a few of the bundle's own strangers: does the bundle name anybody with this target?

    Raises:
        SelfTestError: it does not.
    """
    from edge_runtime.decision.matcher import make_matcher

    embeddings = bundle.strangers() if strangers is None else strangers
    rows = np.arange(min(_TRIAL_PEOPLE, len(embeddings)))
    names = tuple(f"trial {row}" for row in rows)
    household = Templates(names, rows, embeddings[rows], np.ones(len(rows), np.float32), rows)
    refused = make_matcher(household, bundle, decide, embeddings[len(rows) :]).calibration.refused
    if refused:
        raise SelfTestError(f"{bundle.path}: {refused}")
