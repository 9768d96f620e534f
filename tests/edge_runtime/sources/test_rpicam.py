"""The Pi camera's program, by a stand-in that writes what it writes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edge_runtime.capture.process import CaptureProcess
from edge_runtime.errors import CameraError
from edge_runtime.sources import open_source
from edge_runtime.types import Frame
from tests.cameras import write_rpicam

SPEC = "rpicam:0?size=128x96&fps=100"


@pytest.fixture
def fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts the stand-in on PATH; the function says what is to go wrong."""
    write_rpicam(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return lambda fault: monkeypatch.setenv("STANDIN_FAULT", fault)


def frames_until_lost(spec: str) -> tuple[list[Frame], str]:
    frames: list[Frame] = []
    with CaptureProcess(spec, "door") as capture, pytest.raises(CameraError) as caught:
        frames.extend(capture)
    assert "\n" not in str(caught.value)
    return frames, str(caught.value)


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (200, 30, 20), (10, 240, 30), (40, 60, 230)])
def test_colours_come_out_of_the_full_range_as_they_went_in(
    colour: tuple[int, int, int], fails: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STANDIN_COLOUR", ",".join(map(str, colour)))
    with open_source(SPEC, "door") as source:
        frame = next(iter(source))
    assert frame.pixels.shape == (96, 128, 3)
    assert np.abs(frame.pixels.astype(int) - colour).max() <= 4


def test_it_ends_with_what_the_program_said_last(fails: Callable[[str], None]) -> None:
    fails("die:3")
    frames, error = frames_until_lost(SPEC)
    assert len(frames) <= 3
    assert "it gave 3 and ended with code 255 (ERROR: *** failed to queue buffer ***)" in error


def test_a_picture_cut_short_is_none(fails: Callable[[str], None]) -> None:
    fails("cut:3")
    frames, error = frames_until_lost(SPEC)
    assert all(frame.seq < 3 for frame in frames)
    assert "it gave 3 and 6144 of 18432 bytes of another" in error


def test_no_camera_at_the_ribbon(fails: Callable[[str], None]) -> None:
    fails("none")
    frames, error = frames_until_lost(SPEC)
    assert frames == []
    assert "no cameras available" in error and "rpicam-hello --list-cameras" in error


def test_another_size_than_asked_for_is_no_picture(fails: Callable[[str], None]) -> None:
    fails("adjust:64x64")
    frames, error = frames_until_lost(SPEC)
    assert frames == []
    assert "expected 128x96 YUV420" in error and "found 64x64 YUV420" in error


def test_the_older_name_serves_where_the_newer_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_rpicam(tmp_path, "libcamera-vid")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    if shutil.which("rpicam-vid"):
        pytest.skip("the real rpicam-vid is here")
    with open_source(SPEC, "door") as source:
        assert next(iter(source)).seq == 0


def test_neither_program_is_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CameraError, match="sudo apt install rpicam-apps"):
        open_source(SPEC, "door")


def test_the_program_is_ended_with_the_source(fails: Callable[[str], None]) -> None:
    with open_source(SPEC, "door") as source:
        next(iter(source))
        children = Path(f"/proc/self/task/{os.getpid()}/children")
        (program,) = [pid for pid in children.read_text().split() if _is_standin(int(pid))]
    assert not Path(f"/proc/{program}/cmdline").exists() or not Path(f"/proc/{program}/cmdline").read_bytes()


def _is_standin(pid: int) -> bool:
    return b"standin_rpicam" in Path(f"/proc/{pid}/cmdline").read_bytes()
