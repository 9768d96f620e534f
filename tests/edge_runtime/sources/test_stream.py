"""Network cameras' pictures: whole ones, and the newest."""

from __future__ import annotations

import io
import itertools
import os
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

from edge_runtime.capture.process import CaptureProcess
from edge_runtime.errors import CameraError
from edge_runtime.sources import open_source
from edge_runtime.sources._source import jpeg_pixels
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


def in_format(name: str) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(ONE[:48, :64]).save(stream, name)
    return stream.getvalue()


@pytest.mark.parametrize("name", ["PNG", "WEBP", "GIF", "TIFF", "BMP", "PPM"])
def test_of_a_motion_jpeg_camera_nothing_but_jpeg_is_decoded(name: str) -> None:
    foreign = in_format(name) + b"\xff\xd9"

    def pictures() -> Iterator[bytes]:
        for number in itertools.count():
            yield foreign if number > 5 and number % 3 == 0 else jpeg(ONE)

    with MjpegCamera(pictures, fps=100) as server, open_source(server.url, "c") as source:
        frames = [frame for _, frame in zip(range(20), source, strict=False)]
    assert {frame.pixels.shape for frame in frames} == {ONE.shape}


def test_a_picture_that_says_it_is_enormous_is_not_decoded() -> None:
    whole = jpeg(ONE)
    at = next(i for i in range(2, len(whole)) if whole[i : i + 2] == b"\xff\xc0")
    enormous = whole[: at + 5] + (40_000).to_bytes(2, "big") * 2 + whole[at + 9 :]
    assert jpeg_pixels(whole) == ONE.shape[0] * ONE.shape[1] and jpeg_pixels(enormous) == 1_600_000_000

    def pictures() -> Iterator[bytes]:
        for number in itertools.count():
            yield enormous if number > 5 and number % 3 == 0 else whole

    with MjpegCamera(pictures, fps=100) as server, open_source(server.url, "c") as source:
        frames = [frame for _, frame in zip(range(20), source, strict=False)]
    assert {frame.pixels.shape for frame in frames} == {ONE.shape}


def test_pictures_that_cannot_be_used_are_counted_and_too_many_are_told() -> None:
    good, torn = jpeg(ONE), jpeg(OTHER)[:-2000]

    def some() -> Iterator[bytes]:
        for number in itertools.count():
            yield torn if number > 5 and number % 2 else good

    with MjpegCamera(some, fps=100) as server, CaptureProcess(server.url, "c") as capture:
        frames = [frame for _, frame in zip(range(20), capture, strict=False)]
        assert len(frames) == 20 and 5 < capture.unusable < 60
    with (
        MjpegCamera(lambda: itertools.chain([good] * 5, itertools.repeat(torn)), fps=200) as server,
        CaptureProcess(server.url, "c") as capture,
        pytest.raises(CameraError, match="100 in a row of which none can be used"),
    ):
        list(capture)


@pytest.mark.parametrize("behind", [bytes(64), bytes(5000), bytes(200), b"\xff" * 80, b"junk" * 40, b"\r\n" * 50])
def test_what_a_camera_puts_behind_a_picture_costs_no_picture(behind: bytes) -> None:
    with (
        MjpegCamera(lambda: itertools.repeat(jpeg(ONE) + behind), fps=100) as server,
        open_source(server.url, "c") as source,
    ):
        frames = [frame for _, frame in zip(range(10), source, strict=False)]
    assert len(frames) == 10 and all(is_one_of(frame.pixels, ONE) for frame in frames)


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
