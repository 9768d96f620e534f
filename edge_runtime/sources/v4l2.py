"""A camera of the Linux kernel (USB webcams, capture cards), through OpenCV."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edge_runtime.closing import Closing
from edge_runtime.errors import CameraError, ConfigError
from edge_runtime.types import Frame


def open(argument: str, camera: str) -> V4l2Source:
    """The camera ``argument``: a number as in ``/dev/video0``, or a path such as ``/dev/v4l/by-id/…``."""
    if not (argument.isdecimal() or argument.startswith("/dev/")):
        raise ConfigError(f"camera {camera}: source 'v4l2': expected v4l2:0 or v4l2:/dev/video0, found {argument!r}")
    return V4l2Source(Path(f"/dev/video{int(argument)}" if argument.isdecimal() else argument), camera)


class V4l2Source(Closing):
    """See ``protocols.FrameSource``; gives whatever size and rate the camera is set to."""

    live = True

    def __init__(self, device: Path, camera: str) -> None:
        """Open the camera.

        Raises:
            CameraError: no such device, no right to use it, or it gives no pictures.
        """
        self._device, self._camera = device, camera
        if not device.exists():
            raise CameraError(
                f"camera {camera}: expected a camera at {device}, found {_devices()}; "
                "plug it in, or name another one as v4l2:N"
            )
        if not os.access(device, os.R_OK | os.W_OK):
            raise CameraError(
                f"camera {camera}: {device} is there but may not be used by this user; "
                "sudo usermod -aG video $USER, then log in again"
            )
        # By path: that also takes the stable names in /dev/v4l/by-id.
        self._capture: Any = cv2.VideoCapture(str(device), cv2.CAP_V4L2)
        if not self._capture.isOpened():
            raise CameraError(
                f"camera {camera}: {device} does not open as a camera; another program may hold it "
                f"(fuser -v {device}), or it is a metadata node: found {_devices()}"
            )
        self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)

    def __iter__(self) -> Iterator[Frame]:
        """Frames for ever.

        Raises:
            CameraError: the camera stopped giving pictures.
        """
        seq = 0
        while self._capture is not None:
            found, bgr = self._capture.read()
            if not found:
                raise CameraError(
                    f"camera {self._camera}: {self._device} gave {seq} frames and then none; check cable and power"
                )
            pixels = np.ascontiguousarray(bgr[:, :, ::-1])
            yield Frame(pixels, self._camera, seq, time.monotonic(), time.time())
            seq += 1

    def close(self) -> None:
        """Let go of the camera; may be called again."""
        if self._capture is not None:
            self._capture.release()
            self._capture = None


def _devices() -> str:
    names = sorted(str(path) for path in Path("/dev").glob("video*"))
    return ", ".join(names) if names else "no /dev/video* at all"
