"""Network cameras' pictures: whole ones, and the newest."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator

import numpy as np
import pytest

from edge_runtime.errors import CameraError
from edge_runtime.sources import open_source
from edge_runtime.types import Pixels
from tests.builders import make_pixels
from tests.cameras import MjpegCamera, jpeg, rtsp_camera, wait_for_port

ONE, OTHER = make_pixels(240, 320, 1), make_pixels(240, 320, 2)


def is_one_of(pixels: Pixels, *pictures: Pixels) -> bool:
    """Whether they are one of these pictures, as far as JPEG tells, in every part."""
    return any(np.abs(pixels.astype(int) - picture).max() < 40 for picture in pictures)


def test_a_picture_cut_short_is_never_filled_with_another() -> None:
    assert not is_one_of(np.concatenate([ONE[:120], OTHER[120:]]), ONE, OTHER)

    def pictures() -> Iterator[bytes]:
        for number in itertools.count():
            data = jpeg((ONE, OTHER)[number % 2])
            yield data if number % 3 else data[: len(data) // 2]

    with MjpegCamera(pictures, fps=100) as server, open_source(server.url, "c") as source:
        frames = [frame for _, frame in zip(range(20), source, strict=False)]
    assert [frame.seq for frame in frames] == list(range(20))
    assert all(is_one_of(frame.pixels, ONE, OTHER) for frame in frames)


def test_a_stream_that_ends_says_after_how_many() -> None:
    with MjpegCamera(lambda: iter([jpeg(ONE)] * 4)) as server, open_source(server.url, "c") as source:
        frames = []
        # The first one may go into finding out what the stream is.
        with pytest.raises(CameraError, match=r"gave [34] frames and then none"):
            frames.extend(source)
    assert len(frames) >= 3


def test_h264_over_rtsp_moves() -> None:
    with rtsp_camera() as server:
        wait_for_port(server.url)
        with open_source(server.url, "c") as source:
            frames = [frame for _, frame in zip(range(20), source, strict=False)]
    assert {frame.pixels.shape for frame in frames} == {(240, 320, 3)}
    assert len({frame.pixels.tobytes() for frame in frames}) > 10
    # What one source asks of FFmpeg is not asked by the next one.
    assert "OPENCV_FFMPEG_CAPTURE_OPTIONS" not in os.environ
