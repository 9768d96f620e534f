"""Face detectors: one file each, opened by ``name`` or ``name:argument``."""

from __future__ import annotations

from edge_runtime.backends import load_backend
from edge_runtime.protocols import Detector

_HERE = __name__


def open_detector(spec: str, min_face_px: int = 24, score_floor: float | None = None) -> Detector:
    """Open a detector.

    Args:
        spec: ``haar``, or ``yunet:FILE.onnx``.
        min_face_px: the smallest face to look for, px of the picture given.
        score_floor: faces with less are left out; None: the detector's own.

    Raises:
        ConfigError: no such detector, or its argument is missing.
        InputError: its model file cannot be opened.
    """
    name, _, argument = spec.partition(":")
    detector: Detector = load_backend(_HERE, name, "detector").open(argument, min_face_px, score_floor)
    return detector
