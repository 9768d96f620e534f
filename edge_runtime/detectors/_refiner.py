"""A second look at each face that a detector found: better landmarks, and whether it is a face at all.

The face is cut from the picture as it came, not as the detector saw it shrunk, and aligned by the landmarks found so
far. A small network says how far each point still is from where it should be, and how sure it is that this is a face.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_runtime.bundle.detector_spec import RefinerSpec
from edge_runtime.bundle.quantisation import PictureInput, real
from edge_runtime.errors import BundleError, InputError
from edge_runtime.geometry.alignment import Template, similarity, warp
from edge_runtime.protocols import Interpreter
from edge_runtime.types import Detections, Floats, Pixels

MARGIN_PX = -8.0
"""Around the ArcFace chip of 112 px: chin and forehead help to tell a face from a hand."""
_LARGE_PX = 48.0
_SURE_OF_LARGE = 2.0
_SURE_AGAIN = 4.0
"""A face this wide to the detector shows enough to be sure of: the second look's logit is to reach the first of these.
If it does not, the face is looked at once more from where the landmarks were put, and is to reach the second. That
leaves out nine in ten of those whose landmarks are wrong because the head lies on its side, and few others."""
_DOUBTED = 0.4
"""The most that such a face gets: enough to follow it, as somebody who turns away, not to take it for a face."""
_CLEAR = 6.0
_AGREED = 4.5
"""Close looks see many more places where something may be much like a face. What they alone found is looked at once
more unless the second look's logit reaches the first of these, and is doubted unless the logits of the first and of
the latest look reach together the second."""
_SAME_PLACE = 0.5
"""Two sets of landmarks are of one face if they are less than this apart, in shares of their spread (root mean square
distance from their middle), which is two thirds of the eyes' distance."""
_MOST = 64
"""Faces of one picture that are looked at again, the surest first; further ones are left out."""


def frame(size: int) -> Template:
    """Where the landmarks found so far lie in the network's picture of ``size`` px a side."""
    return Template.arcface(size, MARGIN_PX)


def unit_px(template: Template) -> float:
    """What the network's points are measured in: the distance of the template's eyes, px of its picture."""
    points = template.as_array()
    return float(np.linalg.norm(points[1] - points[0]))


class Refiner:
    """Looks at faces one by one."""

    def __init__(self, interpreter: Interpreter, sheet: RefinerSpec) -> None:
        """Check that network and sheet fit.

        Raises:
            BundleError: another input or other outputs than the sheet promises.
        """
        self.interpreter, self.candidates = interpreter, sheet.candidates
        self._template = frame(sheet.size)
        self._unit = unit_px(self._template)
        expected = (1, sheet.size, sheet.size, 3)
        shapes = [port.shape for port in interpreter.outputs]
        if interpreter.input_shape != expected or sorted(shapes) != [(1, 1), (1, 10)]:
            raise BundleError(
                f"refiner: expected input {expected} and outputs (1, 1) and (1, 10), "
                f"found {interpreter.input_shape} and {shapes}; convert it again"
            )
        self._score, self._points = shapes.index((1, 1)), shapes.index((1, 10))
        self._input = PictureInput(sheet.mean, sheet.std, interpreter, "refiner")

    def look(
        self,
        pixels: Pixels,
        faces: Detections,
        shrink: float | NDArray[np.float64] = 1.0,
        close: bool | NDArray[np.bool_] = False,
    ) -> Detections:
        """The same faces with better landmarks and scores, best first; boxes stay as they are.

        A new score is the mean of both looks' logits, but what the first look held for less than ``candidates`` is
        raised by no second one: hands, seen alone, are much like faces; and a large face, or one that a close look
        alone has found, has to convince the second look by itself, or a third. Faces whose landmarks have no
        similarity are left out.

        Args:
            pixels: uint8 (H, W, 3) RGB.
            faces: px of ``pixels``, best first.
            shrink: how many times smaller ``pixels`` were when the detector found them, one for all or (N,).
            close: whether a close look alone has found them, one for all or (N,).
        """
        large, close = faces.width >= _LARGE_PX * shrink, np.broadcast_to(close, len(faces))
        first = np.clip(faces.score, 1e-6, 1 - 1e-6)
        before = np.log(first / (1 - first))
        kept, logits, points, sure = [], [], [], []
        for k in range(min(len(faces), _MOST)):
            try:
                logit, landmarks = self._one(pixels, faces.landmarks[k])
                if close[k] and logit < _CLEAR:
                    logit, landmarks = self._one(pixels, landmarks)
                elif large[k] and not close[k] and logit < _SURE_OF_LARGE:
                    again, landmarks = self._one(pixels, landmarks)
                    logit = max(logit, again - (_SURE_AGAIN - _SURE_OF_LARGE))
            except InputError:
                continue
            kept.append(k)
            logits.append(logit)
            points.append(landmarks)
            sure.append(before[k] + logit >= _AGREED if close[k] else logit >= _SURE_OF_LARGE or not large[k])
        if not kept:
            return Detections.empty()
        faces, before = faces[np.array(kept)], before[np.array(kept)]
        both = (before + np.array(logits, np.float32)) / 2
        both = np.where(faces.score < self.candidates, np.minimum(before, both), both)
        both = np.where(sure, both, np.minimum(both, np.log(_DOUBTED / (1 - _DOUBTED))))
        found = Detections(faces.xyxy, (1 / (1 + np.exp(-both))).astype(np.float32), np.stack(points))
        return _once(found[np.argsort(-found.score, kind="stable")])

    def _one(self, pixels: Pixels, landmarks: Floats) -> tuple[float, Floats]:
        """The logit and the corrected landmarks, float32 (5, 2), px of ``pixels``.

        Raises:
            InputError: landmarks that coincide.
        """
        matrix = similarity(landmarks, self._template.as_array())
        outputs = self.interpreter.run(self._input(warp(pixels, matrix, self._template.size_wh)))
        ports = self.interpreter.outputs
        logit = float(real(outputs[self._score], ports[self._score].quantization)[0, 0])
        offsets = real(outputs[self._points], ports[self._points].quantization).reshape(5, 2)
        return logit, back(self._template.as_array() + offsets * self._unit, matrix)

    def close(self) -> None:
        """Free the network."""
        self.interpreter.close()


def _once(faces: Detections) -> Detections:
    """Without further boxes, worse than another, whose landmarks are in the same places: nobody has four eyes."""
    spread = faces.landmarks - faces.landmarks.mean(1, keepdims=True)
    size = np.sqrt((spread**2).sum(2).mean(1))
    between = np.linalg.norm(faces.landmarks[:, None] - faces.landmarks[None], axis=3).mean(2)
    again = between < _SAME_PLACE * np.minimum(size[:, None], size[None])
    kept: list[int] = []
    for k in range(len(faces)):
        if not again[k, kept].any():
            kept.append(k)
    return faces[np.array(kept, np.int64)]


def back(points: Floats, matrix: Floats) -> Floats:
    """Points (K, 2) of an aligned picture in the picture that ``matrix`` (2, 3), a similarity, aligned."""
    inverse = np.linalg.inv(matrix[:, :2].astype(np.float64))
    return np.asarray((points - matrix[:, 2]) @ inverse.T, np.float32)
