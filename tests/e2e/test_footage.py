"""Pictures beside events, through ``familiar run`` on a clip in which somebody comes and goes."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_runtime.types import Pixels
from tests.builders import draw_face, make_bundle
from tests.clips import visit, write_clip
from tests.e2e.test_events import events
from tests.e2e.test_run import familiar, starting
from tests.http_receiver import HttpReceiver
from tests.small_disk import needs_root, small_disk
from tests.waiting import wait_for


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle, a photo of person 2, and a clip in which they come again and again."""
    made = tmp_path_factory.mktemp("home")
    make_bundle(made / "bundle")
    write_clip(made / "many.avi", visit(2, before=40, seen=60, after=100) * 20, fps=25)
    assert cv2.imwrite(str(made / "photo.png"), np.ascontiguousarray(draw_face(2, background=3)[:, :, ::-1]))
    return made


@pytest.fixture
def started(home: Path) -> Iterator[Any]:
    clip = f"door=file:{home / 'many.avi'}?realtime"
    with starting(home, "--camera", clip) as start:
        yield start
    shutil.rmtree(home / "state", ignore_errors=True)


def footage(home: Path, ending: str) -> list[Path]:
    return sorted((home / "state" / "familiar" / "events-pictures").glob(f"*.{ending}"))


def film_of(home: Path, event_id: int) -> list[Pixels]:
    path = home / "film.avi"
    done = familiar(home, "explain", str(event_id), "--clip", str(path))
    assert done.returncode == 0, done.stderr
    film, pictures = cv2.VideoCapture(str(path)), []
    while (read := film.read())[0]:
        pictures.append(read[1])
    assert len(pictures) / film.get(cv2.CAP_PROP_FPS) <= 8.6
    return pictures


def test_a_snapshot_shows_the_name_and_a_clip_what_was_before_and_after(started: Any, home: Path) -> None:
    assert familiar(home, "enroll", "Ada", str(home / "photo.png")).returncode == 0
    daemon = started("--set", "events.keep=clips")
    number = daemon.next_event("identified")["event_id"]
    wait_for(lambda: len(footage(home, "clip")) >= 1)
    told = familiar(home, "explain", str(number), "--snapshot", str(home / "seen.jpg"))
    assert told.returncode == 0, told.stderr
    assert f"familiar explain {number} --clip OUT.avi writes it" in told.stdout
    snapshot = cv2.imread(str(home / "seen.jpg"))
    assert snapshot is not None and snapshot.shape == (240, 240, 3)
    green = np.abs(snapshot.astype(int) - (67, 160, 46)).sum(axis=2) < 60  # BGR of the box of somebody with a name
    assert green.sum() > 200
    assert (home / "seen.jpg").stat().st_mode & 0o777 == 0o600

    film = film_of(home, number)
    room = cv2.cvtColor(visit(2)[0], cv2.COLOR_RGB2BGR)
    empty = [bool(np.abs(picture.astype(int) - room).mean() < 6) for picture in film]
    assert empty[0] and empty[-1] and not all(empty)  # before they came, and after they went
    assert len(film) >= 20
    everything = b"".join(path.read_bytes() for path in (home / "state").rglob("*") if path.is_file())
    assert b"\xff\xd8\xff" not in everything  # no JPEG lies there in the clear

    assert familiar(home, "people", "forget", "Ada", "--yes").returncode == 0
    assert familiar(home, "explain", str(number), "--snapshot", str(home / "seen.jpg")).returncode == 14
    daemon.end()
    left = {event["event_id"] for event in events(home)}
    assert number not in left
    shown = [
        event for event in left if familiar(home, "explain", str(event), "--clip", str(home / "f.avi")).returncode == 0
    ]
    assert len(footage(home, "clip")) == len(shown)


def test_nothing_is_kept_unless_it_is_asked_for(started: Any, home: Path) -> None:
    daemon = started()
    number = daemon.next_event("unknown")["event_id"]
    daemon.end()
    for picture in ("--crop", "--snapshot", "--clip"):
        done = familiar(home, "explain", str(number), picture, str(home / "none.jpg"))
        assert done.returncode == 4
        assert "[events] keep" in done.stderr
    assert not (home / "state" / "familiar" / "events-pictures").exists()


def test_a_webhook_gets_the_snapshot_with_the_event(started: Any, home: Path) -> None:
    receiver = HttpReceiver()
    try:
        path = home / "sinks.toml"
        path.write_text(
            f'[events]\nkeep = "snapshots"\n[[sink]]\ntype = "webhook"\nurl = "{receiver.url}"\n'
            'picture = "snapshot"\nkinds = ["unknown"]\n'
        )
        daemon = started("--config", str(path))
        wait_for(lambda: len(receiver.requests) >= 2)
        daemon.end()
    finally:
        receiver.leave()
    for request in receiver.requests[:2]:
        picture = np.frombuffer(base64.b64decode(json.loads(request.body)["picture"]), np.uint8)
        shown = cv2.imdecode(picture, cv2.IMREAD_COLOR)
        assert shown is not None and shown.shape == (240, 240, 3)  # all that the camera saw, not the face alone
    assert footage(home, "snapshot") and not footage(home, "clip")


@needs_root
def test_a_full_disk_costs_pictures_and_no_event(started: Any, home: Path) -> None:
    with small_disk(home / "state", 6144) as disk:
        (disk / "filler").write_bytes(bytes(5 << 20))
        daemon = started("--set", "events.keep=clips")
        line = daemon.next_line("degraded part=")
        assert "pictures of events" in line and "disk full" in line
        for _ in range(2):
            daemon.next_event("unknown")
        status = json.loads(familiar(home, "status", "--json").stdout)
        assert (status["events"]["trouble"], status["events"]["lost"]) == (None, 0)
        assert status["cameras"]["door"]["state"] == "running"
        (disk / "filler").unlink()
        daemon.next_line("recovered part=")
        _, err = daemon.end()
        assert "Traceback" not in err
        numbers = [event["event_id"] for event in events(home)]
        assert numbers == list(range(1, len(numbers) + 1))
        assert footage(home, "clip")
