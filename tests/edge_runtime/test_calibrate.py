"""Calibration: the threshold keeps the owner's wish on strangers it has never seen, and says when it cannot."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edge_runtime.calibrate import calibrate
from edge_runtime.errors import InputError
from edge_runtime.metrics import wilson_interval
from edge_runtime.templates import Templates
from edge_runtime.types import Floats

SIZE = 24


def unit_codes(count: int, seed: int) -> Floats:
    codes = np.random.default_rng(seed).normal(size=(count, SIZE)).astype(np.float32)
    return np.asarray(codes / np.linalg.norm(codes, axis=1, keepdims=True), np.float32)


def make_templates(people: int = 4, seed: int = 99) -> Templates:
    codes = unit_codes(people, seed)
    return Templates(
        tuple(map(str, range(people))), np.arange(people), codes, np.ones(people, np.float32), np.arange(people)
    )


def accepted(threshold: float, templates: Templates, strangers: Floats) -> int:
    return int(((strangers @ templates.person_codes().T).max(1) >= threshold).sum())


def test_nobody_enrolled_means_everybody_is_a_stranger() -> None:
    calibration = calibrate(Templates.empty(SIZE), unit_codes(100, 0), 100, 1.0)
    assert calibration.threshold == math.inf and calibration.note and calibration.expected_per_1000 == 0
    assert len(calibration.stranger_scores) == 0


@pytest.mark.parametrize("wish", [5.0, 20.0, 100.0, 500.0])
def test_no_more_of_the_cohort_pass_than_wished(wish: float) -> None:
    strangers, templates = unit_codes(1000, 1), make_templates()
    calibration = calibrate(templates, strangers, 1000, wish)
    passing = accepted(calibration.threshold, templates, strangers)
    assert wish - 2 <= passing <= wish
    assert calibration.expected_per_1000 <= wish and calibration.note is None
    low, high = calibration.interval
    assert low < passing < high


def test_wish_is_kept_on_strangers_never_seen() -> None:
    templates, rates = make_templates(), []
    for seed in range(60):
        calibration = calibrate(templates, unit_codes(400, 1000 + seed), 400, 20.0)
        rates.append(accepted(calibration.threshold, templates, unit_codes(4000, 5000 + seed)) / 4)
    assert np.mean(rates) == pytest.approx(20, abs=3)


def test_wish_beyond_the_evidence_takes_the_strictest_and_says_so() -> None:
    strangers, templates = unit_codes(1000, 2), make_templates()
    calibration = calibrate(templates, strangers, 1000, 1.0)
    assert calibration.supported_per_1000 == pytest.approx(3.0)
    assert calibration.note and "3 of 1,000, not for 1" in calibration.note
    assert accepted(calibration.threshold, templates, strangers) == 0
    assert calibration.threshold == pytest.approx(float(calibration.stranger_scores[-1]), abs=1e-6)
    assert 0 < calibration.expected_per_1000 < 1.1 and calibration.interval[0] == 0


def test_many_codes_of_few_people_do_not_vouch_for_more() -> None:
    strangers = unit_codes(1000, 3)
    few, many = (calibrate(make_templates(), strangers, people, 10.0) for people in (100, 1000))
    assert few.supported_per_1000 == pytest.approx(30.0) and few.note
    assert many.supported_per_1000 == pytest.approx(3.0) and not many.note
    assert few.threshold >= many.threshold and few.interval[1] > many.interval[1]


def test_cohort_without_people_vouches_for_nothing() -> None:
    strangers, templates = unit_codes(200, 4), make_templates()
    calibration = calibrate(templates, strangers, 0, 10.0)
    assert calibration.note and calibration.interval == (0.0, 1000.0)
    assert accepted(calibration.threshold, templates, strangers) == 0
    nothing = calibrate(templates, unit_codes(0, 0), 0, 10.0)
    assert nothing.threshold == math.inf and nothing.note


def test_stricter_wish_never_lowers_the_threshold() -> None:
    strangers, templates = unit_codes(1000, 5), make_templates()
    thresholds = [calibrate(templates, strangers, 1000, wish).threshold for wish in (0.1, 1, 3, 10, 50, 300, 999, 1000)]
    assert thresholds == sorted(thresholds, reverse=True)
    assert thresholds[-1] == -1.0


def test_larger_gallery_needs_a_higher_threshold() -> None:
    strangers = unit_codes(1000, 6)
    small, large = (calibrate(make_templates(people), strangers, 1000, 10.0).threshold for people in (2, 60))
    assert large > small


def test_equal_scores_are_not_split_in_the_strangers_favour() -> None:
    templates = make_templates(1)
    strangers = np.repeat(templates.codes, 1000, axis=0)
    assert accepted(calibrate(templates, strangers, 1000, 100.0).threshold, templates, strangers) == 0


def test_wilson_interval_gives_the_published_values() -> None:
    # Brown, Cai, DasGupta, "Interval estimation for a binomial proportion", 2001: formula (4).
    assert wilson_interval(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)
    assert wilson_interval(50, 100) == pytest.approx((0.4038, 0.5962), abs=1e-4)


def test_unusable_arguments_are_refused() -> None:
    with pytest.raises(InputError, match=r"\(S, 24\)"):
        calibrate(make_templates(), np.zeros((5, 3), np.float32), 5, 1.0)
    with pytest.raises(InputError, match="0 to 1000"):
        calibrate(make_templates(), unit_codes(5, 0), 5, -1.0)
