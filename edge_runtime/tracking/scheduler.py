"""How often to look for faces: as often as asked, less where the machine is too slow or too hot for it.

A clip is paced by its own times alone, so it gives the same events on any machine. On a live source the measured
time of a search and of a frame without one decide: the rate falls before frames are lost.
"""

from __future__ import annotations

import math
from pathlib import Path

USUAL_S = 0.12
"""Between two searches, where the configuration names no number of frames."""
SLOWEST_S = 0.7
"""A camera is searched at least so often, or a face would have left before it is seen again."""
_BUSY = 0.7
"""Share of the time that frames may take, all cameras together."""
_MEMORY = 0.8
_THROTTLED_TIMES = 2
_DEGRADED_FROM, _DEGRADED_TO = 2.0, 1.5
"""Searches so many times rarer than asked are reported, until they are only so many times rarer."""


class DetectionScheduler:
    """Of one camera: says which frames are due, from frame times and, on a live source, from how long they take.

    Attributes:
        live: whether it adapts: the latest frame came from a source that goes on although nobody looks.
        throttled: why the machine is slower than it can be, or None; assign it as it changes.
        every: a search is due once in so many frames now.
    """

    def __init__(self, every: int = 0, cameras: int = 1) -> None:
        """Start at the interval asked for.

        Args:
            every: the number of frames asked for; 0: as many as pass in ``USUAL_S``.
            cameras: how many share the machine.
        """
        self.live = False
        self.throttled: str | None = None
        self.every = every or 1
        self._asked = every
        self._busy = _BUSY / max(cameras, 1)
        self._since = 0
        self._latest: tuple[int, float] | None = None
        self._frame_s = 0.0
        self._spent_s = {True: 0.0, False: 0.0}
        self._slow = False

    def due(self, seq: int, captured_s: float, live: bool) -> bool:
        """Whether this frame is one to search; to be asked once a frame.

        Args:
            seq: counts the source's frames, those that nobody took as well.
            captured_s: seconds, as the frame says.
            live: whether its source goes on although nobody looks.
        """
        self.live = live
        if self._latest is not None:
            frames, elapsed_s = seq - self._latest[0], captured_s - self._latest[1]
            if frames > 0 and elapsed_s > 0:
                frame_s = elapsed_s / frames
                self._frame_s = _smooth(self._frame_s, frame_s)
                # A frame that was lost has passed all the same.
                self._since += frames - 1
        self._latest = seq, captured_s
        self.every = self._chosen()
        self._since += 1
        return self._since >= self.every

    def searched(self) -> None:
        """A frame was searched, due or not."""
        self._since = 0

    def measure(self, searched: bool, spent_s: float) -> None:
        """Learn how long a frame took that was searched, or was not."""
        self._spent_s[searched] = _smooth(self._spent_s[searched], spent_s)

    @property
    def strain(self) -> float:
        """How many times rarer than asked a search is due now; 1.0 where the machine has time."""
        return self.every / self._asked_every()

    @property
    def degraded(self) -> str | None:
        """In words, that faces are looked for more rarely than asked, and why; None while all is well."""
        if not self.live or not self._frame_s:
            return None
        self._slow = self.strain >= _DEGRADED_FROM or (self._slow and self.strain > _DEGRADED_TO)
        if not self._slow:
            return None
        rate, asked = 1 / (self.every * self._frame_s), 1 / (self._asked_every() * self._frame_s)
        why = self.throttled or f"a search takes {1000 * self._spent_s[True]:.0f} ms"
        return f"faces are looked for {rate:.2g} times a second instead of {asked:.2g}: {why}"

    def _asked_every(self) -> int:
        return self._asked or max(round(USUAL_S / self._frame_s), 1) if self._frame_s else self.every

    def _chosen(self) -> int:
        asked = self._asked_every()
        if not self.live or not self._frame_s:
            return asked
        room_s = self._busy * self._frame_s - self._spent_s[False]
        slowest = max(asked, math.floor(SLOWEST_S / self._frame_s), 1)
        needed = slowest if room_s <= 0 else math.ceil((self._spent_s[True] - self._spent_s[False]) / room_s)
        if self.throttled:
            needed = max(needed, _THROTTLED_TIMES * asked)
        return min(max(asked, needed), slowest)


def _smooth(before: float, value: float) -> float:
    return _MEMORY * before + (1 - _MEMORY) * value if before else value


_FIRMWARE = "devices/platform/soc*/soc*:firmware/get_throttled"
THROTTLING = {0: "under-voltage", 1: "frequency capped", 2: "throttled", 3: "soft temperature limit"}
"""Bits of the Raspberry Pi's get_throttled that say what is so now; 16 higher: it has happened since the start."""


def firmware_flags(root: Path = Path("/sys")) -> int | None:
    """The Raspberry Pi's get_throttled; None on another machine.

    Args:
        root: where sysfs is mounted.
    """
    for place in sorted(root.glob(_FIRMWARE)):
        try:
            return int(place.read_text().strip() or "0", 16)
        except (OSError, ValueError):
            continue
    return None


def told_flags(flags: int) -> list[str]:
    """What is set in the lowest bits of get_throttled, in words."""
    return [text for bit, text in THROTTLING.items() if flags >> bit & 1]


def throttled(root: Path = Path("/sys")) -> str | None:
    """Why this machine runs slower than it can, or None if it does not or that is not known.

    Args:
        root: where sysfs is mounted.
    """
    if now := told_flags(firmware_flags(root) or 0):
        return f"the processor is slowed down ({', '.join(now)}); check its power supply and cooling"
    for zone in sorted((root / "class/thermal").glob("thermal_zone*")):
        celsius, limit = _celsius(zone / "temp"), _passive_limit(zone)
        if celsius is not None and limit is not None and celsius >= limit:
            return f"the processor is hot ({celsius:.0f} °C, slowed down from {limit:.0f} °C); check its cooling"
    return None


def hottest_c(root: Path = Path("/sys")) -> float | None:
    """The temperature of the hottest zone, degrees Celsius; None where no sensor tells."""
    found = [_celsius(zone / "temp") for zone in (root / "class/thermal").glob("thermal_zone*")]
    return max((celsius for celsius in found if celsius is not None), default=None)


def _passive_limit(zone: Path) -> float | None:
    """The temperature from which the kernel slows the processor down."""
    limits = []
    for kind in zone.glob("trip_point_*_type"):
        try:
            passive = kind.read_text().strip() == "passive"
        except OSError:
            continue
        limit = _celsius(zone / kind.name.replace("_type", "_temp")) if passive else None
        if limit is not None and limit > 0:
            limits.append(limit)
    return min(limits, default=None)


def _celsius(path: Path) -> float | None:
    try:
        return int(path.read_text()) / 1000
    except (OSError, ValueError):
        return None
