"""Why an event is what it is, in plain words: what was found, what was needed, and what was missing."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from edge_runtime.events.record import FORGOTTEN, Record
from edge_runtime.faces.quality import WHAT_WOULD_DO, QualityLimits, checks, fails
from edge_runtime.types import Event

_SOMEBODY_FORGOTTEN = "somebody since forgotten"
_SOMEBODY_ELSE = "somebody whom this gallery does not know"
_UNITS = {"face_px": " px", "sharpness": " %"}


@dataclass(frozen=True)
class Standards:
    """What a name needs on this device now.

    Attributes:
        margin: how far ahead of the runner-up, in scores.
        limits: of the quality of a view.
        alike: whether thresholds are set by strangers who look like each person.
    """

    margin: float
    limits: QualityLimits
    alike: bool = False


def when(event: Event) -> str:
    """The wall time of an event, local."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(event.wall_time))


def who(event: Event, record: Record, role: str) -> str | None:
    """The name behind ``person``, ``candidate`` or ``runner_up`` now, or what became of it; None: nobody."""
    name: str | None = getattr(event, role)
    person_id = record.whose(role)
    if name is not None or person_id is None:
        return name
    return _SOMEBODY_FORGOTTEN if person_id == FORGOTTEN else _SOMEBODY_ELSE


def explain(event: Event, record: Record, standards: Standards) -> list[str]:
    """Why this event, and not another: a few lines, the most important first.

    Args:
        event: with the names of now.
        record: of the same event.
        standards: of now; the threshold is the event's own.
    """
    if event.kind == "identified":
        return [_named(event, record, standards), *_measured(event, standards)]
    if event.kind == "unknown":
        return [*_missing(event, record, standards), *_seen_before(event), *_measured(event, standards)]
    if event.kind == "rejected":
        return [_rejected(event, standards), *_measured(event, standards)]
    if event.kind == "left":
        name = who(event, record, "person")
        length = "" if event.first_seen is None else f" after {event.wall_time - event.first_seen:.0f} s in view"
        return [f"left{length}; known as {name}" if name else f"left{length}; never named", *_seen_before(event)]
    if event.kind == "appeared":
        return ["a face came into view; nothing is decided yet", *_measured(event, standards)]
    return [event.reason or event.kind.replace("_", " ")]


def top_two(event: Event, record: Record) -> str | None:
    """The two best people with their scores; None where nobody was compared."""
    best = who(event, record, "candidate") or who(event, record, "person")
    if best is None or event.score is None or event.threshold is None:
        return None
    second = who(event, record, "runner_up")
    behind = ""
    if second is not None and event.margin is not None and math.isfinite(event.margin):
        behind = f", then {second} {event.score - event.margin:.3f} ({event.margin:.3f} behind)"
    return f"{best} {event.score:.3f}{behind}; a name needs {event.threshold:.3f}"


def _named(event: Event, record: Record, standards: Standards) -> str:
    name, second = who(event, record, "person"), who(event, record, "runner_up")
    score, threshold = event.score or 0.0, event.threshold or 0.0
    told = (
        f"{name}: the score {score:.3f} is {_figure(score - threshold)} above {name}'s threshold of {threshold:.3f}, "
        "set by strangers who look like them"
        if standards.alike
        else f"{name}: the score {score:.3f} is {_figure(score - threshold)} above the threshold of {threshold:.3f}"
    )
    if second is None or event.margin is None or math.isinf(event.margin):
        return f"{told}, and nobody else is enrolled"
    return f"{told}, and {_figure(event.margin)} ahead of {second} ({_figure(standards.margin)} is needed)"


def _missing(event: Event, record: Record, standards: Standards) -> list[str]:
    best, second = who(event, record, "candidate"), who(event, record, "runner_up")
    if event.score is None or event.threshold is None or best is None or math.isinf(event.threshold):
        return ["unknown: nobody was enrolled to compare with"]
    if event.reason is not None:
        return [f"unknown: {event.reason}"]
    short = event.threshold - event.score
    if short > 0:
        return [
            f"unknown: {best} came nearest, {_figure(short)} below the threshold "
            f"(score {event.score:.3f}, needed {event.threshold:.3f}"
            + (f", so that strangers who look like {best} are not named)" if standards.alike else ")")
        ]
    ahead = _figure(event.margin) if event.margin is not None else "nothing"
    return [
        f"unknown: the runner-up was too near; {best} was {ahead} ahead of {second}, needed is "
        f"{_figure(standards.margin)}, and more between people who look alike"
    ]


def _seen_before(event: Event) -> list[str]:
    """What is remembered of a stranger."""
    if event.stranger is None or event.visits is None:
        return []
    times = "for the first time" if event.visits == 1 else f"{event.visits} times"
    ignored = "; ignored, so no sink got it" if event.ignored else ""
    return [f"seen {times}, never named: familiar strangers show {event.stranger}{ignored}"]


def _rejected(event: Event, standards: Standards) -> str:
    fix = WHAT_WOULD_DO.get(event.reason or "")
    told = f"rejected: {event.reason}"
    for reason, name, side, limit in checks(standards.limits):
        value = event.quality.get(name)
        if reason == event.reason and value is not None and fails(value, side, limit):
            told += f" ({name} {value:.3g} of {'at least' if side == 'least' else 'at most'} {limit:g}{_unit(name)})"
    return f"{told}; {fix}" if fix else told


def _measured(event: Event, standards: Standards) -> list[str]:
    """One line with the last view's measures beside their limits."""
    bounds: dict[str, list[str]] = {name: [] for name in event.quality}
    for _, name, side, limit in checks(standards.limits):
        if name in bounds:
            bad = " (!)" if fails(event.quality[name], side, limit) else ""
            bounds[name].append(f"at {side} {limit:g}{bad}")
    words = [f"{name} {event.quality[name]:.3g}{_unit(name)} ({', '.join(told)})" for name, told in bounds.items()]
    return [f"quality of the last view: {', '.join(words)}"] if words else []


def _figure(value: float) -> str:
    """Two significant digits, as people say them."""
    return f"{value:.2g}" if abs(value) < 0.1 else f"{value:.2f}"


def _unit(name: str) -> str:
    return _UNITS.get(name, "")
