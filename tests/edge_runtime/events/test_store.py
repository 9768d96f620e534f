"""The log's file: what is kept of an event, what is deleted, what is set aside."""

from __future__ import annotations

import json
import math
import sqlite3
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from edge_runtime.errors import EventLogError
from edge_runtime.events import database
from edge_runtime.events.reader import EventReader
from edge_runtime.events.record import FORGOTTEN
from edge_runtime.events.store import PRUNE_ROWS, EventStore, Position, forget_without_daemon
from edge_runtime.gallery.directory import STRANGER, Directory
from edge_runtime.storage.database import BrokenError, set_aside
from edge_runtime.types import Event
from tests.builders import make_event

WHO = Directory.of({"a1": "Ada", "b2": "Ben"}, {"a1": b"a" * 32, "b2": b"b" * 32, STRANGER: b"s" * 32}, frozenset())
GONE = Directory.of({"b2": "Ben"}, {"b2": b"b" * 32, STRANGER: b"s" * 32}, frozenset({"a1"}))
NOBODY: frozenset[str] = frozenset()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EventStore]:
    with EventStore(tmp_path / "events.db") as opened:
        yield opened


def commit(store: EventStore, *events: Event, clock_s: float = 0.0, who: Directory = WHO) -> None:
    store.commit([(event, who) for event in events], who.forgotten, (clock_s, None), {}, 0)


def kept(path: Path, who: Directory = WHO) -> list[Event | None]:
    with EventReader(path) as reader:
        return [record.event(who) for record in reader.after(0, 1000)]


def everything(path: Path) -> bytes:
    return b"".join(file.read_bytes() for file in path.parent.iterdir())


def test_a_new_log_is_empty_and_its_owners_alone(store: EventStore) -> None:
    assert store.newest == 0
    assert kept(store.path) == []
    modes = {stat.S_IMODE(file.stat().st_mode) for file in store.path.parent.iterdir()}
    assert modes == {0o600}


def test_an_event_comes_back_as_it_was(store: EventStore) -> None:
    event = make_event(
        7, kind="identified", track_id="door-1", person="Ada", candidate="Ada", runner_up="Ben", score=0.7, margin=0.2,
        confidence=0.99, threshold=0.5, template_id=3, xyxy=(1.0, 2.0, 3.5, 4.0), quality={"face_px": 40.0},
        first_seen=1.5, bundle="abc",
    )  # fmt: skip
    alone = make_event(8, kind="identified", person="Ada", margin=math.inf, threshold=math.inf)
    lost = make_event(9, kind="camera_lost", reason="gone — wirklich")
    commit(store, event, alone, lost)
    found = kept(store.path)
    assert [item and item.event_id for item in found] == [1, 2, 3]
    for was, item in zip((event, alone, lost), found, strict=True):
        assert item is not None
        assert item.as_json() == was.as_json() | {"event_id": item.event_id}
    assert found[1] is not None and found[1].margin == math.inf


def test_no_name_lies_in_the_file_and_a_new_one_is_shown_at_once(store: EventStore) -> None:
    commit(store, make_event(kind="identified", person="Ada", candidate="Ada", runner_up="Ben"))
    assert b"Ada" not in everything(store.path)
    assert b"Ben" not in everything(store.path)
    renamed = Directory.of({"a1": "Grace", "b2": "Ben"}, WHO.crop_keys, NOBODY)
    (found,) = kept(store.path, renamed)
    assert found is not None and (found.person, found.candidate, found.runner_up) == ("Grace", "Grace", "Ben")


def test_crops_are_sealed_with_the_persons_key_or_the_strangers(store: EventStore) -> None:
    commit(
        store,
        make_event(kind="identified", person="Ada", candidate="Ada", crop=b"jpeg of ada"),
        make_event(kind="unknown", candidate="Ada", crop=b"jpeg of a stranger"),
        make_event(kind="unknown"),
    )
    assert b"jpeg" not in everything(store.path)
    rekeyed = Directory.of(dict(WHO.names), {"a1": b"x" * 32, STRANGER: b"y" * 32}, NOBODY)
    with EventReader(store.path) as reader:
        first, second, third = (reader.find(number) for number in (1, 2, 3))
        assert reader.crop(first, WHO) == (True, b"jpeg of ada")
        assert reader.crop(second, WHO) == (True, b"jpeg of a stranger")
        assert reader.crop(third, WHO) == (False, None)
        assert reader.crop(first, rekeyed) == reader.crop(second, rekeyed) == (True, None)


def test_who_is_forgotten_goes_with_their_tracks_and_strangers_stay(store: EventStore) -> None:
    commit(
        store,
        make_event(1, kind="appeared", track_id="t1"),
        make_event(2, kind="unknown", track_id="t1", candidate="Ada", crop=b"early"),
        make_event(3, kind="identified", track_id="t1", person="Ada", candidate="Ada", runner_up="Ben"),
        make_event(4, kind="left", track_id="t1", person="Ada"),
        make_event(5, kind="appeared", track_id="t2"),
        make_event(6, kind="unknown", track_id="t2", candidate="Ada", runner_up="Ben", template_id=9, crop=b"near"),
        make_event(7, kind="identified", track_id="t3", person="Ben", candidate="Ben", runner_up="Ada"),
        make_event(8, kind="camera_lost", reason="gone"),
    )
    assert store.forget(GONE.forgotten) == 4
    assert b"a1" not in everything(store.path)
    with EventReader(store.path) as reader:
        records = {record.event_id: record for record in reader.after(0, 100)}
        assert list(records) == [5, 6, 7, 8]
        assert records[6].whose("candidate") == FORGOTTEN == records[7].whose("runner_up")
        assert records[6].values["template_id"] is None
        assert reader.crop(records[6], GONE) == (False, None)
    assert store.forget(GONE.forgotten) == 0


def test_an_event_under_way_of_somebody_forgotten_is_not_stored(store: EventStore) -> None:
    events = [
        (make_event(1, kind="identified", person="Ada", candidate="Ada"), WHO),
        (make_event(2, kind="unknown", candidate="Ada", template_id=4, crop=b"near"), WHO),
        (make_event(3, kind="identified", person="Somebody", candidate="Somebody"), WHO),
    ]
    store.commit(events, GONE.forgotten, (0.0, None), {}, 0)
    (found,) = kept(store.path, GONE)
    assert found is not None and (found.captured_s, found.candidate, found.template_id) == (2.0, None, None)


def test_a_person_renamed_is_found_by_the_former_name_too() -> None:
    later = Directory.of({"a1": "Grace", "c3": "Cleo"}, {}, NOBODY).after(WHO)
    assert later.ids["Ada"] == later.ids["Grace"] == "a1"
    assert "Ben" not in later.ids
    assert Directory.of({"c3": "Ada"}, {}, NOBODY).after(WHO).ids["Ada"] == "c3"


def test_old_events_go_in_small_steps_once_they_are_delivered(store: EventStore) -> None:
    commit(store, *map(make_event, range(PRUNE_ROWS + 20)), clock_s=10.0)
    commit(store, *map(make_event, range(5)), clock_s=20.0)
    assert store.prune(15.0, 30, 10**9).event_ids == tuple(range(1, 31))
    first = store.prune(15.0, 10**6, 10**9)
    assert not first.more
    assert first.event_ids == tuple(range(31, PRUNE_ROWS + 21))
    assert store.prune(15.0, 10**6, 10**9).event_ids == ()
    assert len(kept(store.path)) == 5
    commit(store, make_event())
    assert store.newest == PRUNE_ROWS + 26


def test_numbers_never_come_twice(store: EventStore) -> None:
    commit(store, *map(make_event, range(3)), clock_s=1.0)
    store.prune(5.0, 3, 10**9)
    store.close()
    with EventStore(store.path) as again:
        assert again.newest == 3
        commit(again, make_event())
        assert again.newest == 4


def test_size_counts_whoever_has_had_them_and_gives_room_back(store: EventStore) -> None:
    for number in range(40):
        commit(store, make_event(number, crop=bytes(50_000)))
    gone = []
    while (step := store.prune(0.0, 0, 10**6)).event_ids:
        gone += step.event_ids
    assert gone == list(range(1, len(gone) + 1))
    assert 15 <= len(gone) <= 25
    assert len(kept(store.path)) == 40 - len(gone)
    store.close()
    assert 500_000 < store.path.stat().st_size < 1_300_000


def test_positions_and_counts_are_kept(store: EventStore) -> None:
    store.commit([], NOBODY, (5.0, 6.0), {"mqtt:a": Position(7, 2)}, 3, clean=True)
    store.close()
    with EventStore(store.path) as again:
        assert again.positions() == {"mqtt:a": Position(7, 2)}
        assert (again.clock_s, again.wall_s, again.lost, again.clean) == (5.0, 6.0, 3, True)


@pytest.mark.parametrize("side", ["", "-wal", "-shm"])
def test_files_that_others_may_read_are_refused(store: EventStore, side: str) -> None:
    path = store.path
    path.with_name(path.name + side).chmod(0o640)
    for opening in (EventStore, EventReader):
        with pytest.raises(EventLogError, match="chmod 600"):
            opening(path)


def _newer(path: Path) -> None:
    EventStore(path).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()


def _foreign(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE recipe (cake TEXT)")
    connection.commit()
    connection.close()
    path.chmod(0o600)


def _text(path: Path) -> None:
    path.write_text("my shopping list\n" * 100)
    path.chmod(0o600)


def _short(path: Path) -> None:
    with EventStore(path) as store:
        commit(store, *map(make_event, range(100)))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2 // 4096 * 4096])


SPOILT = {"newer": _newer, "foreign": _foreign, "text": _text, "short": _short}


@pytest.mark.parametrize("kind", SPOILT)
def test_what_cannot_be_used_is_told_and_left_as_it_is(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "events.db"
    SPOILT[kind](path)
    before = path.read_bytes()
    with pytest.raises(BrokenError):
        EventStore(path)
    assert path.read_bytes() == before
    aside = set_aside(path)
    assert aside.read_bytes() == before
    with EventStore(path, newest=5) as store:
        assert store.newest == 5


def test_a_file_whose_making_was_cut_short_is_made_again(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    path.touch(0o600)
    with EventStore(path) as store:
        commit(store, make_event())
    assert len(kept(path)) == 1


def test_leftovers_of_a_deleted_log_are_not_played_into_a_new_one(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    with EventStore(path) as store:
        commit(store, *map(make_event, range(3)))
        wal = path.with_name("events.db-wal").read_bytes()
    path.unlink()
    path.with_name("events.db-wal").write_bytes(wal)
    path.with_name("events.db-wal").chmod(0o600)
    with EventStore(path) as again:
        assert again.newest == 0


def test_an_older_log_is_brought_up_to_date(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "events.db"
    with EventStore(path) as store:
        commit(store, make_event())
    steps = {database.LOG.schema: lambda connection: connection.execute("ALTER TABLE meta ADD COLUMN note TEXT")}
    monkeypatch.setattr(database, "LOG", replace(database.LOG, schema=database.LOG.schema + 1, steps=steps))
    with pytest.raises(EventLogError, match="familiar run"):
        EventReader(path)
    EventStore(path).close()
    assert len(kept(path)) == 1


def test_forgetting_deletes_logs_of_ours_that_were_set_aside_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    _foreign(path)
    foreign = set_aside(path)
    with EventStore(path) as store:
        commit(store, make_event(kind="identified", person="Ada"))
        store.forget(NOBODY)
    ours = set_aside(path)
    with EventStore(path) as store:
        store.forget(NOBODY)
        assert ours.exists()
    forget_without_daemon(path, GONE)
    assert not ours.exists()
    assert foreign.exists()


def test_a_damaged_log_that_tells_of_somebody_forgotten_goes_with_them(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    (person_id,) = GONE.forgotten
    for name, text in (("1", b"x" * 5000 + person_id.encode()), ("2", b"x" * 5000), ("3.old", person_id.encode())):
        (tmp_path / f"events.db.aside-{name}").write_bytes(text)
    forget_without_daemon(path, GONE)  # no log of its own yet
    EventStore(path).close()
    forget_without_daemon(path, GONE)
    assert sorted(file.name for file in tmp_path.glob("*.aside-*")) == ["events.db.aside-2", "events.db.aside-3.old"]


def test_forgetting_without_a_log_makes_none(tmp_path: Path) -> None:
    forget_without_daemon(tmp_path / "events.db", GONE)
    assert list(tmp_path.iterdir()) == []
    _text(tmp_path / "events.db")
    with pytest.raises(EventLogError, match="familiar run"):
        forget_without_daemon(tmp_path / "events.db", GONE)


def test_reading_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(EventLogError, match="familiar run makes it"):
        EventReader(tmp_path / "events.db")
    with EventStore(tmp_path / "events.db") as store:
        with EventReader(store.path) as reader, pytest.raises(EventLogError, match="none is kept"):
            reader.find(4)
        commit(store, make_event())
        with EventReader(store.path) as reader, pytest.raises(EventLogError, match="kept are 1 to 1"):
            reader.find(4)
    _text(tmp_path / "text.db")
    with pytest.raises(EventLogError, match="not a database"):
        EventReader(tmp_path / "text.db")


def test_events_are_found_by_time_camera_and_kind(store: EventStore) -> None:
    commit(store, make_event(0), make_event(10, camera="hall"), make_event(20, kind="left"), make_event(30))
    with EventReader(store.path) as reader:
        found = reader.after(0, 9, since_s=1_700_000_010.0)
        assert [record.event_id for record in found] == [2, 3, 4]
        assert [record.event_id for record in reader.after(2, 1)] == [3]
        assert [record.event_id for record in reader.after(0, 9, camera="door", kind="unknown")] == [1, 4]


def test_no_row_has_a_place_for_pictures_in_the_open(tmp_path: Path) -> None:
    with EventStore(tmp_path / "events.db") as store:
        store.commit([(make_event(1), WHO)], frozenset(), (0.0, None), {}, 0)
        (body,) = store._connection.execute("SELECT body FROM event").fetchone()
    assert not json.loads(body).keys() & {"crop", "clip", "embedding", "footage"}
