"""Face detectors: one file each, opened by ``name`` or ``name:argument``."""

from __future__ import annotations

from dataclasses import dataclass

from edge_runtime.protocols import Detector
from edge_runtime.schema.backends import load_backend

_HERE = __name__


@dataclass(frozen=True, slots=True)
class DetectorOptions:
    """How to look for faces.

    Attributes:
        min_face_px: the smallest face to look for, px of the picture given.
        score_floor: faces with less are left out; None: the detector's own.
        refine: look at each face a second time, where the detector brings a network for that.
        interpreter: as for ``interpreters.open_interpreter``; for detectors that need one.
        threads: CPU threads of one run; likewise.
    """

    min_face_px: int = 24
    score_floor: float | None = None
    refine: bool = True
    interpreter: str = "auto"
    threads: int = 1


def check_detector(spec: str) -> None:
    """See that there is such a detector, without opening it.

    Raises:
        ConfigError: there is not.
    """
    load_backend(_HERE, spec.partition(":")[0], "detector")


def open_detector(spec: str, options: DetectorOptions | None = None) -> Detector:
    """Open a detector.

    Args:
        spec: ``bundle:FOLDER`` or ``yunet:FILE.onnx``.
        options: how to look; None: as the class says.

    Raises:
        ConfigError: no such detector, or its argument is missing.
        InputError: its model file cannot be opened.
    """
    name, _, argument = spec.partition(":")
    detector: Detector = load_backend(_HERE, name, "detector").open(argument, options or DetectorOptions())
    return detector
