from __future__ import annotations

import numpy as np
import pytest

from edge_runtime.geometry.alignment import ARCFACE_112, Template, align, similarity
from train.encoder.augment import blend, draw_geometry, draw_morphs, moved
from train.encoder.recipe import AugmentPart

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


def test_a_morph_shows_both_people_where_it_says():
    part = AugmentPart(morph=0.5)
    morphs = draw_morphs(part, 400, rng())
    changed = morphs.partner != np.arange(400)
    assert 0.4 < changed.mean() < 0.6 and morphs.share.shape == (400, 4, 4)
    assert morphs.share.min() >= 0 and morphs.share.max() <= 1
    black, white = np.zeros((160, 160, 3), np.uint8), np.full((160, 160, 3), 255, np.uint8)
    for share in morphs.share[:20]:
        mixed = blend(black, white, share) / 255
        assert mixed.mean() == pytest.approx(share.mean(), abs=0.02)
    left = np.repeat(np.float32([[0, 0, 1, 1]]), 4, 0)
    mixed = blend(black, white, left)
    assert (mixed[:, :40] == 0).all() and (mixed[:, -40:] == 255).all()
    assert np.array_equal(draw_morphs(AugmentPart(), 5, rng()).partner, np.arange(5))
