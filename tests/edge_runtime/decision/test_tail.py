"""The tail: known distributions give their own quantiles back, and too few scores are only counted."""

from __future__ import annotations

import numpy as np
import pytest

from edge_runtime.decision.tail import Tail
from edge_runtime.errors import InputError


def test_no_scores_are_refused() -> None:
    with pytest.raises(InputError, match="received none"):
        Tail.fit(np.zeros(0), 10)


def test_an_exponential_tail_is_continued_beyond_what_was_seen() -> None:
    thresholds = [
        Tail.fit(np.random.default_rng(seed).exponential(size=1000), 1000).threshold(1e-3) for seed in range(200)
    ]
    assert np.mean(thresholds) == pytest.approx(-np.log(1e-3), rel=0.05)
    assert np.std(thresholds) < 1.2


def test_a_tail_with_an_end_stays_below_it() -> None:
    scores = 1 - np.random.default_rng(0).random(2000) ** (1 / 3)
    tail = Tail.fit(scores, 2000)
    assert tail.shape == pytest.approx(-1 / 3, abs=0.12)
    assert tail.threshold(1e-4) == pytest.approx(1 - 1e-4 ** (1 / 3), abs=0.08)
    assert tail.rate(1.2) == 0


def test_rate_and_threshold_are_each_others_inverse_and_never_rise() -> None:
    tail = Tail.fit(np.random.default_rng(1).normal(size=4000), 1000)
    rates = (0.5, 0.2, 0.05, 0.01, 1e-3, 1e-4)
    thresholds = [tail.threshold(rate) for rate in rates]
    assert thresholds == sorted(thresholds)
    assert [float(tail.rate(t)) for t in thresholds] == pytest.approx(rates, rel=0.01)


def test_few_people_are_counted_whatever_the_number_of_their_codes() -> None:
    scores = np.random.default_rng(2).normal(size=4000)
    assert Tail.fit(scores, 100).share == 0
    counted = Tail.fit(scores, 100)
    assert (scores >= counted.threshold(0.01)).sum() == 40
    assert (scores >= counted.threshold(0)).sum() == 0
    assert counted.threshold(1) == -1.0


def test_many_people_leave_little_to_the_fit() -> None:
    scores = np.random.default_rng(3).normal(size=100_000)
    assert Tail.fit(scores, 100_000).share == pytest.approx(0.0025)


def test_scores_that_never_count_are_no_part_of_the_tail() -> None:
    scores = np.random.default_rng(4).normal(size=4000)
    scores[scores < 2] = -np.inf  # hardly anybody left: nothing to fit
    tail = Tail.fit(scores, 1000)
    assert tail.share == 0 and np.isfinite(tail.threshold(0.001))


def test_several_samples_at_once_are_the_same_as_one_by_one() -> None:
    samples = np.random.default_rng(5).normal(size=(3, 600))
    together = Tail.fit(samples, 600).rate(2.5)
    assert together == pytest.approx([float(Tail.fit(row, 600).rate(2.5)) for row in samples])
