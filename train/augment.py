"""Views of a face: small moves of the alignment, and what a camera does to light; every draw is seeded."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_runtime.types import Floats, Pixels
from train.recipe import AugmentPart


@dataclass(frozen=True)
class Geometry:
    """One move a face.

    Attributes:
        linear: float32 (N, 2, 2), rotation and scale.
        shift: float32 (N, 2), px of the crop.
        flip: bool (N,), mirrored after the alignment.
    """

    linear: Floats
    shift: Floats
    flip: NDArray[np.bool_]


def draw_geometry(part: AugmentPart, count: int, rng: np.random.Generator) -> Geometry:
    """Draw one move for each of ``count`` faces."""
    angle = np.deg2rad(rng.uniform(-part.rotate_deg, part.rotate_deg, count))
    scale = 1 + rng.uniform(-part.scale, part.scale, count)
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    linear = np.stack([np.stack([cos, -sin], -1), np.stack([sin, cos], -1)], 1)
    shift = rng.uniform(-part.shift_px, part.shift_px, (count, 2))
    flip = rng.random(count) < (0.5 if part.flip else 0.0)
    return Geometry(linear.astype(np.float32), shift.astype(np.float32), flip)


def moved(landmarks: Floats, geometry: Geometry) -> Floats:
    """Landmarks (N, 5, 2) turned and scaled about their own centre, then shifted; aligning by them moves the view."""
    centre = landmarks.mean(1, keepdims=True)
    turned = np.einsum("nij,nkj->nki", geometry.linear, landmarks - centre)
    return np.asarray(turned + centre + geometry.shift[:, None], np.float32)


def photometric(chips: Pixels, part: AugmentPart, rng: np.random.Generator) -> Pixels:
    """What cameras do to the same face: light, contrast, colour cast, noise, blur.

    Args:
        chips: uint8 (N, h, w, 3) RGB.
        part: how much of each.
        rng: the draws.

    Returns:
        uint8 (N, h, w, 3) RGB, a new array.
    """
    count, height = chips.shape[:2]
    pixels = chips.astype(np.float32)
    if part.light:
        per_face, per_channel = (count, 1, 1, 1), (count, 1, 1, 3)
        mean = pixels.mean((1, 2, 3), keepdims=True)
        contrast = np.exp(rng.normal(0, 0.15 * part.light, per_face)).astype(np.float32)
        gain = np.exp(rng.normal(0, 0.15 * part.light, per_face) + rng.normal(0, 0.04 * part.light, per_channel))
        # Light that comes from one side: a gain that runs linearly across the face.
        across = np.linspace(-1, 1, height, dtype=np.float32)
        slope = rng.normal(0, 0.12 * part.light, (2, count, 1, 1, 1)).astype(np.float32)
        side = 1 + slope[0] * across[None, :, None, None] + slope[1] * across[None, None, :, None]
        pixels = ((pixels - mean) * contrast + mean) * gain.astype(np.float32) * side
    if part.blur:
        for index in np.flatnonzero(rng.random(count) < part.blur):
            sigma = rng.uniform(0.005, 0.025) * height
            pixels[index] = cv2.GaussianBlur(pixels[index], (0, 0), sigma)
    if part.noise:
        strength = rng.uniform(0, part.noise, (count, 1, 1, 1)).astype(np.float32)
        pixels += strength * rng.standard_normal(pixels.shape, np.float32)
    return np.asarray(np.rint(np.clip(pixels, 0, 255)), np.uint8)
