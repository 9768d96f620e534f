"""How the cameras do, reported to systemd and to ``health``."""

from __future__ import annotations

from collections.abc import Mapping

from edge_runtime.daemon.camera import Camera
from edge_runtime.daemon.health import Health
from edge_runtime.daemon.notify import notify
from edge_runtime.tracking.scheduler import throttled

_LATE_S = 5.0
"""A camera whose turn is later than this by more than that is not looked after: no sign of life for systemd."""


class Lookout:
    """Of the loop that turns the cameras; called by it alone."""

    def __init__(self, cameras: Mapping[str, Camera], health: Health) -> None:
        """Look after these.

        Args:
            cameras: by name; may grow.
            health: gets what is wrong with them.
        """
        self._cameras = cameras
        self._health = health

    def sign_of_life(self, now_s: float, people: int) -> None:
        """Report to systemd, from the loop alone: a step that hangs, or a loop that no longer turns, reports nothing.

        Neither does a loop that turns without its cameras being looked after: each is known to be lost, or its next
        frame is not overdue.

        Args:
            now_s: monotonic seconds.
            people: how many are enrolled.
        """
        kept = all(now_s <= camera.wake_s + _LATE_S for camera in self._cameras.values())
        notify(f"STATUS={self.status_line(people)}", *(["WATCHDOG=1"] if kept else []))
        slowed = throttled()
        for camera in self._cameras.values():
            camera.pipeline.pace.throttled = slowed

    def look_around(self, accelerator: str | None) -> None:
        """Let ``health`` know how the cameras and the accelerator do.

        Args:
            accelerator: why it is not used as it should be, or None.
        """
        lost = 0
        for name, camera in self._cameras.items():
            reason = str(camera.error) if camera.error is not None else None
            lost += reason is not None
            self._health.update(f"camera {name}", reason and f"{camera.state}: {reason}")
            self._health.update(f"pace {name}", camera.pipeline.pace.degraded)
        going_on = any(camera.keeps_running for camera in self._cameras.values())
        silent = "no camera delivers" if lost == len(self._cameras) and going_on else None
        if not self._cameras:
            silent = 'no camera is configured; add [camera.front] with source = "v4l2:0", and restart'
        self._health.update("cameras", silent, failing=True)
        self._health.update("tpu", accelerator)

    def status_line(self, people: int) -> str:
        """What ``systemctl status`` shows."""
        states = ", ".join(f"{name} {camera.state}" for name, camera in self._cameras.items())
        return f"{self._health.line()}; {states}; {people} people"
