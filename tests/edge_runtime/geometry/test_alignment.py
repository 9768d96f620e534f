import numpy as np
import pytest

from edge_runtime.errors import InputError
from edge_runtime.geometry.alignment import ARCFACE_112, Template, align, similarity, warp
from tests.builders import make_pixels


def test_no_faces_give_no_chips():
    chips = align(make_pixels(), np.zeros((0, 5, 2), np.float32), Template.arcface(28))
    assert chips.shape == (0, 28, 28, 3)
    assert chips.dtype == np.uint8


def test_landmarks_on_the_template_change_nothing():
    pixels = make_pixels(112, 112)
    chip = align(pixels, ARCFACE_112[None], Template.arcface(112))[0]
    assert np.abs(chip.astype(int) - pixels).max() <= 1


@pytest.mark.parametrize("scale", [0.2, 0.5, 1.0, 3.0])
def test_similarity_recovers_rotation_scale_and_shift(scale):
    angle = 0.4
    linear = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = ARCFACE_112 @ linear.T + [30, -7]
    matrix = similarity(ARCFACE_112, moved.astype(np.float32))
    np.testing.assert_allclose(matrix[:, :2], linear, atol=1e-4)
    np.testing.assert_allclose(matrix[:, 2], [30, -7], atol=1e-2)


def test_a_mirrored_face_is_not_mirrored_back():
    mirrored = ARCFACE_112 * [-1, 1] + [112, 0]
    matrix = similarity(ARCFACE_112, mirrored.astype(np.float32))
    assert np.linalg.det(matrix[:, :2]) > 0


def test_shrinking_averages_instead_of_skipping():
    # One-pixel stripes: sampling every fourth pixel would give black or white, averaging gives grey.
    stripes = np.zeros((448, 448, 3), np.uint8)
    stripes[:, ::2] = 255
    chip = align(stripes, (ARCFACE_112 * 4 + 0.3)[None], Template.arcface(112))[0]
    assert np.abs(chip[20:-20, 20:-20].astype(float) - 127.5).max() < 12


def test_shrinking_does_not_shift_the_picture():
    # A disc's centre of mass must land where the transform says, at every supersampling factor.
    y, x = np.mgrid[:300, :300]
    disc = np.repeat((((x - 140) ** 2 + (y - 170) ** 2) < 60**2)[..., None] * 255, 3, 2).astype(np.uint8)
    for scale in (1.0, 0.5, 0.34, 0.2):
        matrix = np.array([[scale, 0, 3], [0, scale, 5]], np.float32)
        small = warp(disc, matrix, (120, 120) if scale < 0.4 else (300, 300))[..., 0].astype(float)
        rows, columns = np.mgrid[: small.shape[0], : small.shape[1]]
        centre = np.array([(small * columns).sum(), (small * rows).sum()]) / small.sum()
        np.testing.assert_allclose(centre, [140 * scale + 3, 170 * scale + 5], atol=0.06)


@pytest.mark.parametrize(
    "bad", [np.zeros((5, 2)), np.zeros((1, 4, 2)), np.zeros((1, 5, 2)), np.full((1, 5, 2), np.nan)]
)
def test_impossible_landmarks_are_refused(bad):
    with pytest.raises(InputError):
        align(make_pixels(), bad.astype(np.float32), Template.arcface(28))


def test_template_margin_cuts_and_adds():
    assert Template.arcface(100, 6).as_array()[0, 0] == pytest.approx(ARCFACE_112[0, 0] - 6, abs=1e-3)
    assert Template.arcface(160, -24).as_array()[0, 0] == pytest.approx(ARCFACE_112[0, 0] + 24, abs=1e-3)
    with pytest.raises(InputError, match="five"):
        Template(((0.0, 0.0),) * 4, (28, 28))
