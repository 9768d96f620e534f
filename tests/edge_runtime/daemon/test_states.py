"""What happens to a running daemon, and what it says about it: gallery, accelerator, events, cameras, reload."""

from __future__ import annotations

import base64
import dataclasses
import io
import os
import shutil
import signal
import socket
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from edge_runtime.commands.repair import repair
from edge_runtime.config import Config, events_path
from edge_runtime.control.client import ControlClient
from edge_runtime.daemon import camera as camera_module
from edge_runtime.daemon import lookout
from edge_runtime.daemon.service import Service
from edge_runtime.errors import CameraError, EnrolmentError, FamiliarError, GalleryError, InputError, UsageError
from edge_runtime.pictures.reader import read_image
from edge_runtime.requests import live_view
from edge_runtime.requests.live_enrolment import enroll_views, gather_views
from edge_runtime.sources.synthetic import PORTRAITS, still
from tests.builders import draw_face, make_bundle
from tests.clips import visit, write_clip
from tests.running_service import LIVE, RunningService, make_config, until
from tests.standin_tpu import StandinTpu, compile_for_tpu


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("bundles") / "tiny").path


@pytest.fixture(scope="module")
def person(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Somebody who stays in view for as long as the test goes on."""
    path = tmp_path_factory.mktemp("clips") / "stays.avi"
    return f"file:{write_clip(path, visit(0, before=2, seen=1500, after=0), fps=30)}?realtime"


@pytest.fixture
def config(tmp_path: Path, bundle: Path, person: str) -> Config:
    return make_config(tmp_path, bundle, door=person)


def photo(person: int) -> bytes:
    done, data = cv2.imencode(".png", np.ascontiguousarray(draw_face(person, 160, background=3)[:, :, ::-1]))
    assert done
    return data.tobytes()


def enrol(service: Service) -> None:
    answer = service.answer("enroll", {"name": "Ada", "source": "a.png"}, photo(0))
    assert answer["accepted"], answer


def troubles(service: Service) -> dict[str, str]:
    return {one["part"]: one["reason"] for one in service.status()["troubles"]}


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def open_to_all(path: Path) -> None:
    path.chmod(0o644)


def replace_by_a_foreign_one(path: Path) -> None:
    foreign = path.with_name("foreign.db")
    with sqlite3.connect(foreign) as connection:
        connection.execute("CREATE TABLE recipes (id INTEGER)")
    connection.close()
    foreign.chmod(0o600)
    foreign.replace(path)


def take_away(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (truncate, "familiar repair"),
        (open_to_all, "run: chmod 600"),
        (replace_by_a_foreign_one, "set [gallery] path"),
        (take_away, "put a backup in its place"),
    ],
)
def test_a_gallery_that_breaks_costs_names_and_comes_back(
    config: Config, tmp_path: Path, damage: Callable[[Path], None], says: str
) -> None:
    with Service(config) as setting_up:
        enrol(setting_up)
    path, backup = Path(config.gallery.path), tmp_path / "backup.db"
    shutil.copy(path, backup)
    with RunningService(config) as running:
        assert running.next_event("identified")["person"] == "Ada"
        damage(path)
        running.service.refresh()
        told = running.next_event("degraded")
        assert told["camera"] == "" and told["reason"].startswith("gallery: ") and says in told["reason"]
        assert running.service.status()["state"] == "degraded"
        assert says in troubles(running.service)["gallery"]
        assert "a stranger" in troubles(running.service)["gallery"]
        assert running.service.matcher.templates.names == ()
        assert running.next_event("unknown")["person"] is None
        with pytest.raises(GalleryError, match="out of use"):
            running.service.answer("people.list", {}, b"")
        running.service.refresh()
        for tail in ("-wal", "-shm"):
            path.with_name(path.name + tail).unlink(missing_ok=True)
        shutil.copy(backup, path.with_name("restored"))
        path.with_name("restored").chmod(0o600)
        path.with_name("restored").replace(path)
        running.service.refresh()
        assert running.next_event("recovered")["reason"] == "gallery"
        assert running.next_event("identified")["person"] == "Ada"
        assert running.service.status()["state"] == "ok"


def test_a_damaged_row_costs_itself_and_every_surface_says_so(config: Config) -> None:
    with Service(config) as setting_up:
        enrol(setting_up)
        setting_up.gallery.rename("Ada", "Ada")  # one line more of the audit
    with closing(sqlite3.connect(config.gallery.path)) as connection:
        connection.execute("UPDATE audit SET at_s = 1 WHERE id = 1")
        connection.commit()
    with RunningService(config) as running:
        assert running.next_event("identified")["person"] == "Ada"
        told = troubles(running.service)["gallery"]
        assert "1 other values are damaged" in told and "familiar repair" in told
        assert running.service.status()["state"] == "degraded"
    assert repair(config)[0].lost == {"people": 0, "photos": 0, "values": 1}
    with RunningService(config) as running:
        assert running.next_event("identified")["person"] == "Ada"
        assert "gallery" not in troubles(running.service)


def test_what_remains_of_somebody_forgotten_is_said_and_goes_by_itself(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_runtime.storage.sqlite.BUSY_S", 0.1)
    with RunningService(config) as running:
        enrol(running.service)
        assert running.next_event("identified")["person"] == "Ada"
        assert running.service.events.flush(10.0)
        path = events_path(config)
        (who,) = running.service.gallery.directory().names
        reader = sqlite3.connect(path, isolation_level=None)
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM event").fetchall()
        assert running.service.answer("people.forget", {"name": "Ada"}, b"")["remains"] is True
        reader.close()
        running.service.events.flush(10.0)
        assert not running.service.events.remains
        assert not any(who.encode() in file.read_bytes() for file in path.parent.glob("events.db*"))
        enrol(running.service)
        assert running.service.answer("people.forget", {"name": "Ada"}, b"")["remains"] is False


@pytest.mark.parametrize("damage", [truncate, open_to_all, replace_by_a_foreign_one])
def test_a_gallery_that_is_broken_at_the_start_is_one_line(config: Config, damage: Callable[[Path], None]) -> None:
    Service(config).close()
    damage(Path(config.gallery.path))
    with pytest.raises(GalleryError) as caught:
        Service(config)
    assert "\n" not in str(caught.value)


def test_a_gallery_that_another_program_holds_costs_nothing(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_runtime.storage.sqlite.BUSY_S", 0.1)
    with Service(config) as setting_up:
        enrol(setting_up)
    with RunningService(config) as running:
        running.next_event("identified")
        holder = sqlite3.connect(config.gallery.path, isolation_level=None)
        # A write of somebody else's, then the whole file for itself.
        holder.execute("PRAGMA locking_mode = EXCLUSIVE")
        running.service.gallery.close()
        holder.execute("BEGIN EXCLUSIVE")
        running.service._keeper._gallery = None
        running.service.refresh()
        assert "recognised as before" in troubles(running.service)["gallery"]
        assert running.service.matcher.templates.names == ("Ada",)
        holder.execute("ROLLBACK")
        holder.close()
        running.service.refresh()
        assert running.service.status()["state"] == "ok"


def test_a_tpu_that_vanishes_degrades_and_recovers(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tpu = StandinTpu(tmp_path / "tpu", monkeypatch)
    bundle = make_bundle(tmp_path / "compiled", with_files=compile_for_tpu).path
    config = dataclasses.replace(
        config,
        bundle=dataclasses.replace(config.bundle, path=str(bundle)),
        runtime=dataclasses.replace(config.runtime, interpreter="edgetpu:usb:0"),
        decide=dataclasses.replace(config.decide, recheck_s=0.0),
    )
    with RunningService(config) as running:
        enrol(running.service)
        assert running.next_event("identified")["person"] == "Ada"
        assert running.service.status()["accelerators"]["encoder"] == "edgetpu"
        tpu.command("gone")
        assert "tpu: encoder gone, on the CPU" in running.next_event("degraded")["reason"]
        status = running.service.status()
        assert (status["state"], status["accelerators"]["encoder"]) == ("degraded", "cpu")
        assert running.service.gallery.people(), "the gallery stays valid"
        tpu.command("work")
        assert running.next_event("recovered", 120)["reason"] == "tpu"
        assert running.service.status()["accelerators"]["encoder"] == "edgetpu"
        assert running.service.status()["cameras"]["door"]["identified"] == 1, "nobody was decided on twice"


def test_events_that_cannot_be_written_are_told(config: Config) -> None:
    service = Service(dataclasses.replace(config, events=dataclasses.replace(config.events, path="/dev/full")))
    with service:
        thread = threading.Thread(target=service.run)
        thread.start()
        part = "sink jsonlines:/dev/full"
        until(lambda: part in troubles(service), "degraded")
        assert "No space left" in troubles(service)[part]
        service.stop()
        thread.join(60)


def test_a_lost_camera_degrades_and_the_only_one_fails(config: Config, bundle: Path, tmp_path: Path) -> None:
    with RunningService(make_config(tmp_path, bundle, door=LIVE, hall=LIVE)) as running:
        service = running.service
        until(
            lambda: (
                all(c["state"] == "running" for c in service.status()["cameras"].values()) and bool(service.cameras)
            ),
            "both run",
        )
        for name, state in (("door", "degraded"), ("hall", "failing")):
            capture = service.cameras[name].capture
            assert capture is not None
            os.kill(capture.pid, signal.SIGSTOP)
            capture.due_s = 0.0
            running.next_event("camera_lost")
            until(lambda: service.status()["state"] == state, state)  # noqa: B023
            # Not again before this has been looked at.
            service.cameras[name]._retry_at_s += 3600
        assert "no camera delivers" in service.health.line()
        assert set(troubles(service)) == {"camera door", "camera hall", "cameras"}
        for camera in service.cameras.values():
            camera._retry_at_s = 0.0
        service._waker.wake()
        running.next_event("camera_back")
        running.next_event("camera_back")
        until(lambda: service.status()["state"] == "ok", "well again")


def test_a_reload_keeps_what_is_known_about_open_tracks(config: Config) -> None:
    changed = dataclasses.replace(
        config,
        decide=dataclasses.replace(config.decide, margin=0.05),
        runtime=dataclasses.replace(config.runtime, threads=2),
        log=dataclasses.replace(config.log, level="warning"),
    )
    with RunningService(config, reload_config=lambda: changed) as running:
        enrol(running.service)
        named = running.next_event("identified")
        assert running.service.answer("reload", {}, b"")["needs_restart"] == ["runtime.threads", "events.path"]
        frames = running.service.cameras["door"].frames
        until(lambda: running.service.cameras["door"].frames > frames + 30, "it goes on")
        status = running.service.status()["cameras"]["door"]
        assert (status["tracks"], status["identified"], status["unknown"]) == (1, 1, 0)
        assert status["in_view"] == ["Ada"]
        running.service.stop()
        assert running.next_event("left")["track_id"] == named["track_id"]


def test_no_sign_of_life_without_looking_after_the_cameras(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(path))
        systemd.settimeout(60)
        monkeypatch.setenv("NOTIFY_SOCKET", str(path))
        monkeypatch.setenv("WATCHDOG_USEC", "100000")
        with RunningService(config) as running:
            while b"WATCHDOG=1" not in systemd.recv(4096):
                pass
            running.next_event("appeared")
            # A pipeline step that hangs: the loop turns no more.
            step, go_on = running.service.cameras["door"].pipeline.step, threading.Event()
            running.service.cameras["door"].pipeline.step = lambda frame: (go_on.wait(60), step(frame))[1]  # type: ignore
            until(lambda: running.service.cameras.lock.locked(), "the step hangs")
            systemd.settimeout(1.0)
            with pytest.raises(TimeoutError):
                while True:
                    systemd.recv(4096)
            go_on.set()
            systemd.settimeout(60)
            while b"WATCHDOG=1" not in systemd.recv(4096):
                pass
            # A camera that nobody looks after: the loop turns, and still says nothing.
            monkeypatch.setattr(lookout, "_LATE_S", -1e9)
            systemd.settimeout(1.0)
            said = b""
            with pytest.raises(TimeoutError):
                while True:
                    said = systemd.recv(4096)
                    assert b"WATCHDOG" not in said or systemd.recv(4096)
                    if b"WATCHDOG" not in said and b"STATUS" in said:
                        raise TimeoutError
            assert b"STATUS=ok; door running" in said


def test_the_live_picture_is_drawn_and_not_too_often(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    with RunningService(config) as running:
        running.next_event("unknown")
        client = ControlClient.connect(Path(config.control.socket))
        assert client is not None
        answer = client.call("live", {"camera": "door"})
        picture = Image.open(io.BytesIO(base64.b64decode(answer["jpeg"])))
        assert picture.size == (240, 240)
        (sighting,) = answer["sightings"]
        assert (sighting["person"], sighting["state"]) == (None, "unknown")
        left, top, *_ = sighting["xyxy"]
        red = np.asarray(picture)[int(top) + 5 : int(top) + 60, int(left) - 2 : int(left) + 3].astype(int)
        assert (red[..., 0] - red[..., 2]).max() > 100, "its box is drawn"
        monkeypatch.setattr(live_view, "SHORTEST_PAUSE_S", 3600.0)
        kept, frames = client.call("live", {"camera": "door"}), running.service.cameras["door"].frames
        until(lambda: running.service.cameras["door"].frames > frames + 1, "the camera goes on")
        assert client.call("live", {"camera": "door"}) == kept
        monkeypatch.setattr(live_view, "SHORTEST_PAUSE_S", 0.0)
        assert client.call("live", {"camera": "door"})["seq"] > kept["seq"]
        with pytest.raises(InputError, match="expected one of door"):
            client.call("live", {"camera": "hall"})


def has_picture(service: Service) -> bool:
    return "door" in service.cameras and service.cameras["door"].latest is not None


def look_from(client: Any, count: int = 3, give_up_s: float = 60.0, name: str = "Ada") -> tuple[list[bytes], list[str]]:
    said: list[str] = []
    views = gather_views(client, name, "door", count, lambda guidance, views: said.append(guidance), give_up_s)
    return views, said


def test_somebody_before_the_camera_is_enrolled_while_it_runs(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_runtime.requests.live_enrolment.PATIENCE_S", 1.0)
    with RunningService(config) as running:
        running.next_event("unknown")
        client = ControlClient.connect(Path(config.control.socket))
        assert client is not None
        views, said = look_from(client)
        assert said[0] == "hold still" and said.count("good") == 3
        assert {"turn a little to your left", "turn a little to your right"} & {*said}
        assert client.call("people.list", {})["people"] == [], "looking enrols nobody"
        results = enroll_views(client, "Ada", "camera door", views)
        assert [one["accepted"] for one in results] == [True] * 3
        assert running.next_event("identified")["person"] == "Ada"
        assert [one["known"] for one in enroll_views(client, "Ada", "camera door", views)] == [True] * 3
        said = []
        with pytest.raises(EnrolmentError, match=r"Bo: .+ Ada.*; nothing was enrolled"):
            gather_views(client, "Bo", "door", 5, lambda guidance, views: said.append((guidance, views)), 60.0)
        objections = [views for guidance, views in said if " Ada" in guidance]
        assert objections == [0, 0], "at the first view, and no view of it is kept"


def test_live_enrolment_says_what_is_missing(bundle: Path, tmp_path: Path) -> None:
    crowd = np.concatenate([draw_face(0, 110), draw_face(1, 110)], 1)
    small = np.full((480, 640, 3), 120, np.uint8)
    portrait = still(read_image(min(PORTRAITS.glob("*.png"))))
    away = cv2.resize(portrait, None, fx=0.2, fy=0.2, interpolation=cv2.INTER_AREA)
    small[200 : 200 + away.shape[0], 300 : 300 + away.shape[1]] = away
    dark = draw_face(2, 110) // 6
    for name, picture, says in (
        ("empty", np.full((240, 320, 3), 120, np.uint8), "step in front of the camera"),
        ("crowd", crowd, "only one face, please"),
        ("small", small, "come closer"),
        ("dark", dark, "more light on the face, please"),
    ):
        clip = write_clip(tmp_path / f"{name}.avi", [picture] * 900, fps=30)
        config = make_config(tmp_path / name, bundle, door=f"file:{clip}?realtime")
        with RunningService(config) as running:
            until(lambda: running.service.health.state == "ok" and has_picture(running.service), "it runs")
            client = ControlClient.connect(Path(config.control.socket))
            with pytest.raises(EnrolmentError, match=f"found 0 and none for 1 s .last said: {says}"):
                look_from(client, give_up_s=1.0)
            assert running.service.gallery.people() == []


def test_views_are_enrolled_all_or_none(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    with Service(config) as service:
        faces = [photo(0), photo(0) + b" ", photo(0) + b"  "]
        arguments = {"name": "Ada", "source": "camera door", "sizes": [len(face) for face in faces]}
        enrolled: list[int] = []
        add = service.gallery.add

        def breaks(*given: Any, **named: Any) -> Any:
            if len(enrolled) == 2:
                raise GalleryError("the disk is full")
            enrolled.append(1)
            return add(*given, **named)

        monkeypatch.setattr(service.gallery, "add", breaks)
        with pytest.raises(GalleryError, match="disk is full"):
            service.answer("enroll.views", arguments, b"".join(faces))
        assert service.gallery.people() == []
        for sizes in ([], [1], [-5], "many", ["1"], [len(faces[0]), 0]):
            with pytest.raises(UsageError, match="expected"):
                service.answer("enroll.views", arguments | {"sizes": sizes}, faces[0])


def test_a_camera_without_a_picture_is_no_place_to_enrol(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Service(make_config(tmp_path, bundle, door=LIVE)) as service:
        for command, more in (("live", {}), ("enroll.pose", {"want": "any"})):
            with pytest.raises(FamiliarError, match="expected one of door"):
                service.answer(command, {"camera": "door"} | more, b"")
    with RunningService(make_config(tmp_path, bundle, door=LIVE)) as running:
        running.next_event("appeared")
        monkeypatch.setattr(camera_module, "FIRST_RETRY_S", camera_module.LAST_RETRY_S)
        capture = running.service.cameras["door"].capture
        assert capture is not None
        os.kill(capture.pid, signal.SIGKILL)
        running.next_event("camera_lost")
        with pytest.raises(CameraError, match="it is lost"):
            running.service.answer("live", {"camera": "door"}, b"")
