"""How old an event is, on a device whose wall clock may jump either way."""

from __future__ import annotations

_SETTLED_S = 86_400.0
"""Running time after which a wall clock that went back is believed."""


class LogClock:
    """Seconds that only go forward: what the age of events is counted by.

    While the daemon runs they are those of the monotonic clock. Time in which it did not run is taken from the wall
    clock, as far as that goes beyond the latest wall time ever seen, and never more than ``most_s`` at once. So a
    wall clock that jumps ahead ages events by a part of their life at most, one that jumps back, or to and fro, by
    nothing, and running time counts whatever the wall clock says.

    Attributes:
        clock_s: the count so far.
        wall_s: the latest wall time believed, seconds since the Unix epoch.
    """

    def __init__(self, clock_s: float, wall_s: float | None, most_s: float) -> None:
        """Go on counting.

        Args:
            clock_s: count at which the last run ended.
            wall_s: its ``wall_s``; None: the log is new.
            most_s: the most that one jump of the wall clock counts.
        """
        self.clock_s = clock_s
        self.wall_s = wall_s
        self._most_s = most_s
        self._monotonic_s: float | None = None
        self._behind_s = 0.0

    def tick(self, wall_s: float, monotonic_s: float) -> float:
        """Take note of both clocks; returns ``clock_s`` as it is now."""
        elapsed_s = 0.0 if self._monotonic_s is None else max(monotonic_s - self._monotonic_s, 0.0)
        self._monotonic_s = monotonic_s
        ahead_s = 0.0 if self.wall_s is None else wall_s - self.wall_s
        self.clock_s += max(elapsed_s, min(ahead_s, self._most_s))
        self._behind_s = self._behind_s + elapsed_s if ahead_s < 0 else 0.0
        if ahead_s >= 0 or self._behind_s > _SETTLED_S:
            self.wall_s, self._behind_s = wall_s, 0.0
        return self.clock_s
