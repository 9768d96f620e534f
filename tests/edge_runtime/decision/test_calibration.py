"""Calibration: the threshold keeps the owner's target on strangers it has never seen, and says when it cannot."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edge_runtime.bundle.cohort_correction import CohortCorrection
from edge_runtime.decision.calibration import calibrate
from edge_runtime.errors import InputError
from edge_runtime.gallery.templates import Templates
from edge_runtime.metrics.biometrics import wilson_interval
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
    return int(((strangers @ templates.person_embeddings().T).max(1) >= threshold).sum())


def test_nobody_enrolled_means_everybody_is_a_stranger() -> None:
    calibration = calibrate(Templates.empty(SIZE), unit_codes(100, 0), 100, 1.0)
    assert calibration.threshold == math.inf and calibration.note and calibration.expected_per_1000 == 0
    assert len(calibration.stranger_scores) == 0


@pytest.mark.parametrize("target", [150.0, 200.0, 500.0])
def test_where_enough_pass_they_are_counted(target: float) -> None:
    strangers, templates = unit_codes(1000, 1), make_templates()
    calibration = calibrate(templates, strangers, 1000, target)
    passing = accepted(calibration.threshold, templates, strangers)
    assert target - 2 <= passing <= target and not calibration.extrapolated
    assert calibration.expected_per_1000 <= target + 1e-6 and calibration.note is None and calibration.supported
    low, high = calibration.interval
    assert low < passing < high


@pytest.mark.parametrize("target", [5.0, 20.0, 60.0])
def test_rarer_targets_follow_the_tail(target: float) -> None:
    strangers, templates = unit_codes(1000, 1), make_templates()
    calibration = calibrate(templates, strangers, 1000, target)
    assert calibration.extrapolated and calibration.note is None
    assert calibration.expected_per_1000 == pytest.approx(target) == calibration.rate_per_1000(calibration.threshold)
    assert calibration.interval[0] < target < calibration.interval[1]
    assert accepted(calibration.threshold, templates, unit_codes(40_000, 7)) / 40 == pytest.approx(target, rel=0.5)


def test_target_is_kept_on_strangers_never_seen() -> None:
    templates, rates = make_templates(), []
    for seed in range(60):
        calibration = calibrate(templates, unit_codes(400, 1000 + seed), 400, 20.0)
        rates.append(accepted(calibration.threshold, templates, unit_codes(4000, 5000 + seed)) / 4)
    assert np.mean(rates) == pytest.approx(20, abs=3)


def test_target_beyond_the_evidence_follows_the_tail_and_says_what_is_not_known() -> None:
    strangers, templates = unit_codes(1000, 2), make_templates()
    calibration = calibrate(templates, strangers, 1000, 1.0)
    assert calibration.supported_per_1000 == pytest.approx(3.0) and not calibration.supported
    assert calibration.note and "3 of 1,000, not 1" in calibration.note and "as high as" in calibration.note
    assert calibration.expected_per_1000 == pytest.approx(1.0)
    assert calibration.interval[0] < 1 < calibration.interval[1]


def test_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    templates, held, many = make_templates(), [], unit_codes(200_000, 31)
    best = (many @ templates.person_embeddings().T).max(1)
    for seed in range(60):
        calibration = calibrate(templates, unit_codes(600, 2000 + seed), 600, 2.0)
        truth = 1000 * float((best >= calibration.threshold).mean())
        held.append(calibration.interval[0] <= truth <= calibration.interval[1])
    assert np.mean(held) >= 0.85


def test_a_handful_of_strangers_gives_the_strictest_they_support() -> None:
    strangers, templates = unit_codes(60, 2), make_templates()
    calibration = calibrate(templates, strangers, 60, 10.0)
    assert accepted(calibration.threshold, templates, strangers) == 0 and not calibration.extrapolated
    assert calibration.note and "strictest" in calibration.note and calibration.interval[0] == 0


def test_a_stranger_between_two_people_gets_no_name_and_does_not_count() -> None:
    templates, strangers = make_templates(30), unit_codes(2000, 8)
    loose, strict = (calibrate(templates, strangers, 2000, 20.0, margin) for margin in (0.0, 0.1))
    assert strict.threshold < loose.threshold
    scores = np.sort(unit_codes(20_000, 9) @ templates.person_embeddings().T, axis=1)
    named = (scores[:, -1] >= strict.threshold) & (scores[:, -1] - scores[:, -2] >= 0.1)
    assert 1000 * named.mean() == pytest.approx(20, rel=0.4)


def test_what_is_known_of_real_strangers_moves_the_threshold() -> None:
    templates, strangers = make_templates(), unit_codes(2000, 10)
    plain = calibrate(templates, strangers, 2000, 20.0)
    like = CohortCorrection(offset=math.log(2), size=0.1, rate=-0.2, spread=0.1)
    real = calibrate(templates, strangers, 2000, 20.0, realism=like)
    assert real.threshold > plain.threshold and real.expected_per_1000 == pytest.approx(20)
    track = calibrate(templates, strangers, 2000, 20.0, realism=CohortCorrection(track=math.log(3), track_people=50))
    assert plain.rate_per_1000(track.threshold) == pytest.approx(20 / 3, rel=0.01)


def test_many_codes_of_few_people_do_not_support_more() -> None:
    strangers = unit_codes(1000, 3)
    few, many = (calibrate(make_templates(), strangers, people, 10.0) for people in (100, 1000))
    assert few.supported_per_1000 == pytest.approx(30.0) and few.note
    assert many.supported_per_1000 == pytest.approx(3.0) and not many.note
    assert few.threshold >= many.threshold and few.interval[1] > many.interval[1]


def test_cohort_without_people_supports_nothing() -> None:
    strangers, templates = unit_codes(200, 4), make_templates()
    calibration = calibrate(templates, strangers, 0, 10.0)
    assert calibration.note and calibration.interval == (0.0, 1000.0)
    assert accepted(calibration.threshold, templates, strangers) == 0
    nothing = calibrate(templates, unit_codes(0, 0), 0, 10.0)
    assert nothing.threshold == math.inf and nothing.note


def test_stricter_target_never_lowers_the_threshold() -> None:
    strangers, templates = unit_codes(1000, 5), make_templates()
    thresholds = [
        calibrate(templates, strangers, 1000, target).threshold for target in (0.1, 1, 3, 10, 50, 300, 999, 1000)
    ]
    assert thresholds == sorted(thresholds, reverse=True)
    assert thresholds[-1] == -1.0


def test_larger_gallery_needs_a_higher_threshold() -> None:
    strangers = unit_codes(1000, 6)
    small, large = (calibrate(make_templates(people), strangers, 1000, 10.0).threshold for people in (2, 60))
    assert large > small


def test_equal_scores_are_not_split_in_the_strangers_favour() -> None:
    templates = make_templates(1)
    strangers = np.repeat(templates.embeddings, 1000, axis=0)
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
