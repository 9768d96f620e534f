"""MSE, PSNR and SSIM against the definitions, written out slowly."""

from __future__ import annotations

import numpy as np
import pytest

from edge_runtime.errors import InputError
from train.evaluation.reconstruction import mse, psnr, ssim


def pictures(count: int, height: int, width: int, channels: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((count, height, width, channels), np.float32)


def slow_ssim(x: np.ndarray, y: np.ndarray) -> float:
    """Equations 12 to 17 of Wang et al. (2004), window by window."""
    at = np.arange(11) - 5
    window = np.exp(-(at[:, None] ** 2 + at**2) / (2 * 1.5**2))
    window /= window.sum()
    values = []
    for top in range(x.shape[0] - 10):
        for left in range(x.shape[1] - 10):
            a, b = x[top : top + 11, left : left + 11], y[top : top + 11, left : left + 11]
            ma, mb = (window * a).sum(), (window * b).sum()
            va, vb = (window * (a - ma) ** 2).sum(), (window * (b - mb) ** 2).sum()
            cov = (window * (a - ma) * (b - mb)).sum()
            c1, c2 = 0.01**2, 0.03**2
            values.append((2 * ma * mb + c1) * (2 * cov + c2) / ((ma**2 + mb**2 + c1) * (va + vb + c2)))
    return float(np.mean(values))


def test_mse_and_psnr_by_hand():
    black, grey = np.zeros((2, 12, 12, 1), np.float32), np.full((2, 12, 12, 1), 0.1, np.float32)
    assert mse(black, grey).tolist() == pytest.approx([0.01, 0.01])
    assert psnr(black, grey).tolist() == pytest.approx([20, 20])
    assert psnr(black, black).tolist() == [np.inf, np.inf]


def test_each_picture_has_its_own_figure():
    a = np.zeros((2, 12, 12, 3), np.float32)
    b = a.copy()
    b[1, :, :, 0] = 1
    assert mse(a, b).tolist() == pytest.approx([0, 1 / 3])


def test_ssim_is_the_published_formula():
    x = pictures(2, 17, 14, 3)
    y = np.clip(x + 0.2 * pictures(2, 17, 14, 3, 1), 0, 1)
    expected = [np.mean([slow_ssim(a[..., c], b[..., c]) for c in range(3)]) for a, b in zip(x, y, strict=True)]
    assert ssim(x, y).tolist() == pytest.approx(expected, abs=1e-5)


def test_ssim_of_equal_inverted_and_small_pictures():
    x = pictures(1, 28, 28, 1)
    assert ssim(x, x)[0] == pytest.approx(1)
    assert ssim(x, 1 - x)[0] < 0
    assert ssim(x[:, :11, :11], x[:, :11, :11])[0] == pytest.approx(1)
    with pytest.raises(InputError, match="11x11"):
        ssim(x[:, :10], x[:, :10])


@pytest.mark.parametrize(
    "a, b",
    [
        (np.zeros((0, 12, 12, 1), np.float32), np.zeros((0, 12, 12, 1), np.float32)),
        (np.zeros((1, 12, 12, 1), np.float32), np.zeros((1, 12, 12, 3), np.float32)),
        (np.zeros((1, 12, 12, 1), np.uint8), np.zeros((1, 12, 12, 1), np.uint8)),
        (np.zeros((12, 12, 1), np.float32), np.zeros((12, 12, 1), np.float32)),
    ],
)
def test_anything_but_float_pictures_of_one_shape(a, b):
    with pytest.raises(InputError, match="float arrays"):
        mse(a, b)
