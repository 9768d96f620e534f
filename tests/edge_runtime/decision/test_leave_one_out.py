"""Leave-one-out: each photo is searched without itself."""

from __future__ import annotations

import numpy as np
import pytest

from edge_runtime.decision.leave_one_out import leave_one_out
from edge_runtime.gallery.templates import Templates
from edge_runtime.geometry.embeddings import normalise


def made(people: dict[str, list[list[float]]]) -> Templates:
    index = [number for number, codes in enumerate(people.values()) for _ in codes]
    codes = normalise(np.array([code for codes in people.values() for code in codes], np.float32).reshape(-1, 2))[0]
    count = len(index)
    return Templates(
        tuple(people), np.array(index, np.int64), codes, np.arange(1, count + 1, dtype=np.float32), np.arange(count)
    )


def test_nobody_and_single_photos_say_nothing() -> None:
    for templates in (Templates.empty(2), made({"Anna": [[1, 0]], "Bob": [[0, 1]]})):
        left = leave_one_out(templates)
        assert len(left) == 0 and left.miss_rate(0.5, 0.0) is None and left.miss_interval(0.5, 0.0) is None


def test_scores_are_to_the_persons_other_photos_by_weight() -> None:
    left = leave_one_out(made({"Anna": [[1, 0], [0, 1], [1, 1]], "Bob": [[-1, 0]]}))
    rest = np.array([0.0, 2.0]) + 3 * np.array([1.0, 1.0]) / np.sqrt(2)
    assert left.row.tolist() == [0, 1, 2]
    assert left.own[0] == pytest.approx(rest[0] / np.linalg.norm(rest))
    assert left.other.tolist() == pytest.approx([-1, 0, -np.sqrt(0.5)])


def test_misses_are_low_scores_small_leads_and_other_people() -> None:
    left = leave_one_out(made({"Anna": [[0, 1], [1, 0.1], [1, 0]], "Bob": [[0, 1]]}))
    assert left.named(0.5, 0.0).tolist() == [False, True, True]
    assert left.miss_rate(0.5, 0.0) == pytest.approx(1 / 3)
    assert left.miss_rate(0.999, 0.0) == 1.0
    low, high = left.miss_interval(0.5, 0.0) or (1, 0)
    assert low < 1 / 3 < high


def test_a_person_alone_needs_no_margin() -> None:
    left = leave_one_out(made({"Anna": [[1, 0], [1, 0.1]]}))
    assert left.miss_rate(0.5, 0.3) == 0.0
