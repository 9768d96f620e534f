"""Matching: names need score and margin, and a face nobody has stays nobody's."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edge_runtime.decision.calibration import Calibration, calibrate
from edge_runtime.decision.matcher import Matcher
from edge_runtime.errors import InputError
from edge_runtime.gallery.templates import Templates
from edge_runtime.types import Floats


def unit(*values: float) -> Floats:
    return np.asarray(np.array(values) / np.linalg.norm(values), np.float32)


def make_templates(*people: tuple[str, list[Floats]]) -> Templates:
    index = [i for i, (_, codes) in enumerate(people) for _ in codes]
    codes = np.array([code for _, each in people for code in each], np.float32)
    count = len(index)
    names = tuple(name for name, _ in people)
    return Templates(names, np.array(index), codes, np.ones(count, np.float32), 100 + np.arange(count))


def make_calibration(threshold: float = 0.5) -> Calibration:
    return Calibration(threshold, 1.0, 1.0, 3.0, np.linspace(0, 0.9, 10, dtype=np.float32))


TWO = make_templates(("Anna", [unit(1, 0, 0), unit(1, 0.2, 0)]), ("Bob", [unit(0, 1, 0)]))


def test_no_codes_and_nobody_enrolled() -> None:
    assert Matcher(TWO, make_calibration(), 0.02).match(np.zeros((0, 3), np.float32)) == []
    (match,) = Matcher(Templates.empty(3), make_calibration(math.inf), 0.02).match(unit(1, 0, 0)[None])
    assert match.person is None and match.candidate is None and match.template_id is None
    assert match.threshold == math.inf


def test_the_nearest_person_is_named_with_what_stands_behind_it() -> None:
    match, other = Matcher(TWO, make_calibration(), 0.02).match(np.stack([unit(1, 0, 0), unit(0, 1, 0.1)]))
    average = unit(*(unit(1, 0, 0) + unit(1, 0.2, 0)))
    assert match.person == match.candidate == "Anna" and match.runner_up == "Bob"
    assert match.similarity == pytest.approx(1) and match.template_id == 100
    assert match.score == pytest.approx(float(average[0]), abs=1e-6)
    assert match.margin == pytest.approx(float(average[0] - 0), abs=1e-6)
    assert match.threshold == 0.5
    assert other.person == "Bob" and other.template_id == 102


def test_score_below_the_threshold_is_a_stranger_with_a_candidate() -> None:
    (match,) = Matcher(TWO, make_calibration(0.95), 0.02).match(unit(1, 0, 1)[None])
    assert match.person is None and match.candidate == "Anna" and match.score > 0.6


def test_score_at_the_threshold_is_enough() -> None:
    one = make_templates(("Anna", [unit(1, 0, 0)]))
    assert Matcher(one, make_calibration(1.0), 0.0).match(unit(1, 0, 0)[None])[0].person == "Anna"


def test_two_people_too_alike_are_not_told_apart_by_guessing() -> None:
    code = unit(1, 1, 0)[None]
    alike = make_templates(("Anna", [unit(1, 0.9, 0)]), ("Bob", [unit(0.9, 1, 0)]))
    (refused,) = Matcher(alike, make_calibration(), 0.02).match(code)
    assert refused.person is None and refused.score > 0.99 and refused.margin < 0.02
    assert Matcher(alike, make_calibration(), 0.0).match(code)[0].person is not None


def test_margin_is_infinite_with_one_person() -> None:
    (match,) = Matcher(make_templates(("Anna", [unit(1, 0, 0)])), make_calibration(), 0.5).match(unit(1, 0.1, 0)[None])
    assert match.person == "Anna" and match.margin == math.inf and match.runner_up is None


def test_zero_code_is_nobodys_even_without_a_threshold() -> None:
    (match,) = Matcher(TWO, make_calibration(-1.0), 0.0).match(np.zeros((1, 3), np.float32))
    assert match.person is None and match.candidate is None and match.similarity == 0


def test_confidence_rises_with_the_score_and_is_never_certain() -> None:
    rng = np.random.default_rng(3)
    strangers = rng.normal(size=(2000, 24)).astype(np.float32)
    strangers /= np.linalg.norm(strangers, axis=1, keepdims=True)
    one = Templates(("Anna",), np.zeros(1, np.int64), strangers[:1], np.ones(1, np.float32), np.arange(1))
    matcher = Matcher(one, calibrate(one, strangers[1:], 1999, 10.0), 0.0)
    mixed = np.stack([w * strangers[0] + (1 - w) * strangers[1] for w in np.linspace(0, 1, 60)])
    codes = (mixed / np.linalg.norm(mixed, axis=1, keepdims=True)).astype(np.float32)
    matches = sorted(matcher.match(codes), key=lambda m: m.score)
    confidences = [m.confidence for m in matches]
    assert confidences == sorted(confidences)
    assert 0.001 <= confidences[0] < 0.1 and 0.9 < confidences[-1] <= 0.999


def test_person_whose_templates_cancel_out_is_never_the_answer() -> None:
    odd = make_templates(("Odd", [unit(0, 1, 0), unit(0, -1, 0)]), ("Anna", [unit(1, 0, 0)]))
    (match,) = Matcher(odd, make_calibration(), 0.02).match(unit(1, 0.2, 0)[None])
    assert match.person == "Anna"


def test_many_codes_at_once_are_the_same_as_one_by_one() -> None:
    rng = np.random.default_rng(0)
    codes = rng.normal(size=(50, 3)).astype(np.float32)
    codes /= np.linalg.norm(codes, axis=1, keepdims=True)
    matcher = Matcher(TWO, make_calibration(), 0.02)
    together, single = matcher.match(codes), [matcher.match(code[None])[0] for code in codes]
    assert [m.person for m in together] == [m.person for m in single]
    assert np.allclose([m.score for m in together], [m.score for m in single], atol=1e-6)


def test_codes_of_another_size_are_refused() -> None:
    with pytest.raises(InputError, match=r"\(N, 3\)"):
        Matcher(TWO, make_calibration(), 0.02).match(np.zeros((1, 4), np.float32))
