from __future__ import annotations

import itertools

import pytest

pytest.importorskip("tensorflow")

from train.fitting.parts import FitPart, OptimiserPart
from train.fitting.schedule import Schedule

COSINE = OptimiserPart("adamw", 0.01, schedule="cosine", warmup_steps=10)


def by_the_clock(minutes: float, seconds: list[float], first_wait: float = 0.0) -> list[dict[str, float]]:
    """The history of a run whose epochs take ``seconds``, the last again and again."""
    schedule, history = Schedule(COSINE, FitPart(minutes=minutes)), []
    while schedule.begun(history) < 1:
        taken = seconds[min(len(history), len(seconds) - 1)]
        end = schedule.reached(history)
        history.append({"progress": end, "seconds": taken, "waited": 0.0 if history else first_wait})
    return history


def test_by_epochs_progress_is_their_share():
    schedule = Schedule(COSINE, FitPart(epochs=4))
    assert schedule.begun([]) == 0 and schedule.reached([]) == 0.25
    assert schedule.reached([{"progress": 0.25}] * 3) == 1


def test_by_the_clock_it_ends_with_the_epoch_that_fits_best():
    even = by_the_clock(10, [60])
    assert len(even) == 10 and even[-1]["progress"] == 1
    steps = [b["progress"] - a["progress"] for a, b in itertools.pairwise(even[1:])]
    assert max(steps) == pytest.approx(min(steps))
    assert len(by_the_clock(10, [60, 60, 120])) == 6
    assert len(by_the_clock(0.1, [60])) == 2


def test_the_wait_for_the_first_views_is_not_taken_for_the_pace():
    steps = by_the_clock(10, [180, 60], first_wait=120)
    assert len(steps) == 8
    assert steps[1]["progress"] - steps[0]["progress"] == pytest.approx(0.99 / 7)


def test_the_time_left_is_that_of_the_epochs_or_of_the_clock():
    first = {"progress": 0.01, "seconds": 90.0, "waited": 30.0}
    assert Schedule(COSINE, FitPart(epochs=4)).left_s([first]) == 3 * 60
    assert Schedule(COSINE, FitPart(epochs=4)).left_s([first, first | {"seconds": 50.0}]) == 2 * 50
    assert Schedule(COSINE, FitPart(minutes=10)).left_s([first]) == 510


def test_the_rate_warms_up_and_falls_to_nothing():
    schedule = Schedule(COSINE, FitPart())
    rates = [schedule.rate(step / 1000, step) for step in range(1001)]
    assert rates[0] == pytest.approx(0.001, rel=1e-3) and max(rates) == rates[9] and rates[-1] == pytest.approx(0)
    assert rates[500] == pytest.approx(0.005)
    # However few steps there are, a fifth of the way is the longest that warming up takes.
    assert schedule.rate(0.2, 1) == pytest.approx(0.01 * 0.9045, rel=1e-3)


def test_a_constant_rate_is_constant():
    schedule = Schedule(OptimiserPart("adam", 0.01), FitPart())
    assert {schedule.rate(p, s) for p, s in ((0, 0), (0.5, 10), (1, 100))} == {0.01}
