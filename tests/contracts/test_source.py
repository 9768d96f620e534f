"""One suite over every source of frames."""

from __future__ import annotations

import itertools
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_runtime.errors import CameraError, ConfigError
from edge_runtime.schema.backends import backend_names
from edge_runtime.sources import open_source
from edge_runtime.types import Pixels
from tests.builders import make_pixels
from tests.cameras import MjpegCamera, jpeg, write_rpicam
from tests.clips import write_clip

RED = np.zeros((48, 64, 3), np.uint8) + np.array([220, 30, 20], np.uint8)


def _file(folder: Path) -> str:
    return f"file:{write_clip(folder / 'clip.avi', [RED] * 8)}"


def _paced_file(folder: Path) -> str:
    return f"file:{write_clip(folder / 'clip.avi', [RED] * 4, fps=100)}?realtime"


def _looped_file(folder: Path) -> str:
    return f"file:{write_clip(folder / 'clip.avi', [RED] * 2)}?loop"


def _dir(folder: Path) -> str:
    cv2.imwrite(str(folder / "a.png"), RED[:, :, ::-1])
    cv2.imwrite(str(folder / "b.png"), RED[:, :, ::-1])
    return f"dir:{folder}"


def _synthetic(folder: Path) -> str:
    return "synthetic:fps=5,size=160x120,people=1"


def _live_synthetic(folder: Path) -> str:
    return "synthetic:fps=200,size=160x120,people=1,realtime"


def _v4l2(folder: Path) -> str:
    if not list(Path("/dev").glob("video*")):
        pytest.skip("no camera: /dev/video* is missing")
    return "v4l2:0"


def _rpicam(folder: Path) -> str:
    write_rpicam(folder)
    return "rpicam:0?size=64x48&fps=100"


def _pictures() -> Iterator[bytes]:
    return itertools.repeat(jpeg(RED))


BACKENDS: dict[str, tuple[Callable[[Path], str], bool]] = {
    "file": (_file, False),
    "file, paced": (_paced_file, False),
    "file, looped": (_looped_file, False),
    "dir": (_dir, False),
    "synthetic": (_synthetic, False),
    "synthetic, paced": (_live_synthetic, True),
    "v4l2": (_v4l2, True),
    "rpicam": (_rpicam, True),
    "stream": (lambda folder: "", True),
}


@pytest.fixture
def mjpeg_url() -> Iterator[str]:
    with MjpegCamera(_pictures) as camera:
        yield camera.url


@pytest.fixture(params=BACKENDS)
def opened(
    request: pytest.FixtureRequest, tmp_path: Path, mjpeg_url: str, monkeypatch: pytest.MonkeyPatch
) -> tuple[str, bool]:
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    make, live = BACKENDS[request.param]
    return make(tmp_path) or mjpeg_url, live


def test_every_source_is_in_this_suite() -> None:
    assert {name.partition(",")[0] for name in BACKENDS} == set(backend_names("edge_runtime.sources"))


def test_frames_count_from_zero_and_time_moves_on(opened: tuple[str, bool]) -> None:
    spec, live = opened
    with open_source(spec, "door") as source:
        assert source.live is live
        frames = [frame for _, frame in zip(range(4), source, strict=False)]
    assert len(frames) == 4
    assert [frame.seq for frame in frames] == [0, 1, 2, 3]
    assert {frame.camera for frame in frames} == {"door"}
    gaps = np.diff([frame.captured_s for frame in frames])
    assert (gaps > 0).all()
    assert np.allclose(np.diff([frame.wall_time for frame in frames]), gaps, atol=0.05)
    for frame in frames:
        assert frame.pixels.dtype == np.uint8
        assert frame.pixels.ndim == 3
        assert frame.pixels.flags.c_contiguous


def test_closing_ends_the_iteration_and_may_be_repeated(opened: tuple[str, bool]) -> None:
    source = open_source(opened[0], "door")
    frames = iter(source)
    next(frames)
    source.close()
    source.close()
    assert next(frames, None) is None


def test_frames_are_drawn_where_it_is_told(opened: tuple[str, bool]) -> None:
    lent = []

    def room(height: int, width: int) -> Pixels:
        lent.append(np.zeros((height, width, 3), np.uint8))
        return lent[-1]

    with open_source(opened[0], "door") as source:
        source.room = room
        frames = [frame for _, frame in zip(range(2), source, strict=False)]
    # A source that draws its own pictures may keep them; one that converts a camera's does not draw them twice.
    assert not lent or all(frame.pixels is picture for frame, picture in zip(frames, lent, strict=False))


@pytest.mark.parametrize("make", [_file, _dir, _rpicam])
def test_frames_are_rgb(make: Callable[[Path], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("STANDIN_COLOUR", ",".join(str(value) for value in RED[0, 0]))
    with open_source(make(tmp_path), "c") as source:
        pixels = next(iter(source)).pixels
    assert np.abs(pixels.reshape(-1, 3).mean(0) - RED[0, 0]).max() < 8


def test_a_clip_gives_every_frame_at_its_own_times(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.avi", [make_pixels(48, 64, seed) for seed in range(10)], fps=20)
    with open_source(f"file:{path}", "c") as source:
        frames = list(source)
    assert np.allclose([frame.captured_s for frame in frames], np.arange(10) / 20)


def test_a_looped_clip_goes_on_in_time_and_can_leave_rounds_out(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.avi", [make_pixels(48, 64, seed) for seed in range(5)], fps=20)
    with open_source(f"file:{path}?loop", "c") as source:
        frames = [frame for _, frame in zip(range(13), source, strict=False)]
    assert [frame.seq for frame in frames] == list(range(13))
    assert np.allclose([frame.captured_s for frame in frames], np.arange(13) / 20)
    assert np.array_equal(frames[1].pixels, frames[11].pixels)
    with open_source(f"file:{path}?loop", "c") as source:
        source.first_seq = 12
        first = next(iter(source))
    assert (first.seq, first.captured_s) == (10, 0.5)
    assert np.array_equal(first.pixels, frames[10].pixels)


def test_a_folder_holds_each_photo_and_passes_over_what_it_cannot_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _dir(tmp_path)
    (tmp_path / "aa.jpg").write_bytes(b"")
    with open_source(f"dir:{tmp_path}", "c") as source:
        frames = list(source)
    assert len(frames) == 50
    assert frames[25].captured_s - frames[24].captured_s >= 5
    assert "aa.jpg" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("spec", "error", "says"),
    [
        ("file:nowhere.mp4", CameraError, "found no file there"),
        ("file:", ConfigError, "file:CLIP"),
        ("dir:nowhere", CameraError, "found nothing there"),
        ("dir:", ConfigError, "dir:FOLDER"),
        ("v4l2:977", CameraError, "/dev/video977"),
        ("v4l2:front", ConfigError, "v4l2:0"),
        ("v4l2:0?fps=0", ConfigError, "fps: expected frames a second"),
        ("v4l2:0?size=1280", ConfigError, "as 1280x720"),
        ("v4l2:0?mode=3", ConfigError, r"\?size or \?fps, found 'mode=3'"),
        ("rpicam:front", ConfigError, "rpicam:0"),
        ("rpicam:0?size=800x600", ConfigError, "take 768x600"),
        ("file:clip.mp4?lop", ConfigError, r"\?realtime or \?loop"),
        ("rtsp://", ConfigError, "HOST/PATH"),
        ("http://127.0.0.1:1/video", CameraError, "port 1 cannot be reached"),
        ("webcam:0", ConfigError, "dir, file, rpicam, stream, synthetic, v4l2"),
        ("", ConfigError, "expected a source, found none"),
    ],
)
def test_what_is_not_there_ends_in_one_line(spec: str, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says) as caught:
        open_source(spec, "c")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_clip_is_refused(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"not a clip" * 100)
    with pytest.raises(CameraError, match="1000 bytes that OpenCV cannot"):
        open_source(f"file:{tmp_path / 'clip.mp4'}", "c")


def test_a_clip_is_what_decodes_whatever_its_header_says(tmp_path: Path) -> None:
    whole = write_clip(tmp_path / "whole.avi", [make_pixels(48, 64, seed) for seed in range(30)])
    cut = tmp_path / "cut.avi"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with open_source(f"file:{cut}", "c") as source:
        count = len(list(source))
    assert 0 < count < 30
    with open_source(f"file:{cut}?loop", "c") as source:
        frames = [frame for _, frame in zip(range(3 * count), source, strict=False)]
    assert [frame.seq for frame in frames] == list(range(3 * count))


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="no ffmpeg here: apt install ffmpeg")
@pytest.mark.parametrize(
    "made",
    [
        # A varying rate, a gap in the middle, and a sound that is longer than the pictures.
        "-f lavfi -i testsrc2=size=160x120:rate=25:duration=2 -vf select=lt(mod(n\\,5)\\,2) -fps_mode vfr -c:v mpeg4",
        "-f lavfi -i testsrc2=size=160x120:rate=25:duration=4 -vf select=lt(t\\,1)+gt(t\\,3) -fps_mode vfr -c:v mpeg4",
        "-f lavfi -i testsrc2=size=160x120:rate=25:duration=1 -f lavfi -i sine=duration=5 -c:v mpeg4 -c:a aac",
    ],
)
def test_clips_of_every_timing_play_to_their_end_and_again(tmp_path: Path, made: str) -> None:
    clip = tmp_path / "clip.mp4"
    subprocess.run(["ffmpeg", "-loglevel", "error", *made.split(), str(clip)], check=True)
    with open_source(f"file:{clip}", "c") as source:
        once = [frame.captured_s for frame in source]
    assert len(once) >= 20 and (np.diff(once) > 0).all()
    with open_source(f"file:{clip}?loop", "c") as source:
        again = [frame for _, frame in zip(range(2 * len(once) + 3), source, strict=False)]
    assert (np.diff([frame.captured_s for frame in again]) > 0).all()


def test_a_folder_without_one_readable_photo_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"no photo")
    with open_source(f"dir:{tmp_path}", "c") as source, pytest.raises(CameraError, match="none can be read"):
        list(source)
