"""How strict a device is, what that costs, and what each other target would cost: the document of ``calibrate``."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

from edge_runtime.decision.calibration import Calibration
from edge_runtime.decision.leave_one_out import LeaveOneOut
from edge_runtime.decision.lookalikes import Pair
from edge_runtime.decision.matcher import Matcher
from edge_runtime.decision.outlook import outlooks
from edge_runtime.errors import MissingError
from edge_runtime.gallery.templates import Templates

TARGETS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
"""Target FPIRs that are tried, in thousandths."""
_WEEK_S = 7 * 24 * 3600.0
_SEEN_LONG_ENOUGH_S = 3600.0
"""What a daemon saw in less than an hour says nothing about a week."""

Row = dict[str, Any]


def check_enrolled(templates: Templates) -> None:
    """See that there is somebody to calibrate for.

    Raises:
        MissingError: nobody is enrolled.
    """
    if not templates.names:
        raise MissingError("nobody is enrolled, so there is nothing to calibrate for: familiar enroll NAME PHOTO...")


def forecast(
    matcher: Matcher,
    matching: Callable[[float], Matcher],
    left: LeaveOneOut,
    per_week: tuple[float | None, str | None],
) -> Row:
    """The document, JSON-ready.

    Args:
        matcher: in force.
        matching: gives the matcher of another target, in thousandths.
        left: the gallery's leave-one-out searches.
        per_week: how many strangers pass in a week, and who says so.
    """
    here, templates, margin = matcher.calibration, matcher.templates, matcher.margin
    target, (strangers, source) = here.target_per_1000, per_week
    calibrations = [here if value == target else matching(value).calibration for value in sorted({target, *TARGETS})]
    return {
        "people": len(templates.names),
        "templates": len(templates.embeddings),
        "strangers": {
            "people": here.people_behind,
            "alike_people": here.household.looks.people if here.household else None,
            "track_people": here.realism.track_people,
        },
        "margin": margin,
        "kept_for": "mixed" if here.household is None else "alike",
        "refused": here.refused,
        "note": here.note,
        "persons": [outlook.as_json() for outlook in outlooks(matcher, left)],
        "pairs": [_pair(templates, pair) for pair in matcher.lookalikes.pairs],
        "strangers_per_week": strangers,
        "strangers_per_week_from": source,
        **_row(here, left, margin, strangers),
        "targets": [_row(calibration, left, margin, strangers) for calibration in calibrations],
    }


def strangers_per_week(status: Mapping[str, Any]) -> tuple[float | None, str | None]:
    """How many strangers pass in a week by what a daemon saw, and who says so; None: it has not watched for an hour.

    Args:
        status: the daemon's.
    """
    uptime_s = status["uptime_s"]
    if uptime_s < _SEEN_LONG_ENOUGH_S:
        return None, None
    strangers = sum(camera["unknown"] for camera in status["cameras"].values())
    return strangers / uptime_s * _WEEK_S, f"the daemon, in {uptime_s / 3600:.0f} hours"


def _row(calibration: Calibration, left: LeaveOneOut, margin: float, per_week: float | None) -> Row:
    finite = calibration.threshold if math.isfinite(calibration.threshold) else None
    own = calibration.threshold if calibration.thresholds is None else calibration.thresholds
    interval = left.miss_interval(own, margin)
    alike = calibration.alike_interval
    return {
        "target_per_1000": calibration.target_per_1000,
        "threshold": finite,
        "thresholds": None if calibration.bounds is None else list(calibration.bounds),
        "alike_per_1000": calibration.alike_per_1000,
        "alike_interval": None if alike is None else list(alike),
        "expected_per_1000": calibration.expected_per_1000,
        "interval_per_1000": list(calibration.interval),
        "supported": calibration.supported,
        "supported_per_1000": calibration.supported_per_1000,
        "extrapolated": calibration.extrapolated,
        "false_names_per_week": None if per_week is None else calibration.expected_per_1000 / 1000 * per_week,
        "miss_rate": left.miss_rate(own, margin),
        "miss_interval": None if interval is None else list(interval),
        "photos_tried": len(left),
    }


def _pair(templates: Templates, pair: Pair) -> Row:
    names = templates.names
    return dataclasses.asdict(pair) | {"first": names[pair.first], "second": names[pair.second]}
