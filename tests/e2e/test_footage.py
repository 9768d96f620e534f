"""Pictures beside events, through ``familiar run`` on a clip in which somebody comes and goes."""

from __future__ import annotations

import base64
import json
import shutil
import sqlite3
import ssl
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_runtime.types import Pixels
from tests.builders import draw_face, make_bundle
from tests.certificates import Authority
from tests.clips import visit, write_clip
from tests.e2e.test_events import events
from tests.e2e.test_run import familiar, starting
from tests.http_receiver import HttpReceiver
from tests.mail_server import MailServer
from tests.mosquitto import Broker, Reader, needs_mosquitto, retained
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


def kept_with_pictures(started: Any, home: Path, count: int = 2) -> list[int]:
    """Numbers of Ada's events with snapshot and clip, of a daemon that has ended."""
    assert familiar(home, "enroll", "Ada", str(home / "photo.png")).returncode == 0
    daemon = started("--set", "events.keep=clips")
    numbers = [daemon.next_event("identified")["event_id"] for _ in range(count)]
    wait_for(lambda: len(footage(home, "clip")) >= count)
    daemon.end()
    return numbers


def spoil_a_page_that_leads_to_others(log: Path) -> None:
    with closing(sqlite3.connect(log)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (root,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'event'").fetchone()
    data = bytearray(log.read_bytes())
    assert data[(root - 1) * 4096] == 5, "expected enough events that no row lies on this page"
    data[(root - 1) * 4096 : root * 4096] = b"\xff" * 4096
    log.write_bytes(data)


def set_aside(started: Any, home: Path) -> None:
    """Damage the log, and let a daemon begin a new one."""
    spoil_a_page_that_leads_to_others(home / "state" / "familiar" / "events.db")
    daemon = started("--set", "events.keep=clips")
    assert "familiar repair takes back what is good of it" in daemon.next_line("set aside as events.db.aside-1")
    daemon.next_event("identified")
    daemon.end()


def opens(home: Path, number: int, kind: str) -> bool:
    path = home / f"again.{kind}"
    path.unlink(missing_ok=True)
    done = familiar(home, "explain", str(number), f"--{kind}", str(path))
    return done.returncode == 0 and path.stat().st_size > 0


KINDS = ("crop", "snapshot", "clip")


def test_repair_brings_pictures_back_with_the_events_of_a_damaged_log(started: Any, home: Path) -> None:
    numbers = kept_with_pictures(started, home)
    before = {path.name for path in footage(home, "*")}
    set_aside(started, home)
    assert not any(opens(home, numbers[0], kind) for kind in KINDS)  # the event is in the log that was set aside
    assert before <= {path.name for path in footage(home, "*")}
    done = familiar(home, "repair", "--json")
    assert done.returncode == 0, done.stderr
    (told,) = [one for one in json.loads(done.stdout) if one["path"].endswith("events.db")]
    assert told["lost"] == {"events": 0}
    assert told["kept"]["snapshots"] == len(footage(home, "snapshot")) and told["kept"]["crops"] >= len(numbers)
    assert all(opens(home, number, kind) for number in numbers for kind in KINDS)
    daemon = started("--set", "events.keep=clips")
    daemon.next_event("identified")
    daemon.end()
    assert before <= {path.name for path in footage(home, "*")}  # the next start leaves them, too


def test_repair_says_how_many_pictures_went_with_a_lost_event(started: Any, home: Path) -> None:
    first, second = kept_with_pictures(started, home)
    log = home / "state" / "familiar" / "events.db"
    with closing(sqlite3.connect(log)) as connection, connection:
        # A bit of the card: it is no longer as it was written.
        connection.execute("UPDATE event SET body = replace(body, '0', '1') WHERE event_id = ?", (first,))
    kept = len(footage(home, "snapshot")), len(footage(home, "clip"))
    done = familiar(home, "repair")
    assert done.returncode == 0, done.stderr
    assert "lost 1 events, 1 snapshots, 1 clips" in done.stdout
    assert (len(footage(home, "snapshot")), len(footage(home, "clip"))) == (kept[0] - 1, kept[1] - 1)
    assert opens(home, second, "clip")
    assert "sound" in familiar(home, "repair").stdout


def test_repair_says_which_pictures_do_not_open_any_more(started: Any, home: Path) -> None:
    numbers = kept_with_pictures(started, home)
    set_aside(started, home)
    clip = footage(home, "clip")[0]
    clip.write_bytes(clip.read_bytes()[:-1] + b"!")
    done = familiar(home, "repair")
    assert "1 pictures do not open" in done.stdout
    assert [opens(home, number, "clip") for number in numbers] == [False, True]


def test_who_is_forgotten_is_in_no_picture_of_a_log_that_was_set_aside(started: Any, home: Path) -> None:
    kept_with_pictures(started, home)
    before = {path.name for path in footage(home, "*")}
    set_aside(started, home)
    assert familiar(home, "people", "forget", "Ada", "--yes").returncode == 0
    assert not list((home / "state" / "familiar").glob("events.db.aside-*"))
    assert before.isdisjoint(path.name for path in footage(home, "*"))


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


@pytest.fixture(scope="module")
def mail_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[MailServer, Path]]:
    """A mail server, and the certificate of its authority."""
    authority = Authority(tmp_path_factory.mktemp("authority"))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(*authority.issue("server", 30))
    server = MailServer(tls)
    yield server, authority.certificate
    server.leave()


def write_sinks(home: Path, keep: str, *tables: str) -> Path:
    path = home / "sinks.toml"
    path.write_text(f'[events]\nkeep = "{keep}"\n' + "".join(f"[[sink]]\n{table}\n" for table in tables))
    return path


def decoded(jpeg: bytes) -> Pixels:
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    return np.asarray(picture, np.uint8)


def stills_of(home: Path, film: bytes) -> list[Pixels]:
    path = home / "sent.avi"
    path.write_bytes(film)
    video, found = cv2.VideoCapture(str(path)), []
    while (read := video.read())[0]:
        found.append(read[1])
    return found


def test_a_mail_brings_what_the_camera_saw_and_the_film_of_it(
    started: Any, home: Path, mail_server: tuple[MailServer, Path]
) -> None:
    server, authority = mail_server
    mail = (
        f'type = "mail"\nhost = "127.0.0.1"\nport = {server.port}\nca_certs = "{authority}"\n'
        'sender = "pi@example.org"\nto = ["me@example.org"]\nkinds = ["unknown"]\npicture = "clip"'
    )
    path = write_sinks(home, "clips", mail, 'type = "jsonlines"')
    daemon = started("--config", str(path))
    number = daemon.next_event("unknown")["event_id"]
    wait_for(lambda: bool(server.mails), 60)
    daemon.end()
    files = {part.get_filename(): part.get_content() for part in server.mails[0].iter_attachments()}
    assert sorted(files) == ["event.json", "face.jpg", "film.avi"]
    assert json.loads(files["event.json"])["event_id"] == number
    assert decoded(files["face.jpg"]).shape == (240, 240, 3)  # all that the camera saw, not the face alone
    stills = stills_of(home, files["film.avi"])
    room = cv2.cvtColor(visit(2)[0], cv2.COLOR_RGB2BGR)
    empty = [bool(np.abs(still.astype(int) - room).mean() < 6) for still in stills]
    assert len(stills) >= 20 and empty[0] and empty[-1] and not all(empty)  # before they came, and after they went


def test_a_film_that_is_not_whole_when_the_daemon_ends_goes_as_far_as_it_is(started: Any, home: Path) -> None:
    receiver = HttpReceiver()
    hook = f'type = "webhook"\nurl = "{receiver.url}"\npicture = "clip"\nkinds = ["unknown"]'
    try:
        daemon = started("--config", str(write_sinks(home, "clips", hook, 'type = "jsonlines"')))
        daemon.next_event("unknown")
        daemon.end()
    finally:
        receiver.leave()
    (request,) = receiver.requests
    said = json.loads(request.body)
    assert len(stills_of(home, base64.b64decode(said["clip"]))) >= 1
    assert decoded(base64.b64decode(said["picture"])).shape == (240, 240, 3)


@needs_mosquitto
def test_a_broker_gets_the_snapshot_and_keeps_it_not(started: Any, home: Path, tmp_path: Path) -> None:
    pytest.importorskip("paho.mqtt", reason="paho-mqtt is missing: pip install 'familiar-edge[mqtt]'")
    broker = Broker(tmp_path / "broker")
    try:
        reader = Reader(broker.port)
        sink = f'type = "mqtt"\nhost = "127.0.0.1"\nport = {broker.port}\nimage = "snapshot"'
        daemon = started("--config", str(write_sinks(home, "snapshots", sink)))
        wait_for(lambda: reader.last("familiar/door/image") is not None, 60)
        picture = decoded(reader.last("familiar/door/image") or b"")
        assert picture.shape == (240, 240, 3)
        wait_for(lambda: any(event["kind"] == "unknown" for event in reader.payloads("familiar/events")), 60)
        assert "familiar/door/image" not in retained(broker.port)
        daemon.end()
        reader.close()
    finally:
        broker.kill()


@pytest.mark.parametrize(
    ("sink", "keep", "says"),
    [
        ('type = "mqtt"\nhost = "h"\nimage = "clip"', "clips", "expected none or crop or snapshot"),
        ('type = "webhook"\nurl = "http://h/"\npicture = "clip"', "snapshots", '[events] keep = "clips"'),
    ],
)
def test_what_cannot_be_sent_is_refused_at_the_start(home: Path, sink: str, keep: str, says: str) -> None:
    done = familiar(home, "config", "check", "--config", str(write_sinks(home, keep, sink)))
    assert done.returncode != 0 and says in done.stderr + done.stdout
