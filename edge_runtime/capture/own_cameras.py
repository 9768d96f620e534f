"""Cameras looked through by a command, where no daemon has them."""

from __future__ import annotations

import select
import time
from collections.abc import Mapping
from typing import Any

from edge_runtime.capture.process import CaptureProcess
from edge_runtime.config import CameraConfig
from edge_runtime.errors import CameraError, MissingError
from edge_runtime.system.closing import Closing
from edge_runtime.types import Frame


class OwnCameras(Closing):
    """Cameras without a daemon, opened when first looked through."""

    def __init__(self, cameras: Mapping[str, CameraConfig]) -> None:
        self._cameras = cameras
        self._open: dict[str, CaptureProcess] = {}

    def latest(self, camera: str) -> Frame:
        """The next frame.

        Raises:
            MissingError: no camera of this name is configured.
            CameraError: it gives no picture.
        """
        config = self._cameras.get(camera)
        if config is None:
            raise no_such_camera(camera, self._cameras)
        if camera not in self._open:
            self._open[camera] = CaptureProcess.of(camera, config)
        capture = self._open[camera]
        capture.ask()
        while (frame := capture.take()) is None:
            if capture.ended:
                raise CameraError(f"camera {camera}: expected more pictures of {config.source}, it has ended")
            select.select([capture], [], [], max(capture.due_s - time.monotonic(), 0.0))
        return frame

    def close(self) -> None:
        """End every capture; may be called again."""
        for capture in self._open.values():
            capture.close()
        self._open.clear()


def no_such_camera(camera: str, known: Mapping[str, Any]) -> MissingError:
    """What to raise for a camera that is not there."""
    if not known:
        return MissingError(f"camera {camera!r}: expected a camera, none is configured; see [camera.NAME]")
    return MissingError(f"camera {camera!r}: expected one of {', '.join(known)}; check the spelling")
