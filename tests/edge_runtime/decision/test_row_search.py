"""Search in int8: the same best row as float32 gives, or one within a quantisation step, in less memory."""

from __future__ import annotations

import numpy as np
import pytest

from edge_runtime.decision.matcher import Matcher
from edge_runtime.decision.row_search import RowSearch
from edge_runtime.errors import InputError
from edge_runtime.gallery.templates import Templates
from tests.edge_runtime.decision.test_matcher import make_calibration


def units(count: int, size: int = 128, seed: int = 0) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal((count, size), dtype=np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_no_rows_have_no_scores_and_zero_rows_score_zero() -> None:
    assert RowSearch(np.zeros((0, 8), np.float32)).scores(np.ones(8, np.float32)).shape == (0,)
    assert RowSearch(np.zeros((3, 8), np.float32)).scores(np.ones(8, np.float32)).tolist() == [0, 0, 0]


def test_the_best_rows_are_float32s_or_within_a_step() -> None:
    rows = units(30_000)
    compact = RowSearch(rows)
    for seed in range(40):
        probe = units(1, seed=100 + seed)[0] if seed % 2 else (rows[seed] + 0.7 * units(1, seed=seed)[0])
        probe = probe / np.linalg.norm(probe)
        exact, found = rows @ probe, compact.scores(probe)
        step = compact.step * np.abs(probe).sum() / 2
        ours, theirs = np.argsort(-found)[:5], np.argsort(-exact)[:5]
        assert np.abs(exact[ours] - found[ours]).max() <= step
        assert np.abs(np.sort(exact[ours]) - np.sort(exact[theirs])).max() <= 2 * step
        # Nobody else is said to score much less than they do: a margin over them is not made up.
        assert (exact - found).max() <= 2 * step
        if not seed % 2:
            assert found.argmax() == seed


def test_it_takes_less_than_a_third_of_the_memory() -> None:
    rows = units(100_000)
    assert RowSearch(rows).nbytes <= 0.3 * rows.nbytes


def test_other_shapes_and_values_are_refused() -> None:
    for rows in (np.zeros(4), np.full((2, 4), np.nan)):
        with pytest.raises(InputError, match="rows"):
            RowSearch(rows)


def test_a_matcher_of_many_people_answers_as_one_of_few(monkeypatch: pytest.MonkeyPatch) -> None:
    codes = units(400, 32)
    index = np.arange(400) // 2
    templates = Templates(tuple(map(str, range(200))), index, codes, np.ones(400, np.float32), np.arange(400))
    exact = Matcher(templates, make_calibration(), 0.02).match(codes[:50])
    monkeypatch.setattr("edge_runtime.decision.matcher._MANY_PEOPLE", 100)
    found = Matcher(templates, make_calibration(), 0.02).match(codes[:50])
    assert [match.person for match in found] == [match.person for match in exact]
    assert np.allclose([m.score for m in found], [m.score for m in exact], atol=0.01)
