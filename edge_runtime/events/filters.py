"""Which events a sink is handed: the common keys of its ``[[sink]]`` table, in one place for all sinks."""

from __future__ import annotations

import time

from edge_runtime.gallery.names import folded
from edge_runtime.sinks import CommonKeys
from edge_runtime.types import Event

UNKNOWN = "unknown"
"""Among ``people`` it stands for everybody without a name."""
_DAY_S = 86_400.0

_State = dict[tuple[str, ...], float]
"""Wall time of the last event handed on, by what counts as the same."""


class EventFilter:
    """Of one sink, for its thread alone. What it lets through depends on the log's events and nothing else.

    So a log that is read again gives the same answers: after a restart it gets what the sink has had
    (:meth:`note`), and an event that a sink must get a second time is let through again (:meth:`restore`).
    """

    def __init__(self, keys: CommonKeys | None = None) -> None:
        """Go by these keys; None: everything is let through."""
        self._keys = keys or CommonKeys(type="")
        self._people = {folded(name) for name in self._keys.people}
        self._spans = self._keys.spans
        self._sure: _State = {}
        self._state: _State = {}

    @property
    def memory_s(self) -> float:
        """How far back in the log lies what may decide about the next event, seconds."""
        return max(self._keys.cooldown_s, _DAY_S if self._keys.first_of_day else 0.0)

    def admits(self, event: Event) -> bool:
        """Whether the sink is to have an event now."""
        return self._fits(event) and self._in_hours(event) and not self._again(event)

    def note(self, event: Event) -> None:
        """The sink has taken an event."""
        if self.memory_s:
            self._state[_same(event)] = self._state[_same(event, camera=False)] = event.wall_time

    def keep(self) -> None:
        """Everything noted has arrived for good."""
        self._sure = dict(self._state) if self.memory_s else self._sure

    def restore(self) -> None:
        """What was noted since the last :meth:`keep` is handed over again."""
        self._state = dict(self._sure) if self.memory_s else self._state

    def _fits(self, event: Event) -> bool:
        keys = self._keys
        if keys.cameras and event.camera not in keys.cameras:
            return False
        if keys.kinds and event.kind not in keys.kinds:
            return False
        if not self._people:
            return True
        if event.person is None:
            return event.track_id is not None and UNKNOWN in self._people
        return folded(event.person) in self._people

    def _in_hours(self, event: Event) -> bool:
        if not self._spans:
            return True
        local = time.localtime(event.wall_time)
        minute = local.tm_hour * 60 + local.tm_min
        return any(a <= minute < b if a < b else minute >= a or minute < b for a, b in self._spans)

    def _again(self, event: Event) -> bool:
        """Whether the sink has had the same, too short a time ago."""
        keys = self._keys
        last_s = self._state.get(_same(event))
        # A clock that was set back makes no cooldown longer.
        if keys.cooldown_s and last_s is not None and 0 <= event.wall_time - last_s < keys.cooldown_s:
            return True
        last_s = self._state.get(_same(event, camera=False))
        return keys.first_of_day and last_s is not None and _day(last_s) == _day(event.wall_time)


def _same(event: Event, camera: bool = True) -> tuple[str, ...]:
    who = event.person or event.stranger or ""
    return (event.kind, who, event.camera) if camera else (event.kind, who)


def _day(wall_s: float) -> tuple[int, int]:
    local = time.localtime(wall_s)
    return local.tm_year, local.tm_yday
