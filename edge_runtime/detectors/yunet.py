"""YuNet through OpenCV, from a file the user names; gives real landmarks.

Wu, Peng, Yu: "YuNet: A Tiny Millisecond-level Face Detector", 2023. It is trained on BGR pictures.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from edge_runtime.detectors import DetectorOptions
from edge_runtime.errors import ConfigError, InputError
from edge_runtime.protocols import Detector
from edge_runtime.types import NOWHERE, Detections, Pixels, Windows, check_pixels

SCORE_FLOOR = 0.6
_NMS_IOU = 0.3
_LEAST_SIDE_PX = 16
"""Of narrower pictures OpenCV 4.14 reads memory that was never written, and now and then gives infinite boxes."""


def open(argument: str, options: DetectorOptions) -> Detector:
    """A detector from ``argument``, the path of a YuNet .onnx file."""
    if not argument:
        raise ConfigError("detector 'yunet': expected the model's path as yunet:FILE.onnx, found none")
    floor = SCORE_FLOOR if options.score_floor is None else options.score_floor
    return YunetDetector(Path(argument), options.min_face_px, floor)


class YunetDetector:
    """See ``protocols.Detector``."""

    name = "yunet"

    def __init__(self, model: Path, min_face_px: int = 10, score_floor: float = SCORE_FLOOR) -> None:
        if not model.is_file():
            raise InputError(f"{model}: expected a YuNet .onnx file, found nothing there; check the path")
        try:
            self._net = cv2.FaceDetectorYN.create(str(model), "", (320, 320), score_floor, _NMS_IOU, 500)
        except cv2.error as error:
            raise InputError(f"{model}: expected a YuNet .onnx file, OpenCV does not take it ({error.err})") from error
        self.score = score_floor
        self._min_face_px = min_face_px
        self._size_wh = (320, 320)

    def windows(self, shape_hw: tuple[int, ...]) -> Windows:
        """See ``protocols.Detector``: it searches every picture in its own size."""
        return NOWHERE

    def detect(self, pixels: Pixels, score: float | None = None, windows: Windows | None = None) -> Detections:
        """See ``protocols.Detector``; faces of less than ``min_face_px`` are left out."""
        check_pixels(pixels)
        self._net.setScoreThreshold(self.score if score is None else score)
        size_wh = (pixels.shape[1], pixels.shape[0])
        if min(size_wh) < _LEAST_SIDE_PX:
            return Detections.empty()
        if size_wh != self._size_wh:
            self._net.setInputSize(size_wh)
            self._size_wh = size_wh
        _, rows = self._net.detect(np.ascontiguousarray(pixels[:, :, ::-1]))
        if rows is None:
            return Detections.empty()
        rows = rows[np.isfinite(rows).all(1) & (rows[:, 2] >= self._min_face_px)].astype(np.float32)
        rows = rows[np.argsort(-rows[:, 14], kind="stable")]
        xyxy = np.concatenate([rows[:, :2], rows[:, :2] + rows[:, 2:4]], 1)
        landmarks = rows[:, 4:14].reshape(-1, 5, 2)
        return Detections(xyxy.astype(np.float32), rows[:, 14].astype(np.float32), landmarks.astype(np.float32))

    def close(self) -> None:
        """Nothing to free; may be called again."""
