from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tests.builders import make_pixels
from train.encoder.camera import photometric
from train.encoder.recipe import AugmentPart

DISTURBANCES = {
    "light": 1.0, "noise": 8.0, "blur": 1.0, "low_resolution": 1.0, "jpeg": 1.0, "grey": 1.0, "occlusion": 1.0,
    "exposure": 1.0,
}  # fmt: skip
EVERYTHING = AugmentPart(**DISTURBANCES)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def faces(count: int = 4, side: int = 32) -> np.ndarray:
    smooth = make_pixels(side, side, 1).astype(float)
    grain = rng(5).normal(0, 20, smooth.shape)
    return np.stack([np.clip(smooth + grain, 0, 255).astype(np.uint8)] * count)


def detail(chips: np.ndarray) -> float:
    """Mean step from a pixel to the next."""
    return float(np.abs(np.diff(chips.astype(float), axis=2)).mean())


def test_nothing_asked_changes_nothing_and_nobody_stays_nobody():
    chips = np.stack([make_pixels(16, 16, k) for k in range(3)])
    assert np.array_equal(photometric(chips, AugmentPart(), rng()), chips)
    assert photometric(chips[:0], EVERYTHING, rng()).shape == (0, 16, 16, 3)


@pytest.mark.parametrize("name", DISTURBANCES)
def test_each_disturbance_differs_by_face_and_by_draw_but_not_by_seed(name):
    part = dataclasses.replace(AugmentPart(), **{name: DISTURBANCES[name]})
    chips = faces()
    before = chips.copy()
    once, again, other = (photometric(chips, part, rng(seed)) for seed in (0, 0, 1))
    assert np.array_equal(chips, before), "the input is left alone"
    assert once.dtype == np.uint8 and once.shape == chips.shape
    assert np.array_equal(once, again) and not np.array_equal(once, other)
    assert len({face.tobytes() for face in once}) == 4
    assert 0.5 < np.abs(once.astype(float) - chips).mean() < 100


def test_a_night_camera_has_no_colour():
    seen = photometric(faces(), AugmentPart(grey=1.0), rng())
    assert (np.ptp(seen, axis=-1) == 0).all() and np.ptp(seen) > 20


def test_blur_and_low_resolution_take_detail_away():
    noisy = rng().integers(0, 256, (8, 64, 64, 3)).astype(np.uint8)
    for name in ("blur", "low_resolution"):
        seen = photometric(noisy, dataclasses.replace(AugmentPart(), **{name: 1.0}), rng())
        assert max(detail(face[None]) for face in seen) < 0.85 * detail(noisy)
        assert seen.mean() == pytest.approx(noisy.mean(), abs=3)


def test_exposure_makes_some_faces_far_too_dark_and_some_far_too_bright():
    chips = np.full((60, 16, 16, 3), 120, np.uint8)
    levels = photometric(chips, AugmentPart(exposure=1.0), rng()).mean((1, 2, 3))
    assert levels.min() < 40 and levels.max() > 220


def test_dark_glasses_hide_both_eyes_and_a_mask_the_mouth():
    chips = np.full((300, 80, 80, 3), 200, np.uint8)
    hidden = (photometric(chips, AugmentPart(occlusion=1.0), rng()) != 200).any(-1)
    left, right, between, mouth, chin = (hidden[:, y, x] for y, x in ((37, 26), (37, 54), (50, 40), (68, 40), (76, 40)))
    glasses, mask = left & right & ~between & ~mouth, ~left & ~right & mouth & chin
    assert 30 < glasses.sum() < 120 and 60 < mask.sum() < 180


def test_something_in_the_way_is_plain_and_leaves_most_of_the_face():
    chips = rng().integers(0, 256, (20, 64, 64, 3)).astype(np.uint8)
    seen = photometric(chips, AugmentPart(occlusion=1.0), rng())
    hidden = (seen != chips).any(-1)
    assert hidden.mean((1, 2)).min() > 0.01 and hidden.mean((1, 2)).max() < 0.4
    for face, mask in zip(seen, hidden, strict=True):
        assert np.ptp(face[mask], axis=0).max() == 0


def test_a_share_is_a_share():
    seen = photometric(faces(400, 16), AugmentPart(occlusion=0.25), rng())
    assert 0.18 < (seen != faces(400, 16)).any((1, 2, 3)).mean() < 0.32
