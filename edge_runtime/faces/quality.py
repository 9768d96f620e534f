"""Is this face good enough to be named? Size, pose, light and sharpness, each with a reason when it fails.

Measured on a chip of its own, cut from the picture at one fixed size, so that the limits mean the same
whatever size the encoder's chips have.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from edge_runtime.geometry.alignment import Template, align
from edge_runtime.types import Floats, Pixels

WHAT_WOULD_DO = {
    "small": "come closer, or take a larger picture",
    "profile": "look at the camera",
    "dark": "turn to the light",
    "glare": "keep the sun and lamps out of the face",
    "flat": "take it in clearer light",
    "blurred": "hold still, and let the camera focus",
}
"""What would fix each reason of :func:`rejection`."""

_TEMPLATE = Template.arcface(64, 6)


@dataclass(frozen=True, slots=True)
class QualityLimits:
    """The least a face must have; see :func:`measure`.

    The defaults are for the live picture. Of 500 faces of LFW shrunk to 34 px, 99.5 % are sharp enough for
    them, and of those blurred by 6 % of the face's width 4 % are.

    Attributes:
        face_px: width of the box, px of the picture.
        turn: the most the head may be turned.
        light: mean luma, 0..255, from this value ...
        glare: ... to this one.
        contrast: standard deviation of the luma, 0..255.
        sharpness: percent.
    """

    face_px: float = 32.0
    turn: float = 0.45
    light: float = 25.0
    glare: float = 235.0
    contrast: float = 10.0
    sharpness: float = 2.0

    @classmethod
    def for_enrolment(cls) -> QualityLimits:
        """Stricter than live: one bad template harms every later decision."""
        return cls(face_px=48.0, turn=0.35, light=40.0, glare=220.0, contrast=16.0, sharpness=3.5)


def measure(pixels: Pixels, landmarks: Floats, face_px: float) -> dict[str, float]:
    """Quality measures of one face.

    Args:
        pixels: uint8 (H, W, 3) RGB.
        landmarks: float32 (5, 2), px.
        face_px: width of the detector's box, px.

    Returns:
        ``face_px``; ``turn``: how far the nose lies beside the middle of the eyes, in shares of their distance
        (0 seen from the front); ``light`` and ``contrast``: mean and standard deviation of the luma, 0..255;
        ``sharpness``: the variance of the Laplacian (Pech-Pacheco et al., "Diatom autofocusing in brightfield
        microscopy", 2000) in percent of the luma's variance, so that contrast does not move it.
    """
    points = np.asarray(landmarks, np.float32)
    grey = cv2.cvtColor(align(pixels, points[None], _TEMPLATE)[0], cv2.COLOR_RGB2GRAY).astype(np.float32)
    variance = float(grey.var())
    return {
        "face_px": float(face_px),
        "turn": abs(sideways(points)),
        "light": float(grey.mean()),
        "contrast": variance**0.5,
        "sharpness": 100.0 * float(cv2.Laplacian(grey, cv2.CV_32F).var()) / max(variance, 1.0),
    }


def sideways(landmarks: Floats) -> float:
    """How far the nose lies beside the middle of the eyes, in shares of their distance: 0 seen from the front, more
    with the head turned to the person's own left, less to the right.

    Args:
        landmarks: float32 (5, 2), px.
    """
    eyes = landmarks[1] - landmarks[0]
    return float((landmarks[2] - landmarks[:2].mean(0)) @ eyes) / max(float(eyes @ eyes), 1e-6)


def rejection(measures: dict[str, float], limits: QualityLimits) -> str | None:
    """Why a face is not good enough (``small``, ``profile``, ``dark``, ``glare``, ``flat``, ``blurred``), or None."""
    failed = _first_failure(measures, limits)
    return failed[0] if failed else None


def explanation(measures: dict[str, float], limits: QualityLimits) -> str | None:
    """What :func:`rejection` says, with what was expected and found and what would do, for people to read."""
    failed = _first_failure(measures, limits)
    if failed is None:
        return None
    reason, measure_name, side, limit = failed
    found = f"{measure_name}: expected at {side} {limit:g}, found {measures[measure_name]:.3g}"
    return f"{reason} ({found}); {WHAT_WOULD_DO[reason]}"


def checks(limits: QualityLimits) -> tuple[tuple[str, str, str, float], ...]:
    """(reason, name of the measure, ``least`` or ``most``, limit) of every way to fail, in the order they are tried."""
    return (
        ("small", "face_px", "least", limits.face_px),
        ("profile", "turn", "most", limits.turn),
        ("dark", "light", "least", limits.light),
        ("glare", "light", "most", limits.glare),
        ("flat", "contrast", "least", limits.contrast),
        ("blurred", "sharpness", "least", limits.sharpness),
    )


def fails(value: float, side: str, limit: float) -> bool:
    """Whether a measure is below a limit that is its least, or above one that is its most."""
    return value < limit if side == "least" else value > limit


def _first_failure(measures: dict[str, float], limits: QualityLimits) -> tuple[str, str, str, float] | None:
    return next((check for check in checks(limits) if fails(measures[check[1]], *check[2:])), None)


def weight(measures: dict[str, float], limits: QualityLimits) -> float:
    """How much a view counts in an average, > 0: more for larger and sharper faces, with diminishing returns."""
    size = min(measures["face_px"] / max(limits.face_px, 1.0), 3.0)
    sharp = min(measures["sharpness"] / max(limits.sharpness, 0.1), 3.0)
    return max(size, 0.1) * max(sharp, 0.1)
