"""Capture in a process of its own: real processes, really killed."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_runtime.capture.process import CaptureLostError, CaptureProcess
from edge_runtime.config import LogConfig
from edge_runtime.errors import CameraError, ConfigError
from edge_runtime.sources import open_source
from edge_runtime.system.log import log
from tests.builders import ROOT, make_pixels
from tests.clips import write_clip

LIVE = "synthetic:fps=100,size=160x120,people=1,realtime,loop"
SLOW = "synthetic:fps=1,size=160x120,people=1,realtime,loop"


@pytest.fixture
def clip(tmp_path: Path) -> str:
    return f"file:{write_clip(tmp_path / 'clip.avi', [make_pixels(96, 128, seed) for seed in range(12)])}"


def wait_for_end(pid: int, timeout_s: float = 20.0) -> bool:
    """Wait until a process, anybody's, has ended."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], timeout_s)[0])
    finally:
        os.close(descriptor)


def take(capture: CaptureProcess) -> object:
    """The next frame, as the daemon would wait for it."""
    capture.ask()
    return next(iter(capture))


def test_its_lines_look_as_the_daemons_do(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    cv2.imwrite(str(tmp_path / "good.png"), make_pixels(96, 128))
    (tmp_path / "torn.jpg").write_bytes(b"\xff\xd8 torn")
    log.configure(LogConfig(format="json"))
    try:
        with CaptureProcess(f"dir:{tmp_path}", "door") as capture:
            assert len(list(capture)) > 1
    finally:
        log.configure(LogConfig())
    (line,) = capfd.readouterr().err.splitlines()
    assert json.loads(line)["level"] == "warning" and "torn.jpg" in json.loads(line)["reason"]


def test_every_frame_of_a_clip_comes_over_unchanged(clip: str) -> None:
    with open_source(clip, "door") as source:
        expected = list(source)
    with CaptureProcess(clip, "door") as capture:
        frames = list(capture)
    assert capture.ended
    assert capture.live is False
    assert [frame.seq for frame in frames] == list(range(12))
    for frame, other in zip(frames, expected, strict=True):
        assert np.array_equal(frame.pixels, other.pixels)
        assert (frame.camera, frame.captured_s) == ("door", other.captured_s)


def test_a_clip_waits_for_a_slow_reader(clip: str) -> None:
    with CaptureProcess(clip, "c") as slow:
        first = take(slow)
        # Meanwhile another capture runs from start to end.
        with CaptureProcess(clip, "c") as other:
            assert len(list(other)) == 12
        rest = list(slow)
    assert [frame.seq for frame in [first, *rest]] == list(range(12))
    assert slow.dropped == 0


def test_a_camera_gives_its_newest_frame_and_counts_the_others(clip: str) -> None:
    with CaptureProcess(LIVE, "c") as camera:
        first = take(camera)
        with CaptureProcess(clip, "c") as other:
            list(other)
        second = take(camera)
        assert camera.live is True
        assert camera.dropped > 0
        # What is sent at once is the one frame left for us, older by one pass of the camera at most.
        assert second.seq - first.seq == camera.dropped + 1


def test_a_capture_goes_on_where_another_stopped(clip: str) -> None:
    with CaptureProcess(clip, "c", first_seq=7) as capture:
        assert [frame.seq for frame in capture] == list(range(7, 12))


@pytest.mark.parametrize(
    ("spec", "error", "says"),
    [
        ("file:nowhere.mp4", CameraError, "nowhere.mp4: expected a video clip"),
        ("webcam:0", ConfigError, "dir, file, rpicam, stream, synthetic, v4l2"),
    ],
)
def test_what_the_source_raises_comes_over_as_itself(spec: str, error: type[Exception], says: str) -> None:
    with CaptureProcess(spec, "c") as capture, pytest.raises(error, match=says) as caught:
        next(iter(capture))
    assert type(caught.value) is error
    assert capture.live is None


def test_frames_before_the_end_of_a_damaged_clip_are_not_lost(tmp_path: Path) -> None:
    whole = write_clip(tmp_path / "whole.avi", [make_pixels(48, 64, seed) for seed in range(30)])
    cut = tmp_path / "cut.avi"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with CaptureProcess(f"file:{cut}", "c") as capture:
        assert 5 < len(list(capture)) < 30


def test_a_killed_process_is_a_loss() -> None:
    with CaptureProcess(LIVE, "c") as capture:
        take(capture)
        os.kill(capture.pid, signal.SIGKILL)
        with pytest.raises(CaptureLostError, match="SIGKILL"):
            list(capture)


def test_a_stuck_process_misses_its_deadline_and_can_be_closed() -> None:
    with CaptureProcess(LIVE, "c", deadline_s=0.2) as capture:
        take(capture)
        os.kill(capture.pid, signal.SIGSTOP)
        with pytest.raises(CaptureLostError, match=r"within 0\.2 s"):
            list(capture)
    assert wait_for_end(capture.pid)


def test_the_first_frame_has_a_deadline_of_its_own() -> None:
    with (
        CaptureProcess(LIVE, "c", deadline_s=3600, first_frame_s=0.05) as capture,
        pytest.raises(CaptureLostError, match=r"within 0\.05 s, found none; .* raise first_frame_s"),
    ):
        take(capture)
    with CaptureProcess(LIVE, "c", deadline_s=0.2, first_frame_s=60) as capture:
        take(capture)  # Python and OpenCV take longer than 0.2 s to start
        os.kill(capture.pid, signal.SIGSTOP)
        with pytest.raises(CaptureLostError, match=r"within 0\.2 s, found none; .* raise deadline_s"):
            list(capture)


def test_signals_for_the_daemon_do_not_end_a_capture() -> None:
    with CaptureProcess(LIVE, "c") as capture:
        take(capture)
        os.kill(capture.pid, signal.SIGTERM)
        os.kill(capture.pid, signal.SIGINT)
        for _ in range(20):
            take(capture)


def test_nothing_waits_while_no_frame_is_due() -> None:
    with CaptureProcess(SLOW, "c") as capture:
        take(capture)
        capture.ask()
        assert capture.take() is None
        assert not capture.ended


def test_closing_ends_the_process_and_leaves_no_descriptor(clip: str) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    capture = CaptureProcess(clip, "c")
    capture.close()
    capture.close()
    assert wait_for_end(capture.pid)
    assert list(capture) == []
    with CaptureProcess(SLOW, "c") as other:
        take(other)
    assert wait_for_end(other.pid)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_capture_does_not_outlive_its_daemon() -> None:
    program = (
        "from edge_runtime.capture.process import CaptureProcess\n"
        f"capture = CaptureProcess({SLOW!r}, 'c')\n"
        "next(iter(capture))\n"
        "print(capture.pid, flush=True)\n"
        "input()\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    with parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert Path(f"/proc/{pid}").exists()
        parent.kill()
        assert wait_for_end(pid)
