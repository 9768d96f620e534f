"""Which events a sink gets: by camera, kind, person and hour, and not the same again too soon."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_runtime.errors import ConfigError, SinkRefusedError
from edge_runtime.events.delivery import REFUSALS, Delivery
from edge_runtime.events.filters import EventFilter
from edge_runtime.events.log import EventLog
from edge_runtime.gallery.directory import Directory
from edge_runtime.sinks import CommonKeys, read_sink
from edge_runtime.types import Event
from tests.builders import make_event
from tests.edge_runtime.events.test_log import ListSink
from tests.waiting import PATIENCE_S, wait_for

WHO = Directory.of({"a1": "Ada", "b2": "Ben"}, {}, frozenset())
NOON = time.mktime((2026, 3, 4, 12, 0, 0, 0, 0, -1))


def keys(**table: Any) -> CommonKeys:
    return read_sink({"type": "jsonlines", **table}, "here").common


def admitted(events: list[Event], **table: Any) -> list[int]:
    """Numbers of the events that a filter lets through, one after the other."""
    sieve, passed = EventFilter(keys(**table)), []
    for event in events:
        if sieve.admits(event):
            sieve.note(event)
            passed.append(int(event.captured_s))
    return passed


def at(clock: str) -> float:
    hours, minutes = clock.split(":")
    return time.mktime((2026, 3, 4, int(hours), int(minutes), 0, 0, 0, -1))


def test_nothing_configured_lets_everything_through() -> None:
    assert admitted([]) == []
    assert admitted([make_event(0), make_event(1, kind="degraded", camera="")]) == [0, 1]


def test_cameras_kinds_and_people() -> None:
    events = [
        make_event(0, kind="identified", person="Ada", track_id="t", camera="front"),
        make_event(1, kind="identified", person="Ben", track_id="t", camera="back"),
        make_event(2, kind="unknown", track_id="t", camera="front"),
        make_event(3, kind="camera_lost", camera="front"),
        make_event(4, kind="degraded", camera=""),
    ]
    assert admitted(events, cameras=["front"]) == [0, 2, 3]
    assert admitted(events, kinds=["identified", "degraded"]) == [0, 1, 4]
    assert admitted(events, people=["ADA "]) == [0]
    assert admitted(events, people=["unknown", "Ben"]) == [1, 2]
    assert admitted(events, people=["Ada"], cameras=["back"]) == []


@pytest.mark.parametrize(
    ("hours", "clock", "passes"),
    [
        (["09:00-17:00"], "12:00", True),
        (["09:00-17:00"], "17:00", False),
        (["22:00-06:00"], "23:59", True),
        (["22:00-06:00"], "05:59", True),
        (["22:00-06:00"], "06:00", False),
        (["00:00-24:00"], "00:00", True),
        (["06:00-07:00", "20:00-21:00"], "20:30", True),
    ],
)
def test_hours_of_local_time(hours: list[str], clock: str, passes: bool) -> None:
    assert (admitted([make_event(0, wall_time=at(clock))], hours=hours) == [0]) is passes


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"hours": ["9-17"]}, "hours: expected HH:MM-HH:MM"),
        ({"hours": ["25:00-26:00"]}, "hours: expected HH:MM-HH:MM"),
        ({"kinds": ["identifed"]}, "did you mean 'identified'"),
        ({"people": "Ada"}, "expected a list"),
        ({"cooldown_s": -1}, "expected 0 to"),
    ],
)
def test_a_filter_that_makes_no_sense_is_refused(table: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        keys(**table)


def test_a_cooldown_counts_for_a_kind_a_camera_and_a_person() -> None:
    ada = {"kind": "identified", "person": "Ada", "track_id": "t"}
    events = [
        make_event(0, wall_time=NOON, **ada),
        make_event(1, wall_time=NOON + 1, **ada | {"person": "Ben"}),
        make_event(2, wall_time=NOON + 59, **ada),
        make_event(3, wall_time=NOON + 59, **ada, camera="back"),
        make_event(4, wall_time=NOON + 60, **ada),
        make_event(5, wall_time=NOON - 3600, **ada),  # the clock was set back
    ]
    assert admitted(events, cooldown_s=60) == [0, 1, 3, 4, 5]


def test_the_first_of_a_day_is_the_first_on_any_camera() -> None:
    ada = {"kind": "identified", "person": "Ada", "track_id": "t"}
    events = [
        make_event(0, wall_time=NOON, **ada),
        make_event(1, wall_time=NOON + 3600, **ada, camera="back"),
        make_event(2, wall_time=NOON + 3600, **ada | {"person": "Ben"}),
        make_event(3, wall_time=NOON + 86400, **ada),
    ]
    assert admitted(events, first_of_day=True) == [0, 2, 3]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[[], EventLog]]:
    logs: list[EventLog] = []

    def make() -> EventLog:
        logs.append(EventLog(tmp_path / "events.db", WHO, 30, 100, lambda _: None, lambda _: None, prune_every_s=0.01))
        return logs[-1]

    yield make
    for log in logs:
        log.close()


def now(number: int) -> Event:
    return make_event(number, kind="identified", person="Ada", track_id="t", wall_time=time.time())


def test_what_failed_to_arrive_is_not_held_back_as_had(opened: Callable[[], EventLog]) -> None:
    class Fickle(ListSink):
        tries = 0

        def emit(self, event: Event) -> None:
            self.tries += 1
            if self.tries == 1:
                raise OSError("not now")
            super().emit(event)

    log, sink = opened(), Fickle()
    log.attach("a", sink, lambda *_: None, (0.01, 0.05), keys(cooldown_s=600))
    log.append(now(0))
    log.append(now(1))
    wait_for(lambda: log.deliveries[0].position == 2)
    assert sink.numbers == [1]


def test_a_restart_does_not_begin_a_cooldown_or_a_day_anew(opened: Callable[[], EventLog]) -> None:
    table = keys(cooldown_s=600)
    first, second = ListSink(), ListSink()
    log = opened()
    log.attach("a", first, lambda *_: None, keys=table)
    log.append(now(0))
    wait_for(lambda: first.numbers == [1] and log.deliveries[0].position == 1)
    assert log.drain(PATIENCE_S)
    log = opened()
    log.attach("a", second, lambda *_: None, keys=table)
    log.append(now(1))
    log.append(make_event(2, kind="unknown", track_id="u", wall_time=time.time()))
    wait_for(lambda: log.deliveries[0].position == 3)
    assert (first.numbers, second.numbers) == ([1], [3])


def test_a_sink_that_refuses_is_set_aside_and_the_others_go_on(opened: Callable[[], EventLog]) -> None:
    class Refusing(ListSink):
        def emit(self, event: Event) -> None:
            if not self.here:
                raise SinkRefusedError("wrong password")
            super().emit(event)

    told: list[tuple[bool, str]] = []

    def tell(delivery: Delivery, error: Exception | None) -> None:
        told.append((delivery.aside, str(error)))

    log, sink, other = opened(), Refusing(), ListSink()
    sink.here = False
    delivery = log.attach("a", sink, tell, (0.001, 0.002))
    log.attach("b", other, tell)
    for number in range(5):
        log.append(make_event(number))
    wait_for(lambda: other.numbers == [1, 2, 3, 4, 5])
    wait_for(lambda: delivery.aside)
    assert told == [(False, "wrong password"), (True, "wrong password")]
    assert log.status()["sinks"]["a"] | {"delivered": 0} == {
        "delivered": 0,
        "behind": 5,
        "skipped": 0,
        "error": "wrong password",
        "refused": 0,
        "aside": True,
    }
    sink.here = True
    delivery.retry()
    wait_for(lambda: sink.numbers == [1, 2, 3, 4, 5])
    wait_for(lambda: told[2:] == [(False, "None")])
    assert REFUSALS > 1
