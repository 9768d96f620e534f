"""The daemon in this process: real bundle, real gallery, real capture processes."""

from __future__ import annotations

import dataclasses
import json
import os
import resource
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_runtime.config import CameraConfig, Config
from edge_runtime.control.client import ControlClient
from edge_runtime.daemon.camera import LAST_RETRY_S, retry_delay_s
from edge_runtime.daemon.selftest import self_test
from edge_runtime.daemon.service import Service
from edge_runtime.deploy.layout import package_text
from edge_runtime.errors import (
    BusyError,
    CameraError,
    ConfigError,
    ControlError,
    GalleryError,
    SelfTestError,
    UsageError,
)
from edge_runtime.types import Pixels
from tests.builders import draw_face, make_bundle, make_pixels, write_manifest
from tests.clips import visit, write_clip
from tests.running_service import LIVE, RunningService, make_config


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("bundles") / "tiny").path


@pytest.fixture
def configured(tmp_path: Path, bundle: Path) -> Callable[..., Config]:
    """A configuration with everything in the test's own folder, and the cameras given."""

    def make(**cameras: str) -> Config:
        return make_config(tmp_path, bundle, **cameras)

    return make


def photo(person: int, width: int = 160) -> bytes:
    done, data = cv2.imencode(".png", np.ascontiguousarray(draw_face(person, width, background=3)[:, :, ::-1]))
    assert done
    return data.tobytes()


def events_of(config: Config) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(config.events.path).read_text().splitlines()]


def test_nothing_to_look_at_is_a_configuration_error(configured: Callable[..., Config]) -> None:
    with pytest.raises(ConfigError, match=r"\[camera\.front\]") as caught:
        Service(configured())
    assert 'source = "v4l2:0"' in str(caught.value)
    with pytest.raises(ConfigError, match=r"\[camera\.door\]: expected a source"):
        Service(configured(door=""))


def test_a_stranger_comes_and_goes(configured: Callable[..., Config], visit_clip: str) -> None:
    config = configured(door=visit_clip)
    with Service(config) as service:
        service.run()
        lines = service.summary()
    events = events_of(config)
    assert [event["kind"] for event in events] == ["appeared", "unknown", "left"]
    assert {event["camera"] for event in events} == {"door"}
    assert {event["track_id"] for event in events} == {events[0]["track_id"]}
    assert events[0]["captured_s"] < events[1]["captured_s"] < 45 / 25 < events[2]["captured_s"]
    assert "105 frames" in lines[0]
    assert "1 tracks: 0 identified, 1 unknown, 0 rejected" in lines[1]
    assert "events: 3 stored, 0 lost" in lines


def test_somebody_enrolled_is_named_on_every_camera(configured: Callable[..., Config], visit_clip: str) -> None:
    config = configured(door=visit_clip, hall=visit_clip)
    with Service(config) as service:
        answer = service.answer("enroll", {"name": "Ada", "source": "a.png"}, photo(0))
        assert answer["accepted"], answer
        service.run()
        status = service.status()
    named = [event for event in events_of(config) if event["kind"] == "identified"]
    assert {(event["camera"], event["person"]) for event in named} == {("door", "Ada"), ("hall", "Ada")}
    assert all(event["score"] >= event["threshold"] for event in named)
    assert [status["cameras"][name]["frames"] for name in ("door", "hall")] == [105, 105]
    assert status["gallery"]["people"] == 1


def test_people_change_what_is_matched_before_the_answer(configured: Callable[..., Config], visit_clip: str) -> None:
    with Service(configured(door=visit_clip)) as service:
        client = ControlClient.connect(Path(service.config.control.socket))
        assert client is not None
        client.call("enroll", {"name": "Ada", "source": "a.png"}, photo(0))
        assert service.matcher.templates.names == ("Ada",)
        client.call("people.rename", {"old": "Ada", "new": "Grace"})
        assert service.matcher.templates.names == ("Grace",)
        assert [person["name"] for person in client.call("people.list", {})["people"]] == ["Grace"]
        refused = client.call("enroll", {"name": "Bob", "source": "b.png"}, b"no photo")
        assert not refused["accepted"]
        client.call("people.forget", {"name": "Grace"})
        assert service.matcher.templates.names == ()
        with pytest.raises(UsageError, match="did you mean 'status'"):
            client.call("statis", {})


def test_what_another_program_does_to_the_gallery_is_noticed(
    configured: Callable[..., Config], visit_clip: str
) -> None:
    from edge_runtime.gallery.opening import open_gallery

    with Service(configured(door=visit_clip)) as service:
        with open_gallery(service.config, service.chain) as other:
            code = np.zeros(32, np.float32)
            code[0] = 1
            other.add("Ada", code, 1.0, "elsewhere")
        service.refresh()
        assert service.matcher.templates.names == ("Ada",)


def test_another_bundle_on_disk_is_not_used_for_enrolling(configured: Callable[..., Config], visit_clip: str) -> None:
    config = configured(door=visit_clip)
    own = Path(config.gallery.path).parent.parent / "bundle"
    make_bundle(own)
    config = dataclasses.replace(config, bundle=dataclasses.replace(config.bundle, path=str(own)))
    with Service(config) as service:
        (own / "CARD.md").write_text("# another\n")
        write_manifest(own)
        with pytest.raises(Exception, match="restart the daemon"):
            service.answer("enroll", {"name": "Ada", "source": "a.png"}, photo(0))
        assert service.gallery.people() == []


def test_one_daemon_a_gallery(configured: Callable[..., Config], visit_clip: str, tmp_path: Path) -> None:
    config = configured(door=visit_clip)
    second = dataclasses.replace(config, control=dataclasses.replace(config.control, socket=str(tmp_path / "b.sock")))
    with Service(config) as first:
        with pytest.raises(BusyError, match=f"process {os.getpid()} does") as busy:
            Service(second)
        # What passes by itself is no reason for systemd to give up.
        forbidden = package_text("familiar.service").partition("RestartPreventExitStatus=")[2].partition("\n")[0]
        assert str(busy.value.exit_code) not in forbidden.split()
        assert first.status()["pid"] == os.getpid()
    Service(second).close()


def test_one_daemon_a_log_of_events(configured: Callable[..., Config], visit_clip: str, tmp_path: Path) -> None:
    config = configured(door=visit_clip)
    gallery = dataclasses.replace(config.gallery, path=str(tmp_path / "state/second.db"))
    control = dataclasses.replace(config.control, socket=str(tmp_path / "b.sock"))
    second = dataclasses.replace(config, gallery=gallery, control=control)
    with Service(config), pytest.raises(GalleryError, match=r"expected a log of events .* \[events\] db"):
        Service(second)


def test_a_disk_without_room_is_told_as_the_gallerys(configured: Callable[..., Config], visit_clip: str) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        with pytest.raises(GalleryError):
            Service(configured(door=visit_clip))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_one_daemon_a_socket(configured: Callable[..., Config], visit_clip: str, tmp_path: Path) -> None:
    config = configured(door=visit_clip)
    places = dataclasses.replace(config.gallery, path=str(tmp_path / "other/gallery.db"))
    with Service(config), pytest.raises(ControlError, match="running here already"):
        Service(dataclasses.replace(config, gallery=places))
    assert not Path(config.control.socket).exists()


def test_other_outputs_than_golden_stop_it_before_the_first_frame(
    configured: Callable[..., Config], visit_clip: str, tmp_path: Path
) -> None:
    bundle = make_bundle(tmp_path / "wrong")
    chips, codes = bundle.golden()
    np.savez(bundle.path / "golden.npz", chips=chips, codes=-codes)
    write_manifest(bundle.path)
    config = configured(door=visit_clip)
    config = dataclasses.replace(config, bundle=dataclasses.replace(config.bundle, path=str(bundle.path)))
    with pytest.raises(SelfTestError, match="golden"):
        Service(config)
    assert not Path(config.control.socket).exists()


@pytest.mark.parametrize("spec", ["v4l2:977", "file:nowhere.mp4"])
def test_no_camera_at_all_is_an_error_without_events(configured: Callable[..., Config], spec: str) -> None:
    config = configured(door=spec)
    with Service(config) as service:
        with pytest.raises(CameraError, match="expected a"):
            service.run()
        assert service.summary() == []
    assert events_of(config) == []


def test_a_camera_that_is_not_there_keeps_no_other_from_working(
    configured: Callable[..., Config], visit_clip: str
) -> None:
    config = configured(door=visit_clip, hall="v4l2:977")
    with Service(config) as service, pytest.raises(CameraError, match="/dev/video977"):
        service.run()
    kinds = {(event["camera"], event["kind"]) for event in events_of(config)}
    assert {("hall", "camera_lost"), ("door", "appeared"), ("door", "left")} <= kinds


@pytest.mark.parametrize("source", ["", "v4l:0", "v4l2:0?size=1280", "rtsp://bob:s3cr3t9#@cam/live"])
def test_a_camera_that_is_written_wrong_keeps_no_other_from_working(
    configured: Callable[..., Config], visit_clip: str, source: str
) -> None:
    config = configured(door=visit_clip, hall=source)
    with Service(config) as service, pytest.raises(ConfigError) as told:
        service.run()
    events = events_of(config)
    assert {("hall", "camera_lost"), ("door", "appeared"), ("door", "left")} <= {
        (e["camera"], e["kind"]) for e in events
    }
    assert "hall" in str(told.value) and "s3cr3t9" not in str(told.value) + str(events)
    with pytest.raises(ConfigError, match="hall"):
        Service(configured(hall=source))


def test_of_a_clip_cut_short_what_is_there_is_the_clip(configured: Callable[..., Config], tmp_path: Path) -> None:
    whole = write_clip(tmp_path / "whole.avi", visit(0))
    cut = tmp_path / "cut.avi"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 3])
    config = configured(door=f"file:{cut}")
    with Service(config) as service:
        service.run()
        assert service.summary()
    assert [event["kind"] for event in events_of(config)][-1] == "left"


def test_a_camera_comes_back_after_its_capture_was_killed(configured: Callable[..., Config]) -> None:
    with RunningService(configured(door=LIVE)) as running:
        running.next_event("appeared")
        camera = running.service.cameras["door"]
        assert camera.capture is not None
        os.kill(camera.capture.pid, signal.SIGKILL)
        lost = running.next_event("camera_lost")
        assert "SIGKILL" in lost["reason"]
        assert running.next_event("camera_back")["wall_time"] >= lost["wall_time"]
        status = running.service.status()["cameras"]["door"]
    assert (status["state"], status["losses"], status["error"]) == ("running", 1, None)


def test_a_clip_goes_on_where_its_capture_was_killed(configured: Callable[..., Config], tmp_path: Path) -> None:
    pictures: list[Pixels] = [*visit(0, 5, 40, 60), *[make_pixels(240, 240, 9)] * 60]
    paced = f"file:{write_clip(tmp_path / 'long.avi', pictures, fps=50)}?realtime"
    with RunningService(configured(door=paced)) as running:
        running.next_event("appeared")
        camera = running.service.cameras["door"]
        assert camera.capture is not None
        os.kill(camera.capture.pid, signal.SIGKILL)
        running.next_event("camera_lost")
        running.next_event("camera_back")
        running.next_event("left")
        running._thread.join(20)
        assert camera.frames == len(pictures)


def test_reload_takes_the_decide_section_and_keeps_the_rest(configured: Callable[..., Config], visit_clip: str) -> None:
    config = configured(door=visit_clip)
    changed = dataclasses.replace(
        config,
        decide=dataclasses.replace(config.decide, margin=0.5, left_after_s=9.0),
        camera={"hall": CameraConfig(source=visit_clip)},
    )
    with Service(config, lambda: changed) as service:
        answer = service.answer("reload", {}, b"")
        assert answer == {"reloaded": True, "needs_restart": ["camera.door", "camera.hall"]}
        assert service.matcher.margin == 0.5
        assert list(service.config.camera) == ["door"]
        service.run()
    # The clip ends before nine seconds are over: whoever was there leaves with its last frame.
    assert events_of(config)[-1]["captured_s"] == pytest.approx(104 / 25)


def test_a_broken_configuration_is_not_taken(configured: Callable[..., Config], visit_clip: str) -> None:
    def broken() -> Config:
        raise ConfigError("familiar.toml: unknown key 'marign'")

    with Service(configured(door=visit_clip), broken) as service:
        with pytest.raises(ConfigError, match="marign"):
            service.answer("reload", {}, b"")
        service.run()


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], list[str]]]:
    """What systemd has: the notification socket's other end; gives the lines so far."""
    import socket

    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(path))
        receiver.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(path))

        def lines() -> list[str]:
            found: list[str] = []
            while True:
                try:
                    found += receiver.recv(4096).decode().splitlines()
                except BlockingIOError:
                    return found

        yield lines


def test_systemd_hears_ready_watchdog_and_stopping(
    configured: Callable[..., Config], visit_clip: str, systemd: Callable[[], list[str]]
) -> None:
    with Service(configured(door=visit_clip)) as service:
        assert "READY=1" not in systemd()
        service.run()
    said = systemd()
    assert said.count("READY=1") == 1
    assert "WATCHDOG=1" in said
    assert said[-1] == "STOPPING=1"


def test_systemd_hears_no_ready_without_a_camera(
    configured: Callable[..., Config], systemd: Callable[[], list[str]]
) -> None:
    with Service(configured(door="v4l2:977")) as service, pytest.raises(CameraError):
        service.run()
    assert "READY=1" not in systemd()


def test_waits_double_up_to_a_minute_and_differ() -> None:
    waits = [retry_delay_s(attempt, 0.5) for attempt in range(12)]
    assert waits[:4] == [0.5, 1.0, 2.0, 4.0]
    assert max(waits) == LAST_RETRY_S
    assert retry_delay_s(0, 0.0) < retry_delay_s(0, 1.0)
    assert retry_delay_s(10_000, 1.0) == LAST_RETRY_S * 1.25


def test_the_self_test_needs_no_camera_and_leaves_no_gallery(configured: Callable[..., Config]) -> None:
    config = configured()
    line = self_test(config)
    assert line.startswith("self-test passed: bundle tiny")
    assert "20 frames" in line
    assert not Path(config.gallery.path).parent.exists()
    assert not Path(config.gallery.key_file).exists()


def test_the_self_tests_own_limit_is_that_of_its_first_frame(
    configured: Callable[..., Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_runtime.daemon.selftest.FIRST_FRAME_S", 0.02)
    with pytest.raises(CameraError, match=r"within 0\.02 s"):
        self_test(configured())


def test_the_self_test_finds_a_wrong_gallery(
    configured: Callable[..., Config], visit_clip: str, tmp_path: Path
) -> None:
    config = configured(door=visit_clip)
    Service(config).close()
    before = Path(config.gallery.path).read_bytes()
    assert "0 people enrolled" in self_test(config)
    assert Path(config.gallery.path).read_bytes() == before
    detect = dataclasses.replace(config.detect, detector="yunet:" + str(tmp_path / "none.onnx"))
    with pytest.raises(Exception, match=r"none\.onnx"):
        self_test(dataclasses.replace(config, detect=detect))
