"""The Haar cascade that OpenCV 4 carries (Viola and Jones, 2001): no landmarks, so five fixed points.

The points are where, on average, a landmark detector finds them relative to the cascade's box.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from edge_runtime.detectors import DetectorOptions
from edge_runtime.errors import ConfigError, InterpreterError
from edge_runtime.protocols import Detector
from edge_runtime.types import Detections, Floats, Pixels, check_pixels

BOX_POINTS: Floats = np.array(
    [[0.309, 0.394], [0.691, 0.394], [0.500, 0.615], [0.334, 0.793], [0.667, 0.793]], np.float32
)
"""The five landmarks in shares of the box's width and height: medians over 974 training photos of LFW
(symmetrised), where the spread is 2 to 5 % of the width."""

_CASCADE = "haarcascade_frontalface_alt2.xml"
_SCALE_STEP = 1.1
_MIN_NEIGHBOURS = 4


def open(argument: str, options: DetectorOptions) -> Detector:
    """The cascade of the installed OpenCV; it takes no argument."""
    if argument:
        raise ConfigError(f"detector 'haar': expected no argument, found {argument!r}; write detector = \"haar\"")
    return HaarDetector(options.min_face_px, options.score_floor or 0.0)


class HaarDetector:
    """See ``protocols.Detector``; the score is the number of agreeing windows, mapped into 0..1."""

    name = "haar"

    def __init__(self, min_face_px: int = 24, score_floor: float = 0.0) -> None:
        folder = getattr(getattr(cv2, "data", None), "haarcascades", "")
        path = Path(folder) / _CASCADE
        if not hasattr(cv2, "CascadeClassifier") or not path.is_file():
            raise InterpreterError(
                f"detector 'haar': OpenCV {cv2.__version__} has no Haar cascades; "
                "pip install 'opencv-python-headless<5', or set detector = \"yunet:FILE.onnx\""
            )
        self._cascade = cv2.CascadeClassifier(str(path))
        self._min_face_px = min_face_px
        self._score_floor = score_floor

    def detect(self, pixels: Pixels) -> Detections:
        """Faces of an RGB picture uint8 (H, W, 3), most agreeing windows first."""
        grey = cv2.equalizeHist(cv2.cvtColor(check_pixels(pixels), cv2.COLOR_RGB2GRAY))
        boxes, counts = self._cascade.detectMultiScale2(
            grey, _SCALE_STEP, _MIN_NEIGHBOURS, minSize=(self._min_face_px, self._min_face_px)
        )
        if len(boxes) == 0:
            return Detections.empty()
        xywh = np.asarray(boxes, np.float32)
        votes = np.asarray(counts, np.float32).reshape(-1)
        order = np.argsort(-votes, kind="stable")
        xywh, votes = xywh[order], votes[order]
        landmarks = xywh[:, None, :2] + BOX_POINTS * xywh[:, None, 2:]
        xyxy = np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], 1)
        found = Detections(xyxy, votes / (votes + 10), landmarks.astype(np.float32))
        return found[found.score >= self._score_floor]

    def close(self) -> None:
        """Nothing to free; may be called again."""
