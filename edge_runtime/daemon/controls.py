"""What can be changed while the daemon runs: the target FPIR, cameras off and on, a look at everybody again."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from edge_runtime.capture.own_cameras import no_such_camera
from edge_runtime.config import DecideConfig
from edge_runtime.daemon.camera import Camera
from edge_runtime.daemon.cameras import Cameras
from edge_runtime.system.log import log


class Controls:
    """Safe to use from several threads; see ``requests.access.Controls``."""

    def __init__(
        self,
        cameras: Cameras,
        decide: Callable[[], DecideConfig],
        take_over: Callable[[DecideConfig], None],
        wake: Callable[[], None],
    ) -> None:
        """Change these.

        Args:
            cameras: by name.
            decide: how decisions are made now.
            take_over: makes decisions in another way from now on.
            wake: ends the wait of the loop that turns the cameras.
        """
        self._cameras, self._decide = cameras, decide
        self._take_over, self._wake = take_over, wake

    def set_target(self, per_1000: float) -> None:
        """Another target FPIR, in thousandths, until the configuration is read again."""
        self._take_over(dataclasses.replace(self._decide(), false_accepts_per_1000_strangers=per_1000))
        log.info("the target FPIR was changed by a request", per_1000=per_1000)

    def switch(self, camera: str, on: bool) -> None:
        """A camera off or on, until the next start.

        Raises:
            InputError: there is no such camera.
        """
        self._named(camera)[0].wanted = on
        self._wake()
        log.info("a camera was switched by a request", camera=camera, on=on)

    def recheck(self, camera: str) -> list[str]:
        """Match the faces in view again at their next view, of all cameras if ``camera`` is empty.

        Returns:
            The cameras that do.

        Raises:
            InputError: there is no such camera.
        """
        chosen = self._named(camera) if camera else list(self._cameras.values())
        with self._cameras.lock:
            for each in chosen:
                each.pipeline.recheck()
        return [each.name for each in chosen]

    def _named(self, camera: str) -> list[Camera]:
        if camera not in self._cameras:
            raise no_such_camera(camera, self._cameras)
        return [self._cameras[camera]]
