"""One similarity warp from a face in a picture to the chip an encoder expects.

The transform is the least-squares similarity between the five landmarks and the template's five points
(Umeyama, "Least-squares estimation of transformation parameters between two point patterns", 1991).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from edge_runtime.errors import InputError
from edge_runtime.types import Floats, Pixels, check_pixels

ARCFACE_112: Floats = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]],
    np.float32,
)
"""Where the five landmarks lie in a 112x112 chip (Deng et al., "ArcFace", 2019; insightface's numbers)."""

_MAX_SUPERSAMPLING = 8


@dataclass(frozen=True, slots=True)
class Template:
    """Where the landmarks go, and how large the chip is; data of a bundle.

    Attributes:
        points: five (x, y) in px of the chip, in the order of ``types.LANDMARKS``.
        size_wh: width and height of the chip in px.
    """

    points: tuple[tuple[float, float], ...]
    size_wh: tuple[int, int]

    def __post_init__(self) -> None:
        if len(self.points) != 5 or any(len(point) != 2 for point in self.points):
            raise InputError(f"template: expected five (x, y) points, received {self.points!r}")
        if len(self.size_wh) != 2 or min(self.size_wh) < 8 or max(self.size_wh) > 1024:
            raise InputError(f"template: expected a size of 8 to 1024 px, received {self.size_wh!r}")

    @classmethod
    def arcface(cls, size: int, margin_px: float = 0.0) -> Template:
        """The ArcFace template in a square chip of ``size`` px.

        Args:
            size: side of the chip, px.
            margin_px: how much of the 112x112 original is cut off on each side (negative: added).
        """
        scale = size / (112 - 2 * margin_px)
        points = (ARCFACE_112 - margin_px) * scale
        return cls(tuple((round(float(x), 4), round(float(y), 4)) for x, y in points), (size, size))

    def as_array(self) -> Floats:
        """float32 (5, 2), px of the chip."""
        return np.asarray(self.points, np.float32)


def similarity(source: Floats, target: Floats) -> Floats:
    """The similarity (scale, rotation, shift; no mirror) that takes ``source`` nearest to ``target``.

    Args:
        source: float (K, 2) points, px.
        target: float (K, 2) points, px.

    Returns:
        float32 (2, 3) matrix for points as columns (x, y, 1).

    Raises:
        InputError: points that coincide or are not finite have no similarity.
    """
    source = np.asarray(source, np.float64)
    target = np.asarray(target, np.float64)
    a, b = source - source.mean(0), target - target.mean(0)
    spread = float((a * a).sum())
    if not (np.isfinite(source).all() and np.isfinite(target).all()) or spread < 1e-6:
        raise InputError("landmarks: expected five distinct finite points, received coinciding or non-finite ones")
    cos = float((a * b).sum()) / spread
    sin = float((a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum()) / spread
    linear = np.array([[cos, -sin], [sin, cos]])
    shift = target.mean(0) - linear @ source.mean(0)
    return np.concatenate([linear, shift[:, None]], 1).astype(np.float32)


def align(pixels: Pixels, landmarks: Floats, template: Template) -> Pixels:
    """Warp faces into the template, each by one similarity; antialiased where that shrinks them.

    A face larger than the chip is sampled on a grid that is a whole number of times finer than the chip's
    and averaged down, so that no pixel of the face is skipped. Beyond the picture's edge the edge repeats.

    Args:
        pixels: uint8 (H, W, 3) RGB.
        landmarks: float32 (N, 5, 2), px.
        template: where the points go.

    Returns:
        uint8 (N, h, w, 3) RGB.

    Raises:
        InputError: wrong shapes, or landmarks that coincide.
    """
    check_pixels(pixels)
    landmarks = np.asarray(landmarks, np.float32)
    if landmarks.ndim != 3 or landmarks.shape[1:] != (5, 2):
        raise InputError(f"landmarks: expected float32 (N, 5, 2), received {landmarks.dtype} {landmarks.shape}")
    width, height = template.size_wh
    chips = np.empty((len(landmarks), height, width, 3), np.uint8)
    target = template.as_array()
    for chip, points in zip(chips, landmarks, strict=True):
        chip[:] = warp(pixels, similarity(points, target), template.size_wh)
    return chips


def warp(pixels: Pixels, matrix: Floats, size_wh: tuple[int, int]) -> Pixels:
    """Apply a (2, 3) similarity to a picture; antialiased by supersampling and box averaging.

    Args:
        pixels: uint8 (H, W, 3).
        matrix: float32 (2, 3), from ``pixels``' px to the result's px.
        size_wh: width and height of the result, px.
    """
    scale = math.hypot(float(matrix[0, 0]), float(matrix[1, 0]))
    fine = min(max(math.ceil(1.0 / max(scale, 1e-6) - 1e-3), 1), _MAX_SUPERSAMPLING)
    if fine > 1:
        # Pixel centres are at whole numbers, so scaling by `fine` also shifts by half a fine pixel.
        matrix = matrix * fine
        matrix[:, 2] += (fine - 1) / 2
    width, height = size_wh
    warped = cv2.warpAffine(
        pixels, matrix, (width * fine, height * fine), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    if fine > 1:
        warped = cv2.resize(warped, size_wh, interpolation=cv2.INTER_AREA)
    return np.asarray(warped, np.uint8)
