"""A clip from a file: every frame in order, as fast as it is read, or at its own pace with ``?realtime``."""

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

_REALTIME = "?realtime"
_DEFAULT_FPS = 25.0
_WHOLE = 0.9
"""Share of the announced frames that a whole clip gives at least: containers round and estimate."""


def open(argument: str, camera: str) -> FileSource:
    """A clip from ``argument``: a path, with ``?realtime`` behind it to pace it."""
    if not argument:
        raise ConfigError(f"camera {camera}: source 'file': expected file:CLIP, found no path")
    realtime = argument.endswith(_REALTIME) and not Path(argument).exists()
    return FileSource(Path(argument.removesuffix(_REALTIME) if realtime else argument), camera, realtime)


class FileSource(Closing):
    """See ``protocols.FrameSource``; ``captured_s`` are the clip's own timestamps, from 0."""

    live = False

    def __init__(self, path: Path, camera: str, realtime: bool = False) -> None:
        """Open the clip.

        Args:
            path: any container and codec that OpenCV's FFmpeg reads.
            camera: name the frames carry.
            realtime: give frames no faster than they were filmed.

        Raises:
            CameraError: no file there, or nothing that can be read as a video.
        """
        if not path.is_file():
            raise CameraError(f"{path}: expected a video clip, found no file there; check the path")
        # FFmpeg would put lines of its own on standard error about a file that is no video.
        os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
        self._path, self._camera, self._realtime = path, camera, realtime
        self._capture: Any = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
        if not self._capture.isOpened():
            raise CameraError(
                f"{path}: expected a video clip, found a file of {path.stat().st_size} bytes that OpenCV cannot "
                "read as one; it is damaged, cut short, or no video: convert it to MP4 (H.264)"
            )
        fps = float(self._capture.get(cv2.CAP_PROP_FPS))
        self.fps = fps if 0 < fps <= 1000 else _DEFAULT_FPS
        self._announced = float(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))

    def __iter__(self) -> Iterator[Frame]:
        """Frames to the clip's end.

        Raises:
            CameraError: it ends well before the length its header announces.
        """
        started, started_wall = time.monotonic(), time.time()
        seq, at_s = 0, 0.0
        while self._capture is not None:
            found, bgr = self._capture.read()
            if not found:
                break
            stamp_s = float(self._capture.get(cv2.CAP_PROP_POS_MSEC)) / 1000
            # Some containers carry no timestamps, or ones that jump back.
            at_s = stamp_s if seq == 0 or stamp_s > at_s else at_s + 1 / self.fps
            if self._realtime and (early_s := started + at_s - time.monotonic()) > 0:
                time.sleep(early_s)
            yield Frame(np.ascontiguousarray(bgr[:, :, ::-1]), self._camera, seq, at_s, started_wall + at_s)
            seq += 1
        if self._capture is not None and seq < max(1.0, self._announced * _WHOLE - 1):
            raise CameraError(
                f"{self._path}: expected {max(self._announced, 1):.0f} frames, found {seq}; "
                "the clip is damaged or cut short, copy it again"
            )

    def close(self) -> None:
        """Close the file; may be called again."""
        if self._capture is not None:
            self._capture.release()
            self._capture = None
