"""What a user's terminal and a user's scripts see of the daemon's state, and enrolment in front of a camera."""

from __future__ import annotations

import json
import os
import select
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from edge_runtime.control.state import EXIT_CODES
from tests.builders import ROOT, make_bundle, make_pixels
from tests.clips import visit, write_clip
from tests.e2e.test_run import PATIENCE_S, Daemon, environment, familiar


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips of 80 seconds: somebody who stays, and nobody."""
    folder = tmp_path_factory.mktemp("clips")
    write_clip(folder / "stays.avi", visit(0, before=2, seen=2400, after=0), fps=30)
    write_clip(folder / "empty.avi", [make_pixels(240, 240, 9)] * 2400, fps=30)
    return folder


@pytest.fixture
def folder(tmp_path: Path, clips: Path) -> Path:
    make_bundle(tmp_path / "bundle")
    for clip in clips.iterdir():
        (tmp_path / clip.name).hardlink_to(clip)
    (tmp_path / "config" / "familiar").mkdir(parents=True)
    return tmp_path


def configure(folder: Path, clip: str, more: str = "") -> None:
    text = f'[camera.door]\nsource = "file:{folder / clip}?realtime"\n{more}'
    (folder / "config/familiar/familiar.toml").write_text(text)


@pytest.fixture
def daemon(folder: Path) -> Iterator[Daemon]:
    configure(folder, "stays.avi", "[log]\nformat = 'json'\n")
    started = Daemon(folder)
    yield started
    if started.process.poll() is None:
        started.process.kill()
    started.process.communicate()


def test_status_says_the_state_in_text_json_and_exit_code(daemon: Daemon, folder: Path) -> None:
    daemon.next_event("unknown")
    done = familiar(folder, "status", "--snapshot", str(folder / "now.jpg"))
    assert (done.returncode, done.stdout.splitlines()[0]) == (EXIT_CODES["ok"], "state:   ok"), done.stderr
    with Image.open(folder / "now.jpg") as picture:
        assert (picture.format, picture.size) == ("JPEG", (240, 240))
    assert stat.S_IMODE((folder / "now.jpg").stat().st_mode) == 0o600

    gallery = folder / "state/familiar/gallery.db"
    gallery.chmod(0o640)
    assert json.loads(daemon.next_line('"degraded"'))["part"] == "gallery"
    done = familiar(folder, "status", "--json")
    assert done.returncode == EXIT_CODES["degraded"]
    (trouble,) = json.loads(done.stdout)["troubles"]
    assert trouble["part"] == "gallery" and f"chmod 600 {gallery}" in trouble["reason"]
    gallery.chmod(0o600)
    assert json.loads(daemon.next_line('"recovered"'))["part"] == "gallery"

    (capture,) = daemon.capture_pids()
    os.kill(capture, signal.SIGKILL)
    daemon.next_event("camera_lost")
    daemon.next_event("camera_back")
    assert familiar(folder, "status").returncode == EXIT_CODES["ok"]
    daemon.end()
    assert familiar(folder, "status").returncode == 11


def test_somebody_is_enrolled_in_front_of_the_daemons_camera(daemon: Daemon, folder: Path) -> None:
    daemon.next_event("unknown")
    done = familiar(folder, "enroll", "Ada", "--camera", "door", "--views", "1")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "view 1: enrolled"
    assert "Ada: 0/1 views; hold still" in done.stderr and "Ada: 1/1 views; good" in done.stderr
    assert daemon.next_event("identified")["person"] == "Ada"
    _, log = daemon.end()
    assert "Ada" not in log


def test_a_camera_is_enough_without_a_daemon(folder: Path) -> None:
    configure(folder, "stays.avi")
    done = familiar(folder, "enroll", "Ada", "--camera", "door", "--views", "1", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["templates"] == 1


def test_ctrl_c_leaves_nobody_half_enrolled(folder: Path) -> None:
    configure(folder, "empty.avi")
    command = [sys.executable, "-m", "edge_runtime", "enroll", "Ada", "--camera", "door"]
    with subprocess.Popen(command, cwd=ROOT, env=environment(folder), stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        said, deadline = b"", time.monotonic() + PATIENCE_S
        while b"step in front of the camera" not in said:
            assert select.select([process.stderr], [], [], PATIENCE_S)[0] and time.monotonic() < deadline
            said += os.read(process.stderr.fileno(), 4096)
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
        process.wait(PATIENCE_S)
    assert process.returncode == 130
    assert rest.endswith(b"familiar: interrupted\n") and b"Traceback" not in rest
    assert familiar(folder, "people", "list", "--json").stdout.strip() in (
        '{\n  "people": []\n}',
        "[]",
        '{"people": []}',
    )


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["Ada"], 2, "expected photos or --camera NAME"),
        (["Ada", "a.png", "--camera", "door"], 2, "and not both"),
        (["Ada", "--camera", "door", "--force"], 2, "for photos"),
        (["Ada", "--camera", "door", "--views", "0"], 2, "expected 1 to 20"),
        (["Ada", "--camera", "hall"], 4, "expected one of door"),
    ],
)
def test_what_makes_no_sense_is_one_line(folder: Path, arguments: list[str], code: int, says: str) -> None:
    configure(folder, "empty.avi")
    done = familiar(folder, "enroll", *arguments)
    assert (done.returncode, len(done.stderr.splitlines())) == (code, 1), done.stderr
    assert says in done.stderr
