"""A clip from a file: every frame in order, as fast as it is read; ``?realtime`` paces it, ``?loop`` never ends."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2

from edge_runtime.errors import CameraError, ConfigError
from edge_runtime.sources._options import flag, split_options
from edge_runtime.sources._source import Source, announced_wh
from edge_runtime.system.log import log
from edge_runtime.types import Frame, Pixels

_DEFAULT_FPS = 25.0
_WHOLE = 0.9
"""Share of the announced frames that a whole clip gives at least: containers round and estimate."""


def open(argument: str, camera: str) -> FileSource:
    """A clip from ``argument``: a path, with ``?realtime`` and ``?loop`` behind it as ``?realtime&loop``."""
    path, options = parse(argument, camera)
    return FileSource(path, camera, **options)


def parse(argument: str, camera: str) -> tuple[Path, dict[str, bool]]:
    """The clip's path and the options behind it.

    Raises:
        ConfigError: no path, or an unknown option.
    """
    where = f"camera {camera}: source 'file'"
    options: dict[str, bool] = {}
    if not Path(argument).exists():
        argument, options = split_options(argument, {"realtime": flag, "loop": flag}, where)
    if not argument:
        raise ConfigError(f"{where}: expected file:CLIP, found no path")
    return Path(argument), options


class FileSource(Source):
    """See ``protocols.FrameSource``; ``captured_s`` are the clip's own timestamps, from 0, going on over loops."""

    def __init__(self, path: Path, camera: str, realtime: bool = False, loop: bool = False) -> None:
        """Open the clip.

        Args:
            path: any container and codec that OpenCV's FFmpeg reads.
            camera: name the frames carry.
            realtime: give frames no faster than they were filmed.
            loop: begin again at the end, for ever.

        Raises:
            CameraError: no file there, or nothing that can be read as a video.
        """
        if not path.is_file():
            raise CameraError(f"{path}: expected a video clip, found no file there; check the path")
        # FFmpeg would put lines of its own on standard error about a file that is no video.
        os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
        self._path, self._camera, self._realtime, self._loop = path, camera, realtime, loop
        self._capture: Any = self._opened()
        self.announced_wh = announced_wh(self._capture)
        fps = float(self._capture.get(cv2.CAP_PROP_FPS))
        self.fps = fps if 0 < fps <= 1000 else _DEFAULT_FPS
        self._announced = float(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))

    def __iter__(self) -> Iterator[Frame]:
        """Frames to the clip's end, or for ever.

        Raises:
            CameraError: not one frame of it can be read.
        """
        seq, from_s = self._left_out()
        started, started_wall, first_s = time.monotonic(), time.time(), from_s
        while self._capture is not None:
            at_s = from_s
            for at_s, pixels in self._once(from_s):
                if self._realtime and (early_s := started + at_s - first_s - time.monotonic()) > 0:
                    time.sleep(early_s)
                yield Frame(pixels, self._camera, seq, at_s, started_wall + at_s - first_s)
                seq += 1
            if not self._loop:
                return
            if self._capture is not None:
                self._capture.release()
                self._capture = self._opened()
                from_s = at_s + 1 / self.fps

    def close(self) -> None:
        """Close the file; may be called again."""
        if self._capture is not None:
            self._capture.release()
            self._capture = None

    def _opened(self) -> Any:
        capture = cv2.VideoCapture(str(self._path), cv2.CAP_FFMPEG)
        if not capture.isOpened():
            raise CameraError(
                f"{self._path}: expected a video clip, found a file of {self._path.stat().st_size} bytes that OpenCV "
                "cannot read as one; it is damaged, cut short, or no video: convert it to MP4 (H.264)"
            )
        return capture

    def _left_out(self) -> tuple[int, float]:
        """How many frames of whole rounds need not be read to go on after a loss, and how many seconds they are."""
        if not self._loop or self._announced < 1:
            return 0, 0.0
        frames = self.first_seq - self.first_seq % round(self._announced)
        return frames, frames / self.fps

    def _once(self, from_s: float) -> Iterator[tuple[float, Pixels]]:
        """The clip's pictures and their times, the first at ``from_s``."""
        count, at_s = 0, from_s
        while self._capture is not None:
            found, bgr = self._capture.read()
            if not found:
                break
            stamp_s = from_s + float(self._capture.get(cv2.CAP_PROP_POS_MSEC)) / 1000
            # Some containers carry no timestamps, or ones that jump back.
            at_s = stamp_s if count == 0 or stamp_s > at_s else at_s + 1 / self.fps
            yield at_s, self._from_bgr(bgr)
            count += 1
        if self._capture is None or count >= max(1.0, self._announced * _WHOLE - 1):
            return
        if not count:
            raise CameraError(
                f"{self._path}: expected a frame, found none; the clip is damaged or cut short, copy it again"
            )
        # Headers estimate: a varying rate, gaps, cuts and a longer sound are none of the pictures' business.
        log.info("a clip has fewer frames than its header says", clip=str(self._path), frames=count)
