"""``familiar run`` as its user and systemd see it: a process, its output, its signals, its socket."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_runtime.control.client import ControlClient
from edge_runtime.control.state import EXIT_CODES
from tests.builders import ROOT, SHARED, draw_face, make_bundle
from tests.clips import FPS, visit, visitor, write_clip
from tests.event_lines import EventLines
from tests.waiting import wait_for

LIVE = "synthetic:fps=10,size=320x240,realtime,loop"
PATIENCE_S = 60


class Daemon:
    """A running ``familiar run`` with its events as they come."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "edge_runtime", "run", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=ROOT,
            env=environment(folder),
        )
        assert self.process.stdout is not None
        self._events = EventLines(self.process.stdout.fileno())
        assert self.process.stderr is not None
        self._errors = self.process.stderr.fileno()

    def next_line(self, says: str) -> str:
        """Wait for a line on standard error that has ``says`` in it; what came before it is passed over."""
        text = b""
        while True:
            *lines, text = text.split(b"\n")
            found = [line.decode() for line in lines if says.encode() in line]
            if found:
                return found[0]
            assert select.select([self._errors], [], [], PATIENCE_S)[0], f"no line with {says!r} came"
            more = os.read(self._errors, 65536)
            assert more, f"it ended without a line with {says!r}: {text.decode()}"
            text += more

    def next_event(self, *kinds: str) -> dict[str, Any]:
        """Wait for the next event of these kinds; others before it are passed over."""
        return self._events.next_event(kinds, PATIENCE_S)

    def capture_pids(self) -> list[int]:
        listed = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [int(pid) for pid in listed]

    def end(self, number: signal.Signals = signal.SIGTERM) -> tuple[list[dict[str, Any]], str]:
        """Signal it and wait; the events that were left, and standard error."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self) -> tuple[list[dict[str, Any]], str]:
        out, err = self.process.communicate(timeout=PATIENCE_S)
        return [json.loads(line) for line in (self._events.rest + out).splitlines()], err.decode()


def environment(folder: Path) -> dict[str, str]:
    return {
        **os.environ,
        "XDG_CONFIG_HOME": str(folder / "config"),
        "XDG_STATE_HOME": str(folder / "state"),
        "XDG_RUNTIME_DIR": str(folder / "run"),
        "FAMILIAR_BUNDLE_PATH": str(folder / "bundle"),
    }


def familiar(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "edge_runtime", *arguments],
        cwd=ROOT,
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home of this module's own, with a bundle, and a clip of a visit."""
    made = tmp_path_factory.mktemp("home")
    make_bundle(made / "bundle")
    write_clip(made / "visit.avi", visit(0))
    return made


@contextmanager
def starting(folder: Path, *always: str) -> Iterator[Callable[..., Daemon]]:
    """What starts daemons with these arguments and more; the end of the block is theirs too."""
    daemons: list[Daemon] = []

    def start(*arguments: str) -> Daemon:
        daemons.append(Daemon(folder, *always, *arguments))
        return daemons[-1]

    try:
        yield start
    finally:
        for daemon in daemons:
            if daemon.process.poll() is None:
                daemon.process.kill()
                daemon.process.communicate()


@pytest.fixture
def started(folder: Path) -> Iterator[Any]:
    """Starts daemons, and ends what a failed test left running."""
    with starting(folder) as start:
        yield start


def test_a_mistake_in_one_cameras_table_takes_no_other_along(started: Any, folder: Path, tmp_path: Path) -> None:
    good = f'[camera.door]\nsource = "{LIVE}"\n'
    wrong = '[camera.yard]\nsource = "v4l2:0"\ndeadline = 5\n[camera.hall]\nsource = "v4l2:1"\nfrozen_s = "no"\n'
    file = tmp_path / "some.toml"
    file.write_text(good + wrong)
    daemon = started("--config", str(file))
    reasons = {event["camera"]: event["reason"] for event in (daemon.next_event("camera_lost") for _ in range(2))}
    assert "unknown key 'deadline'; did you mean 'deadline_s'?" in reasons["yard"]
    assert "frozen_s: expected float" in reasons["hall"]
    daemon.next_line("did you mean 'deadline_s'")

    def seen() -> dict[str, Any]:
        done = familiar(folder, "status", "--json", "--config", str(file))
        return dict(json.loads(done.stdout)) if done.returncode == EXIT_CODES["degraded"] else {}

    wait_for(lambda: bool(seen()) and seen()["cameras"]["door"]["frames"] > 5, PATIENCE_S)
    troubles = {one["part"]: one["reason"] for one in seen()["troubles"]}
    # A busy machine adds that the pace is slow.
    assert {part for part in troubles if part.startswith("camera ")} == {"camera yard", "camera hall"}
    assert "did you mean" in troubles["camera yard"]
    assert seen()["cameras"]["yard"]["state"] == "ended" and seen()["cameras"]["door"]["state"] == "running"

    checked = familiar(folder, "config", "check", "--config", str(file))
    assert (
        checked.returncode == 3 and "did you mean 'deadline_s'" in checked.stderr and "[camera.hall]" in checked.stderr
    )
    assert familiar(folder, "config", "show", "--config", str(file)).returncode == 3
    file.write_text(wrong)
    _, errors = started("--config", str(file)).wait()
    assert errors.count("\n") == 1 and "did you mean 'deadline_s'" in errors


def test_a_clip_runs_to_its_end(started: Any, folder: Path) -> None:
    daemon = started("--camera", f"door=file:{folder / 'visit.avi'}")
    events, err = daemon.wait()
    assert daemon.process.returncode == 0, err
    assert [event["kind"] for event in events] == ["appeared", "unknown", "left"]
    assert "105 frames" in err
    assert "1 tracks: 0 identified, 1 unknown, 0 rejected" in err
    assert not (folder / "run/familiar/control.sock").exists()


@pytest.mark.parametrize(("size", "face_px", "within_s"), [("1280x720", 40, 0.2), ("1920x1080", 26, 0.6)])
def test_somebody_far_away_appears_as_they_walk_in(
    started: Any, tmp_path: Path, size: str, face_px: int, within_s: float
) -> None:
    scene = visitor(size, face_px)
    comes = next(seq for seq in range(1000) if scene.showing(seq / FPS))
    path = write_clip(tmp_path / "far.avi", [scene.render(seq / FPS) for seq in range(comes - 15, comes + 25)])
    events, err = started("--camera", f"door=file:{path}").wait()
    appeared = next(event for event in events if event["kind"] == "appeared")
    left = next(event for event in events if event["kind"] == "left")
    assert appeared["captured_s"] <= 15 / FPS + within_s, err
    assert left["track_id"] == appeared["track_id"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_open_tracks_leave(started: Any, number: signal.Signals) -> None:
    daemon = started("--camera", f"door={LIVE}")
    seen = daemon.next_event("appeared")
    events, err = daemon.end(number)
    assert daemon.process.returncode == 0, err
    assert seen["track_id"] in [event["track_id"] for event in events if event["kind"] == "left"]
    assert "familiar: door:" in err
    assert "Traceback" not in err


def test_a_signal_ends_it_while_no_frame_comes(started: Any) -> None:
    daemon = started("--camera", f"door={LIVE}")
    daemon.next_event("appeared")
    (capture,) = daemon.capture_pids()
    os.kill(capture, signal.SIGSTOP)
    _, err = daemon.end()
    assert daemon.process.returncode == 0, err
    assert not Path(f"/proc/{capture}").exists()


def test_a_killed_capture_is_reported_and_replaced(started: Any) -> None:
    daemon = started("--camera", f"door={LIVE}")
    daemon.next_event("appeared")
    (capture,) = daemon.capture_pids()
    os.kill(capture, signal.SIGKILL)
    assert "SIGKILL" in daemon.next_event("camera_lost")["reason"]
    daemon.next_event("camera_back")
    (second,) = daemon.capture_pids()
    assert second != capture
    daemon.end()
    assert daemon.process.returncode == 0


def test_enrolling_while_it_runs_counts_for_the_next_decision(started: Any, folder: Path) -> None:
    # The same visit over and over, at the clip's own pace: a camera as far as the daemon can tell.
    pictures = [picture for _ in range(12) for picture in visit(2, after=50)]
    clip = write_clip(folder / "many.avi", pictures, fps=50)
    daemon = started("--camera", f"door=file:{clip}?realtime")
    assert daemon.next_event("identified", "unknown")["kind"] == "unknown"
    client = ControlClient.connect(folder / "run/familiar/control.sock")
    assert client is not None
    done, data = cv2.imencode(".png", np.ascontiguousarray(draw_face(2, background=3)[:, :, ::-1]))
    assert done
    answer = client.call("enroll", {"name": "Ada", "source": "a.png"}, data.tobytes())
    assert answer["accepted"], answer
    assert daemon.next_event("identified", "unknown")["person"] == "Ada"
    status = familiar(folder, "status", "--json")
    assert json.loads(status.stdout)["gallery"]["people"] == 1
    assert "door: running" in familiar(folder, "status").stdout
    client.call("people.forget", {"name": "Ada"})
    daemon.end()
    assert daemon.process.returncode == 0


def test_it_ends_when_nobody_reads_its_output(started: Any) -> None:
    daemon = started("--camera", f"door={LIVE}")
    daemon.next_event("appeared")
    daemon.process.stdout.close()
    daemon.process.stdout = None
    _, err = daemon.process.communicate(timeout=PATIENCE_S)
    assert daemon.process.returncode == 0
    assert b"Traceback" not in err


@contextmanager
def stuck() -> Iterator[int]:
    """The end to write to of a pipe that is full and that nobody reads."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(write, b"\n" * 4096)
    os.set_blocking(write, True)
    try:
        yield write
    finally:
        os.close(write)
        os.close(read)


@pytest.mark.parametrize("which", ["stdout", "stderr"])
def test_it_looks_and_stops_although_a_stream_is_stuck(folder: Path, which: str) -> None:
    command = [sys.executable, "-m", "edge_runtime", "run", "--camera", f"door={LIVE}"]
    with stuck() as write:
        streams: dict[str, int] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, which: write}
        with subprocess.Popen(command, cwd=ROOT, env=environment(folder), **streams) as process:  # type: ignore[call-overload]
            path = folder / "run/familiar/control.sock"
            deadline = time.monotonic() + PATIENCE_S
            while (client := ControlClient.connect(path)) is None:
                assert time.monotonic() < deadline and process.poll() is None
                select.select([], [], [], 0.05)
            while not client.call("status", {})["cameras"].get("door", {}).get("tracks"):
                assert time.monotonic() < deadline
                select.select([], [], [], 0.05)
            process.terminate()
            out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
    if which == "stdout":
        assert b"could not be written in time" in err
    else:
        assert b'"appeared"' in out


def test_a_second_daemon_is_refused(started: Any, folder: Path) -> None:
    first = started("--camera", f"door={LIVE}")
    first.next_event("appeared")
    second = started("--camera", f"door={LIVE}")
    _, err = second.wait()
    assert second.process.returncode == 16
    assert f"process {first.process.pid} does" in err
    first.end()
    assert first.process.returncode == 0


def test_a_hang_up_signal_reloads_and_survives_a_broken_file(started: Any, folder: Path) -> None:
    config = folder / "familiar.toml"
    config.write_text("[decide]\nmargin = 0.1\n")
    daemon = started("--config", str(config), "--camera", f"door={LIVE}")
    daemon.next_event("appeared")
    client = ControlClient.connect(folder / "run/familiar/control.sock")
    assert client is not None
    assert client.call("status", {})["gallery"]["margin"] == 0.1

    config.write_text("[decide]\nmargin = 0.3\n")
    daemon.process.send_signal(signal.SIGHUP)
    daemon.next_line("read again")
    assert client.call("status", {})["gallery"]["margin"] == 0.3
    config.write_text("[decide]\nmargim = 0.4\n")
    daemon.process.send_signal(signal.SIGHUP)
    assert "did you mean 'margin'?" in daemon.next_line("margim")
    assert client.call("status", {})["gallery"]["margin"] == 0.3
    daemon.end()
    assert daemon.process.returncode == 0


def test_starting_and_stopping_leaves_nothing(started: Any, folder: Path) -> None:
    for _ in range(2):
        daemon = started("--camera", f"door={LIVE}", "--camera", f"hall={LIVE}")
        daemon.next_event("appeared")
        captures = daemon.capture_pids()
        assert len(captures) == 2
        daemon.end()
        assert daemon.process.returncode == 0
        wait_for(lambda: not [pid for pid in captures if Path(f"/proc/{pid}").exists()])  # noqa: B023
        assert list((folder / "run/familiar").iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ([], 3, "[camera.front]"),
        (["--camera", "door"], 2, "NAME=SPEC"),
        (["--camera", "door=v4l2:977"], 9, "/dev/video977"),
        (["--camera", "door=file:nowhere.mp4"], 9, "nowhere.mp4"),
        (["--camera", "door=webcam:0"], 3, "dir, file, rpicam, stream, synthetic, v4l2"),
        (["--camera", f"door={LIVE}", "--set", "bundle.path=/nowhere"], 6, "/nowhere"),
        (["--camera", f"door={LIVE}", "--set", "decide.margim=1"], 3, "did you mean 'margin'?"),
    ],
)
def test_what_is_wrong_ends_in_one_line(folder: Path, arguments: list[str], code: int, says: str) -> None:
    done = familiar(folder, "run", *arguments)
    assert done.returncode == code
    assert done.stdout == ""
    ours = [line for line in done.stderr.splitlines() if not line.startswith("INFO:")]
    assert len(ours) == 1
    assert says in ours[0]


def test_status_without_a_daemon_says_how_to_start_one(folder: Path) -> None:
    done = familiar(folder, "status")
    assert done.returncode == 11
    assert "familiar run" in done.stderr


def test_the_self_test_passes(folder: Path) -> None:
    done = familiar(folder, "run", "--self-test")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("self-test passed")


def test_bench_times_every_stage(folder: Path) -> None:
    clip = folder / "visit.avi"
    done = familiar(folder, "bench", "--source", f"file:{clip}", "--frames", "60", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["frames"] == 60
    assert set(document["stages"]) == {"read", "motion", "detect", "follow", "align", "encode", "match"}
    assert all(row["runs"] and row["mean_ms"] > 0 for row in document["stages"].values())
    assert sum(row["share"] for row in document["stages"].values()) == pytest.approx(1)
    searches = document["searched"] + sum(document["saved"][why]["count"] for why in ("not due", "still"))
    assert searches == 60
    assert document["frame_ms"] < document["without_savings_ms"]
    table = familiar(folder, "bench", "--source", f"file:{clip}", "--frames", "2").stdout
    assert "no face" in table


@pytest.mark.skipif(not SHARED.is_dir(), reason="the real clip is beside the checkout, in ../shared, and is missing")
def test_the_real_clip_runs_with_people_coming_and_going(started: Any) -> None:
    daemon = started("--camera", f"clip=file:{SHARED / 'data/clips/short_hamilton_clip.mp4'}")
    events, err = daemon.wait()
    assert daemon.process.returncode == 0, err
    kinds = [event["kind"] for event in events]
    assert kinds.count("appeared") == kinds.count("left") >= 2
    assert "275 frames" in err
    assert err.startswith("familiar: watching clip (file:")
