"""From which length on a code is of a face."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("ai_edge_litert")

from convert.model.strangers import shortest


def test_hardly_any_face_is_shorter_and_what_is_far_shorter_is_none() -> None:
    faces = np.random.default_rng(0).normal(20, 2, 5000).astype(np.float32)
    assert shortest(faces) == pytest.approx(0.65 * 20, rel=0.01)
    # Where faces themselves differ so much, the shortest of them count.
    faces = np.random.default_rng(0).normal(20, 6, 5000).astype(np.float32)
    assert (faces < shortest(faces)).mean() <= 0.001


def test_codes_of_one_length_and_few_codes_refuse_nothing() -> None:
    assert shortest(np.ones(500, np.float32)) < 1
    assert shortest(np.full(20, 20, np.float32)) == 0
