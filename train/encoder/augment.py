"""Views of a face: small moves of the alignment, and morphs of two people; every draw is seeded."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_runtime.types import Floats, Pixels
from train.encoder.recipe import AugmentPart

_REGIONS = 4
"""A morph's map of who shows where has so many knots a side."""


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

    def take(self, chosen: NDArray[np.int64]) -> Geometry:
        """The moves of some faces."""
        return Geometry(self.linear[chosen], self.shift[chosen], self.flip[chosen])


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


@dataclass(frozen=True)
class Morphs:
    """Who is blended into each face, and where.

    Attributes:
        partner: int64 (N,), the face blended in; a face's own number where it stays as it is.
        share: float32 (N, 4, 4) in 0..1, how much of the partner shows, interpolated over the crop.
    """

    partner: NDArray[np.int64]
    share: Floats

    def take(self, chosen: NDArray[np.int64]) -> Morphs:
        """The morphs of some faces."""
        return Morphs(self.partner[chosen], self.share[chosen])


def draw_morphs(part: AugmentPart, count: int, rng: np.random.Generator) -> Morphs:
    """Draw a morph for a share of ``count`` faces: half of them of two whole faces, half by smooth regions."""
    partner = np.arange(count, dtype=np.int64)
    morphed = rng.random(count) < part.morph
    partner[morphed] = rng.integers(0, max(count, 1), int(morphed.sum()))
    whole = rng.uniform(0.25, 0.75, (count, 1, 1)) * np.ones((1, _REGIONS, _REGIONS))
    regions = 0.5 + 0.6 * rng.standard_normal((count, _REGIONS, _REGIONS))
    share = np.where(rng.random((count, 1, 1)) < 0.5, whole, regions)
    return Morphs(partner, np.clip(share, 0, 1).astype(np.float32))


def blend(crop: Pixels, partner: Pixels, share: Floats) -> Pixels:
    """One crop with another's face in it.

    Args:
        crop: uint8 (h, w, 3) RGB.
        partner: uint8 (h, w, 3) RGB, aligned as ``crop`` is.
        share: float32 (k, k) in 0..1, how much of ``partner`` shows.

    Returns:
        uint8 (h, w, 3) RGB.
    """
    theirs = cv2.resize(share, (crop.shape[1], crop.shape[0]), interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.blendLinear(crop, partner, 1 - theirs, theirs), np.uint8)
