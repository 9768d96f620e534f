"""What is asked of a USB camera. None is here, so one answers that has a table of what it can."""

from __future__ import annotations

import cv2
import pytest

from edge_runtime.sources._options import Mode
from edge_runtime.sources.v4l2 import negotiate

YUYV, MJPG = (cv2.VideoWriter.fourcc(*name) for name in ("YUYV", "MJPG"))
USB2 = {YUYV: {(640, 480): 30, (1280, 720): 10}, MJPG: {(640, 480): 30, (1280, 720): 30}}
"""Highest rates by format and size, as of many a webcam."""


class Webcam:
    """Answers ``get`` and ``set`` as OpenCV's V4L2 capture does: what is not to be had stays as it was."""

    def __init__(self, table: dict[int, dict[tuple[int, int], int]]) -> None:
        self.table, self.format, self.size, self.width = table, next(iter(table)), (640, 480), 640
        self.fps = float(table[self.format][self.size])

    def set(self, what: int, value: float) -> bool:
        if what == cv2.CAP_PROP_FOURCC and int(value) in self.table:
            self.format = int(value)
        elif what == cv2.CAP_PROP_FRAME_WIDTH:
            self.width = int(value)
        elif what == cv2.CAP_PROP_FRAME_HEIGHT and (self.width, int(value)) in self.table[self.format]:
            self.size = self.width, int(value)
        highest = self.table[self.format][self.size]
        self.fps = min(value, highest) if what == cv2.CAP_PROP_FPS else min(self.fps, highest)
        if what in (cv2.CAP_PROP_FOURCC, cv2.CAP_PROP_FRAME_HEIGHT):
            self.fps = highest
        return True

    def get(self, what: int) -> float:
        return float(
            {
                cv2.CAP_PROP_FOURCC: self.format,
                cv2.CAP_PROP_FRAME_WIDTH: self.size[0],
                cv2.CAP_PROP_FRAME_HEIGHT: self.size[1],
                cv2.CAP_PROP_FPS: self.fps,
            }[what]
        )


@pytest.mark.parametrize(
    ("mode", "format_", "size", "fps"),
    [
        (Mode(), YUYV, (640, 480), 30),
        (Mode((640, 480), 15), YUYV, (640, 480), 15),
        (Mode((1280, 720), 10), YUYV, (1280, 720), 10),
        (Mode((1280, 720), 25), MJPG, (1280, 720), 25),
        (Mode((1280, 720)), MJPG, (1280, 720), 30),
        (Mode(fps=5), YUYV, (640, 480), 5),
    ],
)
def test_motion_jpeg_is_taken_where_it_gives_the_rate(
    mode: Mode, format_: int, size: tuple[int, int], fps: float
) -> None:
    camera = Webcam(USB2)
    assert negotiate(camera, mode) == ""
    assert (camera.format, camera.size, camera.fps) == (format_, size, fps)


def test_a_camera_without_motion_jpeg_says_what_it_gives() -> None:
    camera = Webcam({YUYV: USB2[YUYV]})
    complaint = negotiate(camera, Mode((1280, 720), 30))
    assert complaint.startswith("expected 1280x720 and 30 fps, it gives 1280x720 and 10 fps")
    assert camera.format == YUYV


def test_a_size_nobody_has() -> None:
    camera = Webcam(USB2)
    assert "it gives 640x480 and 30 fps" in negotiate(camera, Mode((1920, 1080)))
    assert camera.format == YUYV
