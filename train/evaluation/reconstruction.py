"""How well pictures come back from an autoencoder: MSE, PSNR and SSIM, one number a picture."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import InputError
from edge_runtime.types import Floats

Reals = NDArray[np.float64]


def mse(original: Floats, restored: Floats) -> Reals:
    """Mean squared error, float64 (N,), of pictures float (N, h, w, C) in 0..1."""
    a, b = _pictures(original, restored)
    return np.asarray(((a - b) ** 2).mean((1, 2, 3)), np.float64)


def psnr(original: Floats, restored: Floats) -> Reals:
    """Peak signal-to-noise ratio in dB, float64 (N,), of pictures float (N, h, w, C) in 0..1; inf where equal."""
    with np.errstate(divide="ignore"):
        return np.asarray(-10 * np.log10(mse(original, restored)), np.float64)


def ssim(original: Floats, restored: Floats) -> Reals:
    """Structural similarity, float64 (N,), of pictures float (N, h, w, C) in 0..1; the mean over channels.

    Wang, Bovik, Sheikh, Simoncelli: "Image Quality Assessment: From Error Visibility to Structural Similarity",
    2004: Gaussian window of 11, sigma 1.5, K1 0.01, K2 0.03, and only where the window lies inside the picture.

    Raises:
        InputError: two shapes, or pictures smaller than the window.
    """
    a, b = _pictures(original, restored)
    if min(a.shape[1:3]) < 11:
        raise InputError(f"SSIM: expected pictures of 11x11 px or more, received {a.shape[2]}x{a.shape[1]}")
    values = np.empty(len(a))
    for i, (x, y) in enumerate(zip(a, b, strict=True)):
        maps = np.concatenate([x, y, x * x, y * y, x * y], 2)
        blurred = cv2.GaussianBlur(maps, (11, 11), 1.5)[5:-5, 5:-5]
        mx, my, xx, yy, xy = np.split(blurred, 5, 2)
        index = ((2 * mx * my + 1e-4) * (2 * (xy - mx * my) + 9e-4)) / (
            (mx * mx + my * my + 1e-4) * (xx - mx * mx + yy - my * my + 9e-4)
        )
        values[i] = index.mean()
    return values


def _pictures(original: Floats, restored: Floats) -> tuple[Reals, Reals]:
    a, b = np.asarray(original), np.asarray(restored)
    if a.shape != b.shape or a.ndim != 4 or 0 in a.shape or "f" not in {a.dtype.kind} & {b.dtype.kind}:
        raise InputError(
            f"pictures: expected two float arrays (N, h, w, C) in 0..1 of one shape, "
            f"received {a.dtype} {a.shape} and {b.dtype} {b.shape}"
        )
    return a.astype(np.float64), b.astype(np.float64)
