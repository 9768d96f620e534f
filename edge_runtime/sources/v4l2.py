"""A camera of the Linux kernel (USB webcams, capture cards), through OpenCV."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import cv2

from edge_runtime.errors import CameraError, ConfigError
from edge_runtime.schema.table import described
from edge_runtime.sources._options import Mode, split_mode
from edge_runtime.sources._source import VideoSource, is_motion_jpeg
from edge_runtime.system.log import log

_ENOUGH_FPS = 15.0
"""The rate a camera should reach where only a size is asked for."""


def open(argument: str, camera: str) -> V4l2Source:
    """The camera ``argument``: a number as in ``/dev/video0``, or a path; ``?size=1280x720&fps=15`` behind it."""
    device, mode = parse(argument, camera)
    return V4l2Source(device, camera, mode)


def parse(argument: str, camera: str) -> tuple[Path, Mode]:
    """The device, and the size and rate asked for.

    Raises:
        ConfigError: no device is named, or an option cannot be read.
    """
    where = f"camera {camera}: source 'v4l2'"
    argument, mode = split_mode(argument, where)
    if not (argument.isdecimal() or argument.startswith("/dev/")):
        raise ConfigError(f"{where}: expected v4l2:0 or v4l2:/dev/video0, found {described(argument)}")
    return Path(f"/dev/video{int(argument)}" if argument.isdecimal() else argument), mode


_NONE = Mode()


class V4l2Source(VideoSource):
    """See ``protocols.FrameSource``; without a mode it gives whatever size and rate the camera is set to."""

    def __init__(self, device: Path, camera: str, mode: Mode = _NONE) -> None:
        """Open the camera; where it cannot give what is asked for, a line on standard error says what it gives.

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
        self._capture = cv2.VideoCapture(str(device), cv2.CAP_V4L2)
        if not self._capture.isOpened():
            raise CameraError(
                f"camera {camera}: {device} does not open as a camera; another program may hold it "
                f"(fuser -v {device}), or it is a metadata node: found {_devices()}"
            )
        self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        if complaint := negotiate(self._capture, mode):
            log.warning(
                "a camera does not give what was asked for", camera=camera, device=str(device), reason=complaint
            )
        if is_motion_jpeg(self._capture):
            # The files themselves: whether they are whole shows only there.
            self._capture.set(cv2.CAP_PROP_CONVERT_RGB, 0)

    def _lost(self, seq: int) -> str:
        return f"camera {self._camera}: {self._device} gave {seq} frames and then none; check cable and power"


def negotiate(capture: Any, mode: Mode) -> str:
    """Ask an open ``VideoCapture`` for a size and a rate.

    USB carries few uncompressed pictures a second, so Motion-JPEG is tried where the rate is not reached, and kept
    where it brings more.

    Returns:
        What it gives instead, in words, or "".
    """
    if mode == _NONE:
        return ""
    plain = capture.get(cv2.CAP_PROP_FOURCC)
    size, fps = _ask(capture, mode)
    if size != (mode.size or size) or fps < (mode.fps or _ENOUGH_FPS):
        capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
        compressed = _ask(capture, mode)
        if (compressed[0] == mode.size, compressed[1]) > (size == mode.size, fps):
            size, fps = compressed
        else:
            capture.set(cv2.CAP_PROP_FOURCC, plain)
            size, fps = _ask(capture, mode)
    if size == (mode.size or size) and fps >= 0.9 * (mode.fps or 0):
        return ""
    asked = [f"{mode.size[0]}x{mode.size[1]}"] if mode.size else []
    asked += [f"{mode.fps:g} fps"] if mode.fps else []
    return (
        f"expected {' and '.join(asked)}, it gives {size[0]}x{size[1]} and {fps:g} fps; "
        "v4l2-ctl --list-formats-ext lists what it can"
    )


def _ask(capture: Any, mode: Mode) -> tuple[tuple[int, int], float]:
    """Set what is asked for; the size and rate granted."""
    if mode.size:
        capture.set(cv2.CAP_PROP_FRAME_WIDTH, mode.size[0])
        capture.set(cv2.CAP_PROP_FRAME_HEIGHT, mode.size[1])
    if mode.fps:
        capture.set(cv2.CAP_PROP_FPS, mode.fps)
    size = int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)), int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
    return size, float(capture.get(cv2.CAP_PROP_FPS))


def _devices() -> str:
    names = sorted(str(path) for path in Path("/dev").glob("video*"))
    return ", ".join(names) if names else "no /dev/video* at all"
