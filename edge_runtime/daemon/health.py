"""What state the daemon is in: ok, degraded or failing, and which part of it why.

The log, systemd's status line, ``familiar status`` and the events all say what this one object knows.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from edge_runtime.control.state import State
from edge_runtime.system.log import Log, log
from edge_runtime.types import Event

_MOST_EVENTS = 1000


@dataclass(frozen=True, slots=True)
class Trouble:
    """One part that does not do what it should.

    Attributes:
        part: as ``events``, ``tpu`` or ``camera front``.
        reason: why, and where it is known, what fixes it.
        failing: the daemon does nothing useful until it is fixed.
        since: seconds since the Unix epoch.
    """

    part: str
    reason: str
    failing: bool
    since: float


class Health:
    """Troubles by part; any thread may report one and say that it is fixed."""

    def __init__(self, wake: Callable[[], None] = lambda: None, log: Log = log) -> None:
        """Start with all well.

        Args:
            wake: called after each change, on the thread that made it known.
            log: gets one line a change.
        """
        self._wake, self._log = wake, log
        self._lock = threading.Lock()
        self._troubles: dict[str, Trouble] = {}
        self._events: deque[Event] = deque(maxlen=_MOST_EVENTS)

    def report(self, part: str, reason: str, failing: bool = False) -> None:
        """A part is not well; the same again changes nothing, another reason is only logged.

        Args:
            part: see :class:`Trouble`; ``camera NAME`` for a camera, whose loss is an event of its own.
            reason: one line.
            failing: nothing useful goes on without it.
        """
        with self._lock:
            before = self._troubles.get(part)
            if before is not None and (before.reason, before.failing) == (reason, failing):
                return
            self._troubles[part] = Trouble(part, reason, failing, before.since if before else time.time())
            if before is None or before.failing != failing:
                self._note("degraded", part, reason)
        (self._log.error if failing else self._log.warning)(
            "failing" if failing else "degraded", part=part, reason=reason
        )
        self._wake()

    def fixed(self, part: str) -> None:
        """A part is well (again)."""
        with self._lock:
            before = self._troubles.pop(part, None)
            if before is None:
                return
            self._note("recovered", part, None)
        self._log.info("recovered", part=part, reason=f"no longer: {before.reason}")
        self._wake()

    def update(self, part: str, reason: str | None, failing: bool = False) -> None:
        """Report the part if there is a reason, else say that it is fixed."""
        if reason is None:
            self.fixed(part)
        else:
            self.report(part, reason, failing)

    @property
    def state(self) -> State:
        """The worst of its parts."""
        with self._lock:
            troubles = self._troubles.values()
            return "failing" if any(one.failing for one in troubles) else "degraded" if troubles else "ok"

    @property
    def troubles(self) -> tuple[Trouble, ...]:
        """Failing parts first, then the oldest."""
        with self._lock:
            return tuple(sorted(self._troubles.values(), key=lambda one: (not one.failing, one.since)))

    def take_events(self) -> list[Event]:
        """The changes since the last time, as ``degraded`` and ``recovered`` events of no camera."""
        with self._lock:
            events = list(self._events)
            self._events.clear()
            return events

    def line(self) -> str:
        """State and reasons in one line."""
        return ": ".join([self.state, *filter(None, ["; ".join(f"{t.part}: {t.reason}" for t in self.troubles)])])

    def as_json(self) -> dict[str, Any]:
        """``state``, and ``troubles`` with ``part``, ``reason``, ``failing`` and ``since``."""
        return {
            "state": self.state,
            "troubles": [
                {"part": one.part, "reason": one.reason, "failing": one.failing, "since": round(one.since, 3)}
                for one in self.troubles
            ],
        }

    def _note(self, kind: Literal["degraded", "recovered"], part: str, reason: str | None) -> None:
        # A camera's own events say the same, with its name in their place.
        if not part.startswith("camera "):
            text = part if reason is None else f"{part}: {reason}"
            self._events.append(Event(kind, "", time.time(), time.monotonic(), reason=text))
