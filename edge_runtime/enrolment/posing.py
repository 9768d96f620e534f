"""From a live picture to a view worth enrolling: what to tell the person in front of the camera, step by step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_runtime.enrolment.poses import ANY
from edge_runtime.faces.chain import central_face, rivals
from edge_runtime.faces.quality import QualityLimits, measure, rejection, sideways
from edge_runtime.types import Detections, Pixels

_TELL = {
    "small": "come closer",
    "profile": "look at the camera",
    "dark": "more light on the face, please",
    "glare": "less light on the face, please",
    "flat": "clearer light, please",
    "blurred": "hold still",
    "straight": "look straight at the camera",
    "left": "turn a little to your left",
    "right": "turn a little to your right",
}
_STRAIGHT = 0.12
"""Up to here (see ``quality.measure``, turn) a head looks straight ahead; beyond, it is turned."""
_MOVED = 0.15
"""A face that moved by this share of its width since the look before is not still."""
_ROOM = 1.0
"""What is kept around a face, in shares of its width on each side."""


@dataclass(frozen=True, slots=True)
class View:
    """One look at a live picture.

    Attributes:
        guidance: what to tell the person; "" where the view is good.
        box: the face, xyxy px; empty where there is no single one.
        picture: uint8 (H, W, 3) RGB, the face with room around it; None where the view is not good.
    """

    guidance: str
    box: tuple[float, ...] = ()
    picture: Pixels | None = None


def judge(
    pixels: Pixels, detections: Detections, want: str, last_box: tuple[float, ...], limits: QualityLimits
) -> View:
    """Is this the view that is wanted?

    Args:
        pixels: uint8 (H, W, 3) RGB.
        detections: of these pixels.
        want: one of ``poses.POSES``, or ``any``.
        last_box: of the look before, xyxy px; empty at the first.
        limits: the least a face must have.
    """
    if not len(detections):
        return View("step in front of the camera")
    chosen = central_face(detections, (pixels.shape[1], pixels.shape[0]))
    if rivals(detections, chosen):
        return View("only one face, please")
    box = tuple(round(float(value), 1) for value in detections.xyxy[chosen])
    width = float(detections.width[chosen])
    landmarks = detections.landmarks[chosen]
    reason = rejection(measure(pixels, landmarks, width), limits)
    if reason is None and last_box and np.abs(np.subtract(box, last_box)).max() > _MOVED * width:
        reason = "blurred"
    if reason is None and want != ANY and _pose(sideways(landmarks)) != want:
        reason = want
    if reason is not None or not last_box:
        return View(_TELL[reason or "blurred"], box)
    room = _ROOM * width
    left, top = (max(int(value - room), 0) for value in box[:2])
    return View("", box, pixels[top : int(box[3] + room), left : int(box[2] + room)].copy())


def _pose(turn: float) -> str:
    return "straight" if abs(turn) <= _STRAIGHT else "left" if turn > 0 else "right"
