"""What is measured of drawn strangers: it finds the excess that is there, and no excess where there is no excess."""

from __future__ import annotations

import numpy as np
import pytest

from convert.cohort.correction import Track, measure_realism, running
from edge_runtime.geometry.embeddings import normalise
from edge_runtime.types import Floats


def units(count: int, seed: int, dims: int = 12) -> Floats:
    return normalise(np.random.default_rng(seed).normal(size=(count, dims)).astype(np.float32))[0]


def test_strangers_of_the_same_kind_need_no_correction() -> None:
    like = measure_realism(units(4000, 0), units(1000, 1), units(400, 2))
    assert abs(like.offset) < 0.2 and abs(like.size) < 0.1 and abs(like.rate) < 0.15
    assert like.track == 0 and like.track_people == 0


def test_strangers_who_crowd_nearer_are_found_out() -> None:
    enrolled = units(400, 2)
    rng = np.random.default_rng(3)
    near = normalise(units(1000, 1) + 2.0 * enrolled[rng.integers(0, 400, 1000)])[0]
    like = measure_realism(units(4000, 0), near, enrolled)
    assert like.real(0.001, 300) > 3 * 0.001
    assert like.real(0.001, 300) > 1.5 * like.real(0.001, 3)


def test_tracks_pass_more_often_than_pictures_and_never_as_themselves() -> None:
    enrolled = units(60, 4)
    rng = np.random.default_rng(5)
    views = normalise((enrolled[:, None] + 0.25 * rng.normal(size=(60, 6, 12))).reshape(-1, 12).astype(np.float32))[0]
    tracks = [Track(rows, number) for number, rows in enumerate(views.reshape(60, 6, 12))]
    like = measure_realism(units(4000, 0), units(1000, 1), enrolled, tracks)
    assert like.track_people == 60 and 0 < like.track < 2
    unmasked = measure_realism(units(4000, 0), units(1000, 1), enrolled, [Track(t.views) for t in tracks])
    assert unmasked.track != like.track


def test_a_track_is_judged_from_its_third_view_on() -> None:
    views = units(5, 6)
    codes = running(views)
    assert codes.shape == (3, 12)
    expected = 0.81 * views[0] + 0.9 * views[1] + views[2]
    assert codes[0] == pytest.approx(expected / np.linalg.norm(expected), abs=1e-6)
