from __future__ import annotations

import numpy as np
import pytest

from edge_runtime.errors import InputError
from train.evaluation.judge import Trial, judge

PEOPLE, SIZE = 10, 24
ENROLLED = np.array([f"p{k}" for k in range(PEOPLE) for _ in range(6)])
SEARCHED = np.array([f"p{k}" for k in range(PEOPLE) for _ in range(6)])
STRANGE = np.array([f"s{k}" for k in range(200)])


def trial(spread: float, seed: int = 0) -> Trial:
    """Codes of people who lie ``spread`` about their middles, and strangers all over."""
    rng = np.random.default_rng(seed)
    middles = np.repeat(np.eye(PEOPLE, SIZE), 6, 0)
    enrolled, searches = (middles + rng.normal(0, spread, middles.shape) for _ in range(2))
    return Trial(*(values.astype(np.float32) for values in (enrolled, searches, rng.normal(size=(200, SIZE)))))


def test_the_same_codes_are_not_better():
    verdict = judge(trial(0.3), trial(0.3), ENROLLED, SEARCHED, STRANGE)
    assert verdict.old == verdict.new and verdict.low == verdict.high == 0 and verdict.chance == 1
    assert not verdict.better and "the old encoder stays" in verdict.sentence()


def test_codes_that_tell_people_apart_are_better_and_the_other_way_round_worse():
    worse, better = trial(0.6), trial(0.1, seed=0)
    verdict = judge(worse, better, ENROLLED, SEARCHED, STRANGE)
    assert verdict.better and verdict.new == 1 and verdict.low > 0 and verdict.chance < 0.01
    assert (verdict.searches, verdict.people, verdict.strangers) == (60, 10, 200)
    assert "better than before" in verdict.sentence()
    back = judge(better, worse, ENROLLED, SEARCHED, STRANGE)
    assert not back.better and back.high < 0 and back.old == verdict.new


def test_one_photo_more_is_chance():
    old, new = trial(0.1), trial(0.1)
    old.searches[0] = -old.searches[0]
    verdict = judge(old, new, ENROLLED, SEARCHED, STRANGE)
    assert verdict.new > verdict.old and not verdict.better and verdict.chance > 0.2


def test_a_name_for_strangers_is_no_gain():
    """Codes nearer to everybody's raise the threshold that strangers set."""
    old, new = trial(0.3), trial(0.3)
    new = Trial(new.enrolled, new.searches, (0.2 * new.strangers + np.eye(SIZE, dtype=np.float32)[0] * 3))
    assert judge(old, new, ENROLLED, SEARCHED, STRANGE).new < judge(old, old, ENROLLED, SEARCHED, STRANGE).old


@pytest.mark.parametrize("searched, strange", [(SEARCHED[:0], STRANGE), (SEARCHED, STRANGE[:20])])
def test_too_little_to_judge_by_is_refused(searched, strange):
    codes = trial(0.1)
    few = Trial(codes.enrolled, codes.searches[: len(searched)], codes.strangers[: len(strange)])
    with pytest.raises(InputError, match="strangers"):
        judge(few, few, ENROLLED, searched, strange)
