"""Snapshots and clips beside the log: sealed, bound to their event, deleted with it and with everybody in them."""

from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path

import pytest

from edge_runtime.events.footage import Footage
from edge_runtime.events.reader import EventReader
from edge_runtime.events.store import EventStore, forget_without_daemon
from edge_runtime.gallery.directory import STRANGER, Directory
from tests.builders import make_event

ADA, BEN, NOBODY = b"a" * 32, b"b" * 32, b"s" * 32
WHO = Directory.of({"a1": "Ada", "b2": "Ben"}, {"a1": ADA, "b2": BEN, STRANGER: NOBODY}, frozenset())
GONE = Directory.of({"b2": "Ben"}, {"b2": BEN, STRANGER: NOBODY}, frozenset({"a1"}))


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "events.db"


def files(log: Path) -> list[str]:
    folder = Footage(log).folder
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def store_event(
    log: Path, footage: Footage, who: str | None, track: str, *others: str, candidate: str | None = None
) -> str:
    """An event with a snapshot and a clip that show its track and those of others; the name they are kept under."""
    token = footage.token()
    kind = "identified" if who else "unknown"
    event = make_event(1, kind=kind, person=who, candidate=candidate or who, track_id=track, footage=token)
    with EventStore(log, footage=footage) as store:
        store.commit([(event, WHO)], WHO.forgotten, (0.0, None), {}, 0)
    key = {"Ada": ADA, "Ben": BEN, None: NOBODY}[who]
    footage.put("snapshot", token, event.wall_time, [track, *others], key, b"jpeg of " + track.encode())
    footage.put("clip", token, event.wall_time, [track, *others], key, b"film of " + track.encode())
    footage.settle("snapshot", token)
    footage.settle("clip", token)
    return token


def shown(log: Path, who: Directory = WHO) -> dict[int, tuple[bytes | None, bytes | None]]:
    footage = Footage(log)
    with EventReader(log) as reader:
        return {
            record.event_id: (footage.beside("snapshot", record, who), footage.beside("clip", record, who))
            for record in reader.after(0, 100)
        }


def test_without_a_picture_there_is_no_folder(log: Path) -> None:
    footage = Footage(log)
    footage.reconcile(set())
    footage.forget({"t"})
    assert footage.trim(0) == 0
    assert not footage.folder.exists()


def test_pictures_come_back_as_they_were_and_are_nobody_elses_to_read(log: Path) -> None:
    footage = Footage(log)
    store_event(log, footage, "Ada", "t1")
    assert shown(log) == {1: (b"jpeg of t1", b"film of t1")}
    assert stat.S_IMODE(footage.folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in footage.folder.iterdir()} == {0o600}
    assert b"jpeg of" not in b"".join(path.read_bytes() for path in footage.folder.iterdir())
    assert shown(log, GONE) == {1: (None, None)}  # her key went with her


def test_a_picture_put_in_the_place_of_another_does_not_open(log: Path) -> None:
    footage = Footage(log)
    first, second = store_event(log, footage, "Ada", "t1"), store_event(log, footage, "Ada", "t2")
    one, other = (footage.folder / f"{token}.snapshot" for token in (first, second))
    one.write_bytes(other.read_bytes())
    _, _, sealed = other.read_bytes().partition(b"\n")
    other.write_bytes(b"[]\n" + sealed)  # who is in it is bound to it too
    assert [snapshot for snapshot, _ in shown(log).values()] == [None, None]


def test_pictures_go_with_their_event(log: Path) -> None:
    footage = Footage(log)
    store_event(log, footage, "Ada", "t1")
    store_event(log, footage, "Ben", "t2")
    with EventStore(log) as store:
        store.commit([], frozenset(), (10.0, None), {}, 0)
        store.prune(5.0, 1, 10**9)
    assert shown(log) == {2: (b"jpeg of t2", b"film of t2")}
    assert len(files(log)) == 2


def test_who_is_forgotten_is_in_no_picture_left(log: Path) -> None:
    footage = Footage(log)
    store_event(log, footage, "Ada", "t1")
    store_event(log, footage, "Ben", "t2", "t1")  # she stands beside him
    store_event(log, footage, "Ben", "t3")
    store_event(log, footage, None, "t4", candidate="Ada")  # taken for her, nearly
    store_event(log, footage, None, "t5")
    assert forget_without_daemon(log, GONE)
    found = shown(log, GONE)
    assert [number for number, (snapshot, clip) in found.items() if snapshot and clip] == [3, 5]
    assert len(files(log)) == 4


def test_a_film_that_ends_after_somebody_was_forgotten_is_not_kept(log: Path) -> None:
    footage = Footage(log)
    token = footage.token()
    footage.forget({"t1"})
    footage.put("clip", token, 1.0, ["t2", "t1"], BEN, b"film")
    assert files(log) == []


def test_the_oldest_go_where_there_are_too_many(log: Path) -> None:
    footage = Footage(log)
    tokens = [footage.token() for _ in range(5)]
    for token in tokens:
        footage.put("clip", token, 1.0, [], BEN, bytes(1000))
    left = footage.trim(3500)
    assert files(log) == [f"{token}.clip" for token in tokens[2:]]
    assert left == sum(path.stat().st_size for path in footage.folder.iterdir()) <= 3500


def test_names_go_on_after_a_restart_and_what_belongs_to_no_event_goes(log: Path) -> None:
    footage = Footage(log)
    kept = store_event(log, footage, "Ben", "t1")
    lost = footage.token()
    footage.put("snapshot", lost, 1.0, [], BEN, b"jpeg")
    (footage.folder / f"{lost}.clip.new").write_bytes(b"half a film")
    again = Footage(log)
    assert again.token() > lost
    again.delete_drafts()
    with EventStore(log) as store:
        again.reconcile(store.tokens())
    assert files(log) == [f"{kept}.clip", f"{kept}.snapshot"]


def test_a_log_of_before_there_were_pictures_opens(log: Path) -> None:
    with EventStore(log) as store:
        store.commit([(replace(make_event(1)), WHO)], frozenset(), (0.0, None), {}, 0)
        store._connection.execute("ALTER TABLE event DROP COLUMN footage")
        store._connection.execute("PRAGMA user_version = 3")
    with EventStore(log) as store:
        assert store.tokens() == set()
        assert store.damaged == 0
    assert shown(log) == {1: (None, None)}
