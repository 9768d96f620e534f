from __future__ import annotations

import numpy as np
import pytest

from edge_runtime.align import ARCFACE_112, Template, align, similarity
from tests.builders import make_pixels
from train.augment import draw_geometry, moved, photometric
from train.recipe import AugmentPart

EVERYTHING = AugmentPart(rotate_deg=8, scale=0.08, shift_px=4, flip=True, light=1, noise=8, blur=0.5)
POINTS = (ARCFACE_112 + 24).astype(np.float32)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_nobody_is_no_move():
    geometry = draw_geometry(EVERYTHING, 0, rng())
    assert moved(np.zeros((0, 5, 2), np.float32), geometry).shape == (0, 5, 2)


def test_no_augmentation_changes_nothing():
    geometry = draw_geometry(AugmentPart(), 3, rng())
    assert np.allclose(moved(np.stack([POINTS] * 3), geometry), POINTS, atol=1e-4) and not geometry.flip.any()
    chips = np.stack([make_pixels(16, 16, k) for k in range(3)])
    assert np.array_equal(photometric(chips, AugmentPart(), rng()), chips)


def test_a_move_is_a_similarity_within_its_limits():
    landmarks = np.stack([POINTS] * 500)
    geometry = draw_geometry(EVERYTHING, 500, rng())
    after = moved(landmarks, geometry)
    matrices = np.stack([similarity(POINTS, points) for points in after])
    scale = np.hypot(matrices[:, 0, 0], matrices[:, 1, 0])
    angle = np.degrees(np.arctan2(matrices[:, 1, 0], matrices[:, 0, 0]))
    assert 0.92 - 1e-3 < scale.min() < 0.94 and 1.06 < scale.max() < 1.08 + 1e-3
    assert -8.01 < angle.min() < -7 and 7 < angle.max() < 8.01
    shift = after.mean(1) - landmarks.mean(1)
    assert 3.5 < np.abs(shift).max() <= 4.001
    fit = np.stack([POINTS @ m[:, :2].T + m[:, 2] for m in matrices])
    assert np.abs(fit - after).max() < 0.01
    assert 0.4 < geometry.flip.mean() < 0.6


def test_landmarks_moved_right_move_the_view_right():
    picture = np.zeros((160, 160, 3), np.uint8)
    picture[:, 80:] = 255
    template = Template.arcface(112)
    still = align(picture, POINTS[None], template)[0]
    shifted = align(picture, POINTS[None] + np.float32([4, 0]), template)[0]
    assert (still[50, :, 0] > 127).argmax() - (shifted[50, :, 0] > 127).argmax() == 4


def test_light_differs_by_face_and_by_draw_but_not_by_seed():
    chips = np.stack([make_pixels(32, 32, 1)] * 4)
    once, again, other = (photometric(chips, EVERYTHING, rng(seed)) for seed in (0, 0, 1))
    assert once.dtype == np.uint8 and once.shape == chips.shape
    assert np.array_equal(once, again) and not np.array_equal(once, other)
    assert len({face.tobytes() for face in once}) == 4
    assert np.abs(once.astype(float) - chips).mean() == pytest.approx(25, abs=20)


def test_the_input_is_left_alone():
    chips = np.stack([make_pixels(16, 16, 1)])
    before = chips.copy()
    photometric(chips, EVERYTHING, rng())
    assert np.array_equal(chips, before)
