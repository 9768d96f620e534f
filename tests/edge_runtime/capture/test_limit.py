"""What a stranger sends can take neither the machine's memory nor the daemon."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from edge_runtime.capture.process import CaptureProcess
from edge_runtime.errors import CameraError
from tests.builders import make_pixels
from tests.cameras import MjpegCamera, jpeg
from tests.clips import write_clip

SMALL, LARGE = jpeg(make_pixels(240, 320)), jpeg(np.zeros((2000, 3000, 3), np.uint8))


def take(capture: CaptureProcess) -> tuple[int, ...]:
    capture.ask()
    return next(iter(capture)).pixels.shape


def test_a_picture_larger_than_allowed_is_one_line_and_the_camera_can_be_opened_again() -> None:
    served = itertools.chain([SMALL] * 8, [LARGE], itertools.repeat(SMALL))
    with MjpegCamera(lambda: served, fps=50) as server:
        with (
            CaptureProcess(server.url, "door", max_megapixels=4) as capture,
            pytest.raises(CameraError, match=r"door: .* at most 4 megapixels, found 3000x2000; .*max_megapixels"),
        ):
            for _ in range(100):
                take(capture)
        with CaptureProcess(server.url, "door", max_megapixels=4) as capture:
            assert take(capture) == (240, 320, 3)
        with MjpegCamera(lambda: itertools.repeat(LARGE)) as large, CaptureProcess(large.url, "door") as capture:
            assert take(capture) == (2000, 3000, 3)


def test_what_wants_more_memory_than_the_pictures_allowed_is_one_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    # 144 MB once decoded; the limit leaves 98.
    huge = jpeg(np.zeros((6000, 8000, 3), np.uint8))
    with (
        MjpegCamera(lambda: itertools.chain([SMALL] * 5, itertools.repeat(huge)), fps=20) as server,
        CaptureProcess(server.url, "door", max_megapixels=0.1) as capture,
        pytest.raises(CameraError, match=r"at most 0\.1 megapixels, found one that takes more than 98 MiB"),
    ):
        for _ in range(100):
            take(capture)
    clip = write_clip(tmp_path / "large.avi", [make_pixels(960, 1280)])
    with (
        CaptureProcess(f"file:{clip}", "door", max_megapixels=1) as capture,
        pytest.raises(CameraError, match="at most 1 megapixels, found 1280x960"),
    ):
        take(capture)
    assert capfd.readouterr().err == ""


def test_the_limit_holds_for_the_process_alone_and_follows_from_the_pictures() -> None:
    def limit(megapixels: float) -> int:
        source = "synthetic:size=160x120,people=1,realtime,loop"
        with CaptureProcess(source, "c", max_megapixels=megapixels) as capture:
            take(capture)
            return _data_limit(capture.pid)

    # The limit is beside what libraries have taken, and how much their threads have by then is chance.
    limits = [min(limit(megapixels) for _ in range(3)) for megapixels in (1.0, 16.0)]
    assert limits[1] - limits[0] == pytest.approx(15e6 * 3 * 8, rel=0.1)
    assert limits[1] < 1 << 30


def test_nothing_of_the_daemons_environment_reaches_it_but_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "FAMILIAR_DEVICE_KEY",
        "AWS_SECRET_ACCESS_KEY",
        "CREDENTIALS_DIRECTORY",
        "MQTT_PASSWORD",
        "SSH_AUTH_SOCK",
    ):
        monkeypatch.setenv(name, "s3cret")
    with CaptureProcess("synthetic:size=160x120,people=1,realtime,loop", "c") as capture:
        take(capture)
        environment = Path(f"/proc/{capture.pid}/environ").read_bytes()
    names = {entry.partition(b"=")[0].decode() for entry in environment.split(b"\0") if entry}
    assert b"s3cret" not in environment
    allowed = ("LC_", "LD_", "PYTHON", "OPENCV_", "GST_", "LIBCAMERA_", "FAKETIME", "STANDIN_")
    assert {name for name in names if not name.startswith(allowed)} <= {"HOME", "LANG", "PATH", "TMPDIR", "TZ"}


def _data_limit(pid: int) -> int:
    for line in Path(f"/proc/{pid}/limits").read_text().splitlines():
        if line.startswith("Max data size"):
            return int(line.split()[3])
    raise AssertionError("no limit of data in /proc")
