"""One camera's losses and returns: real servers, really killed, and captures that cannot be."""

from __future__ import annotations

import gc
import itertools
import os
import resource
import select
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from edge_runtime.config import CameraConfig
from edge_runtime.daemon.camera import Camera
from edge_runtime.pipeline import Pipeline
from edge_runtime.system.log import log
from edge_runtime.types import Event, Frame, Pixels
from tests.builders import make_pixels
from tests.cameras import (
    Halting,
    MjpegCamera,
    ProgramCamera,
    ffmpeg_camera,
    jpeg,
    rtsp_camera,
    wait_for_port,
    write_rpicam,
)
from tests.clips import write_clip
from tests.edge_runtime.capture.test_process import LIVE, wait_for_end

WAIT_S = 120.0
"""Longest wait for anything: the machine may be busy."""


class Watcher:
    """In a pipeline's place: keeps what the last frames showed, and makes no events."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []
        self.pixels: Pixels | None = None

    def step(self, frame: Frame) -> list[Event]:
        self.shapes.append(frame.pixels.shape)
        self.pixels = frame.pixels
        return []

    def finish(self, captured_s: float, wall_time: float) -> list[Event]:
        return []


def watch(source: str, **settings: Any) -> Camera:
    return Camera("door", CameraConfig(source=source, **settings), cast(Pipeline, Watcher()))


def turn(camera: Camera) -> list[Event]:
    """One round of the daemon's loop."""
    waiting = [camera.capture] if camera.capture is not None else []
    select.select(waiting, [], [], max(min(camera.wake_s - time.monotonic(), 1.0), 0.0))
    return camera.turn()


def turn_until(camera: Camera, done: Callable[[], bool]) -> list[Event]:
    events: list[Event] = []
    until_s = time.monotonic() + WAIT_S
    while not done():
        assert time.monotonic() < until_s, f"{camera.state}: {camera.error}"
        events += turn(camera)
    return events


def next_event(camera: Camera, kind: str) -> Event:
    """Turn until this event comes, and no other."""
    events: list[Event] = []
    until_s = time.monotonic() + WAIT_S
    while not events:
        assert time.monotonic() < until_s, f"{camera.state}: {camera.error}"
        events = turn(camera)
    assert [event.kind for event in events] == [kind]
    return events[0]


def descriptors() -> list[str]:
    """What this process holds open."""
    gc.collect()
    return sorted(
        target
        for path in Path("/proc/self/fd").iterdir()
        if path.is_symlink() and not (target := str(path.readlink())).startswith("/proc/")
    )


@pytest.fixture
def opened() -> Iterator[Callable[..., Camera]]:
    """Cameras that are closed at the end, and leave nothing behind."""
    before = descriptors()
    cameras: list[Camera] = []

    def make(source: str, **settings: Any) -> Camera:
        cameras.append(watch(source, **settings))
        return cameras[-1]

    yield make
    for camera in cameras:
        camera.close()
        # It keeps the latest frame, and with it the memory.
        del camera
    cameras.clear()
    assert descriptors() == before
    assert not list(Path("/dev/shm").glob("*familiar*"))


@pytest.mark.parametrize("make", [ffmpeg_camera, rtsp_camera])
def test_a_network_camera_that_is_switched_off_and_on(
    make: Callable[[], ProgramCamera], opened: Callable[..., Camera]
) -> None:
    with make() as server:
        wait_for_port(server.url)
        camera = opened(server.url)
        assert turn_until(camera, lambda: camera.frames >= 5) == []
        server.kill()
        lost = next_event(camera, "camera_lost")
        assert "gave" in (lost.reason or "")
        assert (camera.state, camera.losses) == ("lost", 1)
        # Nobody is there for now: that is no other loss.
        assert turn_until(camera, lambda: "cannot be reached" in str(camera.error)) == []
        server.start()
        wait_for_port(server.url)
        back = next_event(camera, "camera_back")
        assert back.wall_time >= lost.wall_time
        frames = camera.frames
        turn_until(camera, lambda: camera.frames >= frames + 5)
        assert (camera.state, camera.error, camera.losses) == ("running", None, 1)


def test_a_server_that_stops_sending_is_lost_at_the_deadline(opened: Callable[..., Camera]) -> None:
    hold = threading.Event()

    def pictures() -> Iterator[bytes]:
        for number in itertools.count():
            if number == 5:
                hold.wait(WAIT_S)
            yield jpeg(make_pixels(seed=number % 7))

    with MjpegCamera(pictures) as server:
        camera = opened(server.url, deadline_s=1.0)
        assert "within 1 s" in (next_event(camera, "camera_lost").reason or "")
        hold.set()
        next_event(camera, "camera_back")
        turn_until(camera, lambda: camera.frames > 10)


def test_a_frozen_camera_is_lost_until_it_shows_something_else(opened: Callable[..., Camera]) -> None:
    moving = threading.Event()

    def pictures() -> Iterator[bytes]:
        yield jpeg(make_pixels(seed=1))
        for number in itertools.count():
            yield jpeg(make_pixels(seed=2 + (number % 7 if moving.is_set() else 0)))

    with MjpegCamera(pictures) as server:
        camera = opened(server.url, frozen_s=1.0)
        lost = next_event(camera, "camera_lost")
        assert "frozen" in (lost.reason or "")
        frames = camera.frames
        # It is opened again and again, gives pictures each time, and they are still the same: no way back.
        first = server.clients
        events = turn_until(camera, lambda: server.clients >= first + 2)
        # The first picture after each opening is another one, by the server's making.
        assert {event.kind for event in events} <= {"camera_back", "camera_lost"}
        moving.set()
        turn_until(camera, lambda: camera.state == "running" and camera.frames > frames + 20)


def test_the_same_picture_after_a_new_opening_is_no_way_back(opened: Callable[..., Camera]) -> None:
    moving = threading.Event()

    def pictures() -> Iterator[bytes]:
        for number in itertools.count():
            yield jpeg(make_pixels(seed=number % 7 if moving.is_set() else 0))

    with MjpegCamera(pictures) as server:
        camera = opened(server.url, frozen_s=0.5)
        next_event(camera, "camera_lost")
        seen = camera.frames
        assert turn_until(camera, lambda: server.clients >= 3) == []
        assert (camera.frames, camera.losses, camera.state) == (seen, 1, "lost")
        moving.set()
        next_event(camera, "camera_back")


@pytest.mark.parametrize("frozen_s", [0.0, 0.5])
def test_only_a_sensor_can_freeze(frozen_s: float, opened: Callable[..., Camera]) -> None:
    # An empty room without anybody in it, drawn: the same for seconds.
    camera = opened("synthetic:fps=50,size=160x120,people=1,realtime,loop", frozen_s=frozen_s)
    assert turn_until(camera, lambda: camera.frames >= 150) == []


def test_a_camera_that_comes_and_goes_is_tried_ever_later(opened: Callable[..., Camera]) -> None:
    def pictures() -> Iterator[bytes]:
        return iter([jpeg(make_pixels(seed=number)) for number in range(3)])

    with MjpegCamera(pictures) as server:
        camera = opened(server.url)
        waits = []
        for _ in range(3):
            events = turn_until(camera, lambda: camera.state == "lost")
            assert events[-1].kind == "camera_lost"
            waits.append(camera.wake_s - time.monotonic())
            turn_until(camera, lambda: camera.state == "running")
    assert waits[0] <= 0.625
    assert waits[0] < waits[1] < waits[2]


def test_a_capture_killed_in_the_middle_of_a_picture(opened: Callable[..., Camera]) -> None:
    half = threading.Event()

    def pictures() -> Iterator[bytes]:
        yield jpeg(make_pixels(480, 640, 1))
        yield jpeg(make_pixels(480, 640, 2))
        if not half.is_set():
            yield Halting(jpeg(make_pixels(480, 640, 3)), half)
        yield from itertools.cycle([jpeg(make_pixels(480, 640, seed)) for seed in (4, 5)])

    with MjpegCamera(pictures) as server:
        camera = opened(server.url)
        turn_until(camera, lambda: camera.frames == 2)
        watcher = cast(Watcher, camera.pipeline)
        kept, capture = watcher.pixels, camera.capture
        assert kept is not None and capture is not None
        before = kept.copy()
        os.kill(capture.pid, signal.SIGKILL)
        assert "SIGKILL" in (next_event(camera, "camera_lost").reason or "")
        # The dead process's memory is ours for as long as we look at it.
        assert np.array_equal(kept, before)
        half.set()
        next_event(camera, "camera_back")
        assert np.array_equal(kept, before)


def test_another_resolution_in_the_middle_of_a_stream(opened: Callable[..., Camera]) -> None:
    sizes = [(120, 160), (240, 320), (160, 120)]

    def pictures() -> Iterator[bytes]:
        for number in itertools.count():
            yield jpeg(make_pixels(*sizes[number // 8 % 3], number % 5))

    with MjpegCamera(pictures) as server:
        camera = opened(server.url)
        watcher = cast(Watcher, camera.pipeline)
        wanted = [(*size, 3) for size in (*sizes, sizes[0])]
        assert turn_until(camera, lambda: [shape for shape, _ in itertools.groupby(watcher.shapes)][:4] == wanted) == []
        assert camera.losses == 0


def test_a_pi_camera_that_stalls_is_ended_with_its_program(
    opened: Callable[..., Camera], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_rpicam(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("STANDIN_FAULT", "stall:5")
    camera = opened("rpicam:0?size=320x240&fps=50", deadline_s=1.0)
    turn_until(camera, lambda: camera.frames >= 2)
    capture = camera.capture
    assert capture is not None
    (program,) = map(int, Path(f"/proc/{capture.pid}/task/{capture.pid}/children").read_text().split())
    assert "within 1 s" in (next_event(camera, "camera_lost").reason or "")
    assert wait_for_end(program)
    monkeypatch.delenv("STANDIN_FAULT")
    next_event(camera, "camera_back")
    # And where somebody else kills the capture process alone, its program goes, too.
    capture = camera.capture
    assert capture is not None
    (program,) = map(int, Path(f"/proc/{capture.pid}/task/{capture.pid}/children").read_text().split())
    os.kill(capture.pid, signal.SIGKILL)
    next_event(camera, "camera_lost")
    assert wait_for_end(program)


def freeze(pid: int) -> Callable[[], None]:
    """Stop a process in the kernel (state D), where no signal reaches it; what is returned lets it go."""
    group = Path(f"/sys/fs/cgroup/freezer/familiar-{pid}")
    try:
        group.mkdir()
    except OSError:
        pytest.skip("no freezer of cgroup v1 here that this user may use")

    def let_go() -> None:
        (group / "freezer.state").write_text("THAWED")
        assert wait_for_end(pid)
        until_s = time.monotonic() + WAIT_S
        while (group / "cgroup.procs").read_text():
            assert time.monotonic() < until_s
            time.sleep(0.05)
        group.rmdir()

    (group / "cgroup.procs").write_text(str(pid))
    (group / "freezer.state").write_text("FROZEN")
    return let_go


def hold_by_tracer(pid: int) -> Callable[[], None]:
    """Have a process traced by one that is stopped: its parent does not hear of its end until it is let go."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("no strace here: apt install strace")
    tracer = subprocess.Popen([strace, "-f", "-qq", "-o", "/dev/null", "-p", str(pid)], stderr=subprocess.DEVNULL)

    def let_go() -> None:
        tracer.kill()
        tracer.wait()

    until_s = time.monotonic() + WAIT_S
    while f"TracerPid:\t{tracer.pid}" not in Path(f"/proc/{pid}/status").read_text():
        if tracer.poll() is not None:
            pytest.skip("no process may be traced here")
        assert time.monotonic() < until_s
        time.sleep(0.05)
    tracer.send_signal(signal.SIGSTOP)
    return let_go


@pytest.fixture(params=[freeze, hold_by_tracer])
def undying(request: pytest.FixtureRequest) -> Iterator[Callable[[int], Callable[[], None]]]:
    """Makes a process one that SIGKILL does not end, and gives what lets it go again."""
    held: list[Callable[[], None]] = []

    def hold(pid: int) -> Callable[[], None]:
        held.append(request.param(pid))
        return held[-1]

    yield hold
    for let_go in held:
        with suppress(OSError):
            let_go()


def test_a_capture_that_does_not_die_is_left_behind_and_told(
    opened: Callable[..., Camera], undying: Callable[[int], Callable[[], None]]
) -> None:
    camera = opened(LIVE, deadline_s=1.0)
    turn_until(camera, lambda: camera.frames >= 5)
    capture = camera.capture
    assert capture is not None
    let_go = undying(capture.pid)
    lost = next_event(camera, "camera_lost")
    assert f"its process {capture.pid}" in (lost.reason or "")
    assert "left behind" in (lost.reason or "")
    if Path(f"/proc/{capture.pid}/stat").read_text().rpartition(")")[2].split()[0] == "D":
        assert "stuck in the kernel" in (lost.reason or "")
    assert camera.abandoned == [capture.pid]
    # The camera itself is well: it goes on with another process.
    next_event(camera, "camera_back")
    assert camera.capture is not None and camera.capture.pid != capture.pid
    threading.Thread(target=let_go).start()
    turn_until(camera, lambda: camera.abandoned == [])
    assert (camera.state, camera.losses) == ("running", 1)


def test_a_capture_that_does_not_die_keeps_no_stop(
    opened: Callable[..., Camera], undying: Callable[[int], Callable[[], None]], capsys: pytest.CaptureFixture[str]
) -> None:
    cameras = [opened(LIVE) for _ in range(2)]
    for camera in cameras:
        turn_until(camera, lambda camera=camera: camera.frames >= 2)  # type: ignore[misc]
        assert camera.capture is not None
        undying(camera.capture.pid)
    for camera in cameras:
        camera.hang_up()
    for camera in cameras:
        camera.close()
    log.flush()  # both are called the same, and the log says a thing once in a while
    assert "does not die" in capsys.readouterr().err


def test_a_process_that_cannot_be_started_is_a_loss_that_passes(opened: Callable[..., Camera]) -> None:
    camera = opened(LIVE)
    turn_until(camera, lambda: camera.frames >= 2)
    assert camera.capture is not None
    os.kill(camera.capture.pid, signal.SIGKILL)
    next_event(camera, "camera_lost")
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, before[1]))
    try:
        assert turn_until(camera, lambda: "a process to capture with" in str(camera.error)) == []
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert (camera.state, camera.losses) == ("lost", 1)
    next_event(camera, "camera_back")


def test_the_end_of_a_clip_is_not_waited_for(opened: Callable[..., Camera], tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.avi", [make_pixels(48, 64, seed) for seed in range(5)])
    camera = opened(f"file:{clip}")
    turn_until(camera, lambda: camera.state == "ended")
    assert (camera.frames, camera.error, camera.keeps_running) == (5, None, False)
    turn_until(camera, lambda: camera.abandoned == [])


def test_no_password_leaves_the_capture(opened: Callable[..., Camera], capfd: pytest.CaptureFixture[str]) -> None:
    with MjpegCamera(
        lambda: itertools.cycle([jpeg(make_pixels(seed=n)) for n in range(3)]), user="bob:secret"
    ) as server:
        camera = opened(server.url, deadline_s=1.0)
        turn_until(camera, lambda: camera.frames >= 3)
        assert camera.capture is not None
        assert "secret" not in Path(f"/proc/{camera.capture.pid}/cmdline").read_text()
        os.kill(camera.capture.pid, signal.SIGSTOP)
        lost = next_event(camera, "camera_lost")
        wrong = opened(server.url.replace("secret", "secret2"))
        refused = next_event(wrong, "camera_lost")
    said = [camera.source, str(lost), str(refused), str(wrong.error), *capfd.readouterr()]
    assert "http://***@127.0.0.1" in lost.reason and "user and password" in refused.reason  # type: ignore[operator]
    assert not any("secret" in text or "bob" in text for text in said)
