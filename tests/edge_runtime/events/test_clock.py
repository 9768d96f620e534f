"""How old events are, whatever the wall clock does."""

from __future__ import annotations

import itertools

import pytest

from edge_runtime.events.clock import LogClock

DAY = 86_400.0
NOW = 1.8e9


def run(clock: LogClock, wall_s: float, hours: int, monotonic_s: float = 0.0) -> float:
    """An hour at a time, the wall clock in step; returns how far the count went."""
    before = clock.clock_s
    for hour in range(hours + 1):
        clock.tick(wall_s + 3600 * hour, monotonic_s + 3600 * hour)
    return clock.clock_s - before


def test_a_new_log_begins_at_nothing() -> None:
    assert LogClock(0.0, None, 15 * DAY).tick(NOW, 12345.0) == 0.0


def test_running_time_counts_once() -> None:
    assert run(LogClock(0.0, None, 15 * DAY), NOW, 48) == pytest.approx(2 * DAY)


def test_time_switched_off_counts_up_to_a_limit() -> None:
    assert LogClock(100.0, NOW, 15 * DAY).tick(NOW + 3 * DAY, 0.0) == pytest.approx(100 + 3 * DAY)
    assert LogClock(100.0, NOW, 15 * DAY).tick(NOW + 90 * DAY, 0.0) == pytest.approx(100 + 15 * DAY)


def test_time_switched_off_counts_although_the_clock_is_set_late() -> None:
    clock = LogClock(0.0, NOW, 15 * DAY)
    clock.tick(10.0, 0.0)  # 1970: no clock of its own
    clock.tick(NOW + 2 * DAY, 60.0)
    assert clock.clock_s == pytest.approx(2 * DAY, abs=61)


def test_a_jump_ahead_ages_by_the_limit_at_most() -> None:
    clock = LogClock(0.0, None, 15 * DAY)
    run(clock, NOW, 1)
    clock.tick(NOW + 1e9, 3601.0)
    assert clock.clock_s == pytest.approx(15 * DAY + 3600)


def test_a_clock_that_jumps_to_and_fro_ages_by_one_jump() -> None:
    clock = LogClock(0.0, NOW, 15 * DAY)
    for second, wall_s in enumerate(itertools.islice(itertools.cycle((NOW, NOW + 1e9, 0.0)), 60)):
        clock.tick(wall_s, float(second))
    assert clock.clock_s <= 15 * DAY + 60


def test_a_jump_back_ages_by_nothing_and_stops_nothing() -> None:
    clock = LogClock(0.0, NOW, 15 * DAY)
    clock.tick(NOW, 0.0)
    assert run(clock, NOW - 1e9, 24, 1.0) == pytest.approx(DAY, abs=2)


def test_after_a_day_the_earlier_time_is_believed() -> None:
    clock = LogClock(0.0, NOW + 1e9, 15 * DAY)
    run(clock, NOW, 26)
    before = clock.clock_s
    after = LogClock(clock.clock_s, clock.wall_s, 15 * DAY)
    assert after.tick(NOW + 26 * 3600 + 2 * DAY, 0.0) == pytest.approx(before + 2 * DAY)
