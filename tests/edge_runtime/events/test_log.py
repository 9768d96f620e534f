"""The daemon's log of events: nothing waits, nothing stored is lost, and what is lost is counted."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_runtime.errors import EventLogError
from edge_runtime.events.delivery import Delivery
from edge_runtime.events.log import EventLog
from edge_runtime.events.queue import EventQueue
from edge_runtime.events.reader import EventReader
from edge_runtime.events.store import EventStore, Position
from edge_runtime.gallery.directory import Directory
from edge_runtime.types import Event
from tests.builders import make_event
from tests.small_disk import failing_disk, fill, needs_root, remount, small_disk
from tests.waiting import PATIENCE_S, wait_for

WHO = Directory.of({"a1": "Ada", "b2": "Ben"}, {"a1": b"a" * 32, "": b"s" * 32}, frozenset())
QUICK = (0.01, 0.05)


class Told:
    """What a log has said."""

    def __init__(self) -> None:
        self.troubles: list[str | None] = []
        self.lines: list[str] = []
        self.sinks: list[str] = []

    def sink(self, delivery: Delivery, error: Exception | None) -> None:
        self.sinks.append(f"{delivery.name}: {error}")


class ListSink:
    """Takes events into a list; is away, or holds them up, when it is told to."""

    pictures, refused = "none", 0

    def __init__(self, lasting: bool = True) -> None:
        self.lasting = lasting
        self.events: list[Event] = []
        self.here = True
        self.gate = threading.Event()
        self.gate.set()
        self.closed = False

    def emit(self, event: Event) -> None:
        assert self.gate.wait(PATIENCE_S)
        if not self.here:
            raise OSError("nobody there")
        self.events.append(event)

    def flush(self) -> None:
        if not self.here:
            raise OSError("nobody there")

    def close(self) -> None:
        self.closed = True

    @property
    def numbers(self) -> list[int]:
        return [event.event_id or 0 for event in self.events]


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def opened(tmp_path: Path, told: Told) -> Iterator[Callable[..., EventLog]]:
    """Opens logs, and closes what a test leaves open."""
    logs: list[EventLog] = []

    def make(path: Path = tmp_path / "events.db", directory: Directory = WHO, **options: Any) -> EventLog:
        given = {"keep_days": 30.0, "keep_mb": 100.0, "prune_every_s": 0.01} | options
        logs.append(EventLog(path, directory, on_trouble=told.troubles.append, say=told.lines.append, **given))
        return logs[-1]

    yield make
    for log in logs:
        log.close()


def append(log: EventLog, *numbers: int) -> None:
    for number in numbers:
        log.append(make_event(number))


def stored(path: Path) -> list[float]:
    """``captured_s`` of what is stored, after SQLite's own look at the file."""
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
    with EventReader(path) as reader:
        return [event.captured_s for record in reader.after(0, 10**6) if (event := record.event(WHO))]


def test_an_idle_log_opens_and_closes(opened: Callable[..., EventLog], told: Told) -> None:
    log = opened()
    assert log.drain(PATIENCE_S)
    assert log.drain(PATIENCE_S)
    assert stored(log.path) == []
    assert (told.troubles, told.lines) == ([], [])


def test_what_is_stored_is_there_before_a_sink_sees_it(opened: Callable[..., EventLog], told: Told) -> None:
    log, missing = opened(), []

    class Looking(ListSink):
        def emit(self, event: Event) -> None:
            with EventReader(log.path) as reader:
                if reader.find(event.event_id or 0).event(WHO) != event:
                    missing.append(event)
            super().emit(event)

    sink = Looking()
    log.attach("a", sink, told.sink)
    append(log, *range(30))
    assert log.flush(PATIENCE_S)
    assert stored(log.path) == list(range(30))
    wait_for(lambda: sink.numbers == list(range(1, 31)))
    assert not missing
    assert log.status() == {
        "stored": 30, "waiting": 0, "lost": 0, "trouble": None,
        "sinks": {"a": {"delivered": 30, "behind": 0, "skipped": 0, "error": None, "refused": 0, "aside": False}},
    }  # fmt: skip


def test_a_new_sink_begins_with_now_and_a_known_one_where_it_was(opened: Callable[..., EventLog], told: Told) -> None:
    log, first, run_only = opened(), ListSink(), ListSink(lasting=False)
    append(log, 0)
    assert log.flush(PATIENCE_S)
    log.attach("a", first, told.sink)
    log.attach("-", run_only, told.sink)
    append(log, 1)
    assert log.drain(PATIENCE_S)
    assert first.numbers == run_only.numbers == [2]
    assert first.closed and run_only.closed

    log, late = opened(), ListSink()
    append(log, 2)
    assert log.drain(PATIENCE_S)
    log, again, new, run_only = opened(), ListSink(), ListSink(), ListSink(lasting=False)
    log.attach("a", again, told.sink)
    log.attach("b", new, told.sink)
    log.attach("-", run_only, told.sink)
    append(log, 3)
    assert log.drain(PATIENCE_S)
    assert again.numbers == [3, 4]
    assert new.numbers == run_only.numbers == [4]
    assert late.numbers == []


def test_a_sink_that_is_away_gets_everything_later_and_holds_up_no_other(
    opened: Callable[..., EventLog], told: Told
) -> None:
    log, away, stuck, well = opened(), ListSink(), ListSink(), ListSink()
    for name, sink in (("away", away), ("stuck", stuck), ("well", well)):
        log.attach(name, sink, told.sink, QUICK)
    away.here = False
    stuck.gate.clear()
    append(log, *range(200))
    wait_for(lambda: len(well.events) == 200)
    wait_for(lambda: told.sinks == ["away: nobody there"])
    assert log.status()["sinks"]["away"] == {
        "delivered": 0, "behind": 200, "skipped": 0, "error": "nobody there", "refused": 0, "aside": False,
    }  # fmt: skip
    assert away.events == stuck.events == []
    away.here = True
    stuck.gate.set()
    wait_for(lambda: away.numbers == stuck.numbers == well.numbers == list(range(1, 201)))
    wait_for(lambda: told.sinks == ["away: nobody there", "away: None"])


def test_a_sink_that_fails_now_and_then_gets_each_event_once(opened: Callable[..., EventLog], told: Told) -> None:
    class Fickle(ListSink):
        tries = 0

        def emit(self, event: Event) -> None:
            self.tries += 1
            if self.tries % 3 == 0:
                raise OSError("try again")
            super().emit(event)

    log, sink = opened(), Fickle()
    log.attach("a", sink, told.sink, (0.001, 0.002))
    append(log, *range(50))
    wait_for(lambda: len(sink.events) >= 50)
    log.close()
    assert sink.numbers == list(range(1, 51))


def test_what_no_flush_has_covered_is_given_again(opened: Callable[..., EventLog], told: Told) -> None:
    class Forgetful(ListSink):
        """Loses what it took until a flush succeeds, as a connection does that breaks."""

        failures = 2

        def flush(self) -> None:
            if self.failures:
                self.failures -= 1
                self.events.clear()
                raise OSError("connection lost")

    log, sink = opened(), Forgetful()
    log.attach("a", sink, told.sink, QUICK)
    append(log, *range(10))
    wait_for(lambda: sink.numbers == list(range(1, 11)))
    assert told.sinks[0] == "a: connection lost"


def test_a_sink_that_is_away_at_the_end_goes_on_after_the_next_start(
    opened: Callable[..., EventLog], told: Told
) -> None:
    log, sink = opened(), ListSink()
    log.attach("a", sink, told.sink, QUICK)
    append(log, 0)
    wait_for(lambda: sink.numbers == [1])
    sink.here = False
    append(log, 1, 2)
    assert log.drain(PATIENCE_S)
    log, sink = opened(), ListSink()
    log.attach("a", sink, told.sink)
    wait_for(lambda: sink.numbers == [2, 3])


def test_a_sink_of_this_run_that_is_stuck_makes_the_end_unclean(opened: Callable[..., EventLog], told: Told) -> None:
    log, sink = opened(), ListSink(lasting=False)
    sink.gate.clear()
    log.attach("-", sink, told.sink)
    append(log, 0)
    assert log.flush(PATIENCE_S)
    assert not log.drain(0.1)
    sink.gate.set()


def test_while_the_disk_hangs_nobody_waits_and_the_oldest_are_lost_and_counted(
    opened: Callable[..., EventLog], told: Told
) -> None:
    log = opened(capacity=1000)
    append(log, 0)
    assert log.flush(PATIENCE_S)
    other = sqlite3.connect(log.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")  # the writer's commit now waits as long as for the slowest card
    append(log, *range(1, 6001))
    assert log.status()["waiting"] + log.lost >= 5000
    other.execute("ROLLBACK")
    other.close()
    assert log.flush(PATIENCE_S)
    found = stored(log.path)
    assert len(found) == 6001 - log.lost
    assert found == sorted(set(found))
    assert found[-1000:] == list(range(5001, 6001))
    assert log.stored == len(found)
    log.close()
    with EventStore(log.path) as store:
        assert store.lost == log.lost > 0


def test_the_queue_gives_up_crops_before_events() -> None:
    queue = EventQueue(3, crop_bytes=10)
    for number in range(5):
        queue.put(make_event(number, crop=b"12345"), WHO)
    assert queue.lost == 2
    taken = queue.take(2)
    assert [event.captured_s for event, _ in taken] == [2.0, 3.0]
    queue.put(make_event(5, crop=b"1234567890"), WHO)
    queue.put(make_event(6), WHO)
    queue.give_back(taken)
    assert queue.lost == 4
    assert [event.captured_s for event, _ in queue.take(9)] == [4.0, 5.0, 6.0]
    assert len(queue) == 0


def test_one_event_that_no_log_can_hold_keeps_no_other_out(opened: Callable[..., EventLog], told: Told) -> None:
    log = opened()
    log.append(make_event(0, quality={"turn": object()}))
    append(log, 1)
    assert log.flush(PATIENCE_S)
    assert stored(log.path) == [1]
    assert (log.stored, log.lost, told.troubles) == (1, 1, [])


@needs_root
def test_a_full_disk_is_told_and_everything_that_waited_is_stored_when_there_is_room(
    opened: Callable[..., EventLog], told: Told, tmp_path: Path
) -> None:
    with small_disk(tmp_path / "disk", 1024) as disk:
        log, sink = opened(disk / "events.db", capacity=100), ListSink()
        log.attach("a", sink, told.sink, QUICK)
        append(log, *range(50))
        assert log.flush(PATIENCE_S)
        filler = fill(disk)
        number = 50
        while not told.troubles:  # what the log's own files have room for is stored yet
            append(log, *range(number, number + 50))
            number += 50
            log.flush(PATIENCE_S)
        assert told.troubles == ["disk full"] == [log.trouble]
        append(log, *range(number, number + 300))
        assert not log.flush(PATIENCE_S)
        before = log.lost
        assert before > 0
        filler.unlink()
        assert log.flush(PATIENCE_S)
        assert told.troubles == ["disk full", None]
        assert log.lost == before
        found = stored(log.path)
        assert len(found) == number + 300 - before
        assert found == sorted(set(found))
        wait_for(lambda: [event.captured_s for event in sink.events] == found)
        log.close()


@needs_root
def test_a_disk_full_from_the_start_is_no_reason_not_to_start(
    opened: Callable[..., EventLog], told: Told, tmp_path: Path
) -> None:
    with small_disk(tmp_path / "disk", 256) as disk:
        filler = fill(disk)
        log, sink = opened(disk / "events.db"), ListSink()
        log.attach("a", sink, told.sink)
        assert told.troubles == ["disk full"]
        append(log, 0, 1)
        filler.unlink()
        assert log.flush(PATIENCE_S)
        wait_for(lambda: sink.numbers == [1, 2])
        log.close()


@needs_root
def test_a_read_only_disk_is_told_and_left_behind(opened: Callable[..., EventLog], told: Told, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 1024) as disk:
        opened(disk / "events.db").close()
        remount(disk, "ro")
        log = opened(disk / "events.db")
        append(log, 0)
        assert not log.flush(PATIENCE_S)
        assert told.troubles == ["disk read-only"]
        remount(disk, "rw")
        assert log.flush(PATIENCE_S)
        assert told.troubles == ["disk read-only", None]
        assert stored(log.path) == [0]
        log.close()


@needs_root
def test_a_disk_that_turns_read_only_under_way_loses_nothing_stored(
    opened: Callable[..., EventLog], told: Told, tmp_path: Path
) -> None:
    image = tmp_path / "image"
    with failing_disk(image, tmp_path / "disk") as disk:
        log = opened(disk / "events.db")
        append(log, *range(20))
        assert log.flush(PATIENCE_S)
        remount(disk, "abort")
        append(log, *range(20, 40))
        assert not log.flush(PATIENCE_S)
        assert told.troubles == ["disk read-only"]
        assert log.status()["waiting"] == 20
        assert not log.drain(PATIENCE_S)
    with failing_disk(image, tmp_path / "later", make=False) as disk:
        assert stored(disk / "events.db") == list(range(20))


def _garbage(path: Path) -> None:
    path.write_bytes(b"\x07" * 50_000)


def _truncated(path: Path) -> None:
    with path.open("r+b") as stream:
        stream.truncate(path.stat().st_size // 2 // 4096 * 4096)


def _holed(path: Path) -> None:
    with path.open("r+b") as stream:
        stream.seek(4096 * 3)
        stream.write(b"\xff" * 4096 * 2)
    connection = sqlite3.connect(path)
    connection.execute("UPDATE meta SET clean = 0")  # as after a crash: else nobody would look before it matters
    connection.commit()
    connection.close()


@pytest.mark.parametrize("spoil", [_garbage, _truncated, _holed])
def test_a_broken_log_is_set_aside_with_a_line_and_the_daemon_goes_on(
    opened: Callable[..., EventLog], told: Told, spoil: Callable[[Path], None]
) -> None:
    log = opened()
    append(log, *range(500))
    assert log.drain(PATIENCE_S)
    spoil(log.path)
    spoilt = log.path.read_bytes()
    log, sink = opened(), ListSink()
    append(log, 7)
    assert log.flush(PATIENCE_S)
    log.attach("a", sink, told.sink)
    append(log, 8)
    wait_for(lambda: [event.captured_s for event in sink.events] == [8])
    assert stored(log.path) == [7, 8]
    (line,) = told.lines
    assert "expected a sound log" in line and "events.db.aside-1" in line
    aside = (log.path.parent / "events.db.aside-1").read_bytes()
    assert aside[4096:] == spoilt[4096:]
    assert told.troubles == []


def test_a_log_that_breaks_or_goes_under_way_is_replaced_and_numbers_go_on(
    opened: Callable[..., EventLog], told: Told
) -> None:
    log, sink, stuck = opened(), ListSink(), ListSink()
    log.attach("a", sink, told.sink, QUICK)
    append(log, *range(10))
    wait_for(lambda: sink.numbers == list(range(1, 11)))
    stuck.gate.clear()
    log.attach("stuck", stuck, told.sink, QUICK)
    append(log, *range(10, 100))
    assert log.flush(PATIENCE_S)
    log.path.unlink()
    append(log, 100)
    assert log.flush(PATIENCE_S)
    assert stored(log.path) == [100]
    wait_for(lambda: 101 in sink.numbers)
    stuck.gate.set()
    wait_for(lambda: 101 in stuck.numbers)
    for delivery, taken in ((log.deliveries[0], sink), (log.deliveries[1], stuck)):
        start = 0 if taken is sink else 10
        assert delivery.skipped == 101 - start - len(set(taken.numbers))
        assert taken.numbers == sorted(set(taken.numbers))
    assert any("moved or deleted" in line for line in told.lines)

    for side in ("", "-wal"):
        log.path.with_name(log.path.name + side).write_bytes(b"\x07" * 200_000)
    append(log, 101)
    wait_for(lambda: any("aside-1" in line for line in told.lines))
    append(log, 102)
    wait_for(lambda: 103 in sink.numbers and 103 in stuck.numbers)


def test_a_log_that_others_may_read_is_refused(opened: Callable[..., EventLog]) -> None:
    opened().close()
    opened().path.chmod(0o644)
    with pytest.raises(EventLogError, match="chmod 600"):
        opened()


def test_old_events_wait_for_a_sink_but_not_beyond_the_size(opened: Callable[..., EventLog], told: Told) -> None:
    log, away = opened(keep_days=1e-9), ListSink()
    away.here = False
    log.attach("away", away, told.sink, QUICK)
    append(log, *range(20))
    assert log.flush(PATIENCE_S)
    wait_for(lambda: told.sinks)
    assert len(stored(log.path)) == 20
    away.here = True
    wait_for(lambda: len(away.events) == 20)
    wait_for(lambda: stored(log.path) == [])
    log.close()

    log, away = opened(keep_mb=1.0), ListSink()
    away.here = False
    log.attach("away", away, told.sink, QUICK)
    for number in range(100):
        log.append(make_event(number, crop=bytes(30_000)))
        if number % 10 == 9:
            assert log.flush(PATIENCE_S)
    wait_for(lambda: len(stored(log.path)) < 40)
    away.here = True
    wait_for(lambda: away.events and away.numbers[-1] == 120)
    assert log.status()["sinks"]["away"]["skipped"] == 100 - len(away.events) > 0
    assert away.numbers == sorted(away.numbers)
    assert any("keep_mb" in line for line in told.lines)


def test_an_event_of_somebody_forgotten_reaches_no_sink_any_more(opened: Callable[..., EventLog], told: Told) -> None:
    log, sink = opened(), ListSink()
    sink.here = False
    log.attach("a", sink, told.sink, QUICK)
    log.append(make_event(0, kind="identified", person="Ada", candidate="Ada", track_id="t"))
    log.append(make_event(1, kind="identified", person="Ben", candidate="Ben", runner_up="Ada"))
    assert log.flush(PATIENCE_S)
    log.know(Directory.of({"b2": "Benno"}, {}, frozenset({"a1"})))
    log.append(make_event(2, kind="left", person="Ada", track_id="t"))
    log.append(make_event(3, kind="left", person="Ben"))
    assert log.flush(PATIENCE_S)
    sink.here = True
    wait_for(lambda: sink.numbers == [2, 3])
    assert [(event.person, event.runner_up) for event in sink.events] == [("Benno", None), ("Benno", None)]
    with EventReader(log.path) as reader:
        assert [record.event_id for record in reader.after(0, 9)] == [2, 3]


def test_positions_are_stored_soon_although_nothing_happens(
    opened: Callable[..., EventLog], told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_runtime.events.log.POSITIONS_EVERY_S", 0.05)
    log, sink = opened(prune_every_s=3600.0), ListSink()
    log.attach("a", sink, told.sink)
    append(log, 0)

    def position() -> Position | None:
        connection = sqlite3.connect(log.path)
        row = connection.execute("SELECT position, skipped FROM sink").fetchone()
        connection.close()
        return Position(*row) if row else None

    wait_for(lambda: position() == Position(1, 0))


def change(path: Path, *statements: str) -> None:
    connection = sqlite3.connect(path)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE event SET body = 'no JSON' WHERE event_id = 5",
        "UPDATE event SET body = CAST(x'ff00ff' AS TEXT) WHERE event_id = 5",
        "UPDATE event SET kind = 'left' WHERE event_id = 5",
        "UPDATE event SET clock_s = 1e300 WHERE event_id = 5",
    ],
)
def test_a_damaged_event_blocks_no_sink_and_is_counted(
    opened: Callable[..., EventLog], told: Told, statement: str
) -> None:
    log, sink = opened(), ListSink()
    sink.here = False
    log.attach("a", sink, told.sink, QUICK)
    append(log, *range(10))
    assert log.drain(PATIENCE_S)
    change(log.path, statement)
    damage: list[str | None] = []
    log, sink = opened(on_damage=damage.append), ListSink()
    log.attach("a", sink, told.sink, QUICK)
    append(log, 10)
    wait_for(lambda: sink.numbers == [1, 2, 3, 4, 6, 7, 8, 9, 10, 11])
    assert log.status()["sinks"]["a"]["skipped"] == 1
    assert damage and damage[-1] is not None and "1 rows" in damage[-1] and "familiar repair" in damage[-1]
    assert told.troubles == [] and told.lines == []


def test_an_event_damaged_under_a_running_daemon_is_noticed_when_a_sink_comes_to_it(
    opened: Callable[..., EventLog], told: Told
) -> None:
    damage: list[str | None] = []
    log, sink = opened(on_damage=damage.append), ListSink()
    sink.here = False
    log.attach("a", sink, told.sink, QUICK)
    append(log, *range(10))
    assert log.flush(PATIENCE_S)
    wait_for(lambda: told.sinks)
    append(log, *range(10, 200))
    assert log.flush(PATIENCE_S)
    change(log.path, "UPDATE event SET camera = 'elsewhere' WHERE event_id = 150")
    sink.here = True
    wait_for(lambda: len(sink.events) == 199)
    wait_for(lambda: damage and damage[-1] is not None and "1 rows" in damage[-1])


@pytest.mark.parametrize("column", ["name", "position"])
def test_a_sink_whose_place_is_damaged_gets_everything_once_more_and_only_once(
    opened: Callable[..., EventLog], told: Told, column: str
) -> None:
    log, sink = opened(), ListSink()
    log.attach("a", sink, told.sink)
    append(log, *range(5))
    wait_for(lambda: len(sink.events) == 5)
    assert log.drain(PATIENCE_S)
    change(log.path, f"UPDATE sink SET {column} = 3")
    for wanted in ([1, 2, 3, 4, 5, 6], [7]):
        log, sink = opened(), ListSink()
        log.attach("a", sink, told.sink)
        append(log, 9)
        wait_for(lambda sink=sink, wanted=wanted: sink.numbers == wanted)
        assert log.drain(PATIENCE_S)


def test_a_log_whose_own_row_is_damaged_goes_on(opened: Callable[..., EventLog], told: Told) -> None:
    log = opened()
    append(log, *range(5))
    assert log.drain(PATIENCE_S)
    change(log.path, "UPDATE meta SET clock_s = -1e9, clean = 1")
    log = opened()
    append(log, 5)
    assert log.drain(PATIENCE_S)
    assert stored(log.path) == list(range(6))
    with EventStore(log.path) as store:
        assert store.damaged == 0 and store.clock_s >= 0
    assert told.lines == []


def test_what_a_reader_keeps_of_somebody_forgotten_goes_when_it_ends(
    opened: Callable[..., EventLog], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_runtime.storage.sqlite.BUSY_S", 0.1)
    log = opened()
    log.append(make_event(0, kind="identified", person="Ada", candidate="Ada"))
    assert log.flush(PATIENCE_S)
    reader = sqlite3.connect(log.path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM event").fetchall()
    log.know(Directory.of({}, {}, frozenset({"a1"})))
    log.flush(PATIENCE_S)
    assert log.remains

    def anywhere() -> bool:
        return any(b"a1" in file.read_bytes() for file in log.path.parent.glob("events.db*") if "shm" not in file.name)

    assert anywhere()
    reader.close()
    wait_for(lambda: not log.remains)
    assert not anywhere()
