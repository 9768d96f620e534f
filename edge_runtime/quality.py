"""Is this face good enough to be named? Size, sharpness and light, each with a reason when it fails."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from edge_runtime.types import Pixels


@dataclass(frozen=True, slots=True)
class QualityLimits:
    """The least a face must have.

    Attributes:
        face_px: width of the box, px of the frame.
        sharpness: see :func:`measure`.
        light: mean luma of the chip, 0..255, from this value ...
        glare: ... to this one.
        contrast: standard deviation of the luma, 0..255.
    """

    face_px: float = 32.0
    sharpness: float = 8.0
    light: float = 25.0
    glare: float = 235.0
    contrast: float = 10.0

    @classmethod
    def for_enrolment(cls) -> QualityLimits:
        """Stricter than live: one bad template harms every later decision."""
        return cls(face_px=48.0, sharpness=14.0, light=40.0, glare=220.0, contrast=16.0)


def measure(chip: Pixels, face_px: float) -> dict[str, float]:
    """Quality measures of one aligned chip.

    Args:
        chip: uint8 (h, w, 3) RGB.
        face_px: width of the detector's box, px of the frame.

    Returns:
        ``face_px``; ``light`` and ``contrast`` (mean and standard deviation of the luma, 0..255);
        ``sharpness``: the variance of the Laplacian (Pech-Pacheco et al., 2000) of the chip scaled to
        64 px, in percent of the luma's variance, so that neither size nor contrast moves it much.
    """
    grey = cv2.cvtColor(chip, cv2.COLOR_RGB2GRAY)
    spread = float(grey.std())
    scaled = cv2.resize(grey, (64, 64), interpolation=cv2.INTER_AREA).astype(np.float32)
    laplacian = float(cv2.Laplacian(scaled, cv2.CV_32F).var())
    return {
        "face_px": float(face_px),
        "light": float(grey.mean()),
        "contrast": spread,
        "sharpness": 100.0 * laplacian / max(float(scaled.var()), 1.0),
    }


def rejection(measures: dict[str, float], limits: QualityLimits) -> str | None:
    """Why a face is not good enough (``small``, ``dark``, ``glare``, ``flat``, ``blurred``), or None."""
    checks = (
        ("small", measures["face_px"] < limits.face_px),
        ("dark", measures["light"] < limits.light),
        ("glare", measures["light"] > limits.glare),
        ("flat", measures["contrast"] < limits.contrast),
        ("blurred", measures["sharpness"] < limits.sharpness),
    )
    return next((reason for reason, failed in checks if failed), None)


def weight(measures: dict[str, float], limits: QualityLimits) -> float:
    """How much a view counts in a track's average, > 0: more for larger and sharper faces, with diminishing returns."""
    size = min(measures["face_px"] / max(limits.face_px, 1.0), 3.0)
    sharp = min(measures["sharpness"] / max(limits.sharpness, 1.0), 3.0)
    return max(size, 0.1) * max(sharp, 0.1)
