"""What sources share: where their pictures go, and the way from OpenCV's colours to ours."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np

from edge_runtime.errors import CameraError
from edge_runtime.protocols import Room
from edge_runtime.sources._jpeg_stream import END_OF_IMAGE, START_OF_IMAGE, START_OF_SCAN
from edge_runtime.system.closing import Closing
from edge_runtime.types import Frame, Pixels

_MOST_UNUSABLE = 100
"""Pictures in a row; so many are no disturbance that passes."""
_MAX_PIXELS = 50_000_000
"""Of a camera's picture; what says it is larger is no camera's."""


def fresh_room(height: int, width: int) -> Pixels:
    """Memory for one picture, uint8 (H, W, 3), of nobody else's."""
    return np.empty((height, width, 3), np.uint8)


def _nobody() -> None:
    """Nobody wants to know."""


class Source(Closing):
    """See ``protocols.FrameSource``; a clip by default."""

    live = False
    sensor = False
    first_seq = 0
    announced_wh = (0, 0)
    unusable = 0
    snapshot_fps = 5.0
    passed_over: Callable[[], None] = staticmethod(_nobody)
    room: Room = staticmethod(fresh_room)

    def _converted(self, picture: Pixels, code: int, height: int, width: int) -> Pixels:
        """``picture`` in RGB, uint8 (H, W, 3), drawn straight where frames go; ``code`` is OpenCV's conversion."""
        pixels = self.room(height, width)
        cv2.cvtColor(picture, code, dst=pixels)
        return pixels

    def _from_bgr(self, bgr: Pixels) -> Pixels:
        return self._converted(bgr, cv2.COLOR_BGR2RGB, *bgr.shape[:2])


class VideoSource(Source, ABC):
    """A camera behind OpenCV's ``VideoCapture``; frames have the time of their arrival."""

    live = True
    sensor = True
    _capture: Any = None
    _camera: str

    @abstractmethod
    def _lost(self, seq: int) -> str:
        """What to say where it gives nothing any more after ``seq`` frames."""

    def __iter__(self) -> Iterator[Frame]:
        """Frames for ever; pictures cut short on the way are passed over.

        Raises:
            CameraError: the camera stopped giving pictures, or gives none that can be used.
        """
        seq = in_a_row = 0
        while self._capture is not None:
            found, picture = self._capture.read()
            if not found:
                raise CameraError(self._lost(seq))
            pixels = self._from_camera(picture)
            if pixels is None:
                self.unusable += 1
                self.passed_over()
                in_a_row += 1
                if in_a_row >= _MOST_UNUSABLE:
                    raise CameraError(
                        f"camera {self._camera}: expected whole JPEG pictures, found {in_a_row} in a row of which none "
                        "can be used; check its settings and cable"
                    )
                continue
            in_a_row = 0
            yield Frame(pixels, self._camera, seq, time.monotonic(), time.time())
            seq += 1

    def close(self) -> None:
        """Let go of the camera; may be called again."""
        if self._capture is not None:
            self._capture.release()
            self._capture = None

    def _from_camera(self, picture: Pixels) -> Pixels | None:
        """What a camera's ``read`` gave, BGR uint8 (H, W, 3) or a JPEG file's bytes (1, N); None if that is broken.

        Decoders fill the rest of a file that was cut short with the picture before it (opencv#26488; FFmpeg does
        so, too), and a face may be half of two people's.
        """
        if picture.ndim == 3 and picture.shape[2] == 3:
            return self._from_bgr(picture)
        data = picture.tobytes()
        # Cameras fill up behind the end with whatever they like. Another format than JPEG is nobody's camera.
        whole = data.startswith(START_OF_IMAGE) and data.rfind(END_OF_IMAGE) > data.rfind(START_OF_SCAN) > 0
        if not whole or not 0 < jpeg_pixels(data) <= _MAX_PIXELS:
            return None
        bgr = cv2.imdecode(picture, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
        return None if bgr is None else self._from_bgr(np.asarray(bgr, np.uint8))


def jpeg_pixels(data: bytes) -> int:
    """How many pixels a JPEG file says it has (its frame header, ITU-T T.81, B.2.2); 0 where it does not say."""
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == 0xFF:
            at += 1  # a fill byte
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return int.from_bytes(data[at + 5 : at + 7], "big") * int.from_bytes(data[at + 7 : at + 9], "big")
        else:
            at += 2 + length
    return 0


def announced_wh(capture: Any) -> tuple[int, int]:
    """Width and height that an open ``VideoCapture`` says its pictures have; zeros where it does not say."""
    return int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)), int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))


def is_motion_jpeg(capture: Any) -> bool:
    """Whether an open ``VideoCapture`` is sent JPEG files."""
    return int(capture.get(cv2.CAP_PROP_FOURCC)) == cv2.VideoWriter.fourcc(*"MJPG")
