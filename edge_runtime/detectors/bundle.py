"""The detector that a bundle brings along: a grid network on a TFLite interpreter, with real landmarks."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_runtime.bundle.detector_spec import DetectorSheet, DetectorSpec
from edge_runtime.bundle.folder import Bundle
from edge_runtime.bundle.manifest import MANIFEST
from edge_runtime.bundle.quantisation import PictureInput, real
from edge_runtime.detectors import DetectorOptions
from edge_runtime.detectors._cells import SAME_FACE_COVERED, SHAPE, STRIDES, Grids, apart, decode
from edge_runtime.detectors._refiner import Refiner
from edge_runtime.detectors._windows import cover
from edge_runtime.errors import BundleError, ConfigError
from edge_runtime.geometry.boxes import covered
from edge_runtime.interpreters import open_interpreter
from edge_runtime.protocols import Detector, Interpreter
from edge_runtime.schema.given_file import read_given
from edge_runtime.types import Detections, Floats, Pixels, Windows, check_pixels

_LARGEST_SHEET_BYTES = 1 << 20
SHEET = "detector.json"
"""What stands beside a detector that is in no bundle yet; in a bundle, the manifest says the same."""
_ROOM = 114
"""Grey value beside a picture of another shape than the network's."""
_HALF = 0.5
"""A picture shrunk less than to this loses nothing by interpolation, which takes a sixth of the time of averaging."""
_LEAST_PX = 14.0
"""The network finds nearly all faces of this width."""
_NEAR_EDGE = 0.05
"""A box this near to a window's edge, in shares of its width, may be of a face that is cut."""


def open(argument: str, options: DetectorOptions) -> Detector:
    """The detector of a bundle, or of a folder of ``python -m convert detector``."""
    if not argument:
        raise ConfigError("detector 'bundle': expected a folder as bundle:FOLDER, found none")
    folder = Path(argument)
    return open_grid_detector(folder, read_sheet(folder), options)


def open_grid_detector(folder: Path, sheet: DetectorSpec, options: DetectorOptions) -> GridDetector:
    """A detector described by a sheet, its files in a folder.

    Raises:
        InterpreterError: no interpreter is installed, or it refuses a file.
        BundleError: files and sheet do not fit together.
    """
    interpreter = open_interpreter(options.interpreter, folder / sheet.file, options.threads)
    refiner = None
    if sheet.refiner is not None and options.refine:
        second = open_interpreter(options.interpreter, folder / sheet.refiner.file, options.threads)
        refiner = Refiner(second, sheet.refiner)
    return GridDetector(interpreter, sheet, options, refiner)


def read_sheet(folder: Path) -> DetectorSpec:
    """What a bundle's manifest or a detector's own sheet says of the file.

    Raises:
        BundleError: neither there, damaged, or a bundle without a detector.
    """
    sheet = read_whole_sheet(folder)
    if sheet.spec is None:
        raise BundleError(
            f"{folder}: expected a bundle that brings its detector, found one that does not; name yunet:FILE.onnx"
        )
    return sheet.spec


def read_whole_sheet(folder: Path) -> DetectorSheet:
    """The same with what is said there of training and figures; ``spec`` may be None.

    Raises:
        BundleError: neither there, or damaged.
    """
    if (folder / MANIFEST).is_file():
        return Bundle(folder).manifest.detector_sheet
    path = folder / SHEET
    try:
        document = json.loads(read_given(path, _LARGEST_SHEET_BYTES))
    except (OSError, ValueError, RecursionError) as error:
        raise BundleError(
            f"{folder}: expected a bundle, or a detector of python -m convert detector, cannot read {SHEET} ({error})"
        ) from error
    return DetectorSheet.from_json(document, str(folder))


class GridDetector:
    """See ``protocols.Detector``; a picture of another shape is shrunk or enlarged whole, its shape kept."""

    def __init__(
        self,
        interpreter: Interpreter,
        sheet: DetectorSpec,
        options: DetectorOptions,
        refiner: Refiner | None = None,
    ) -> None:
        """Check that network and sheet fit.

        Raises:
            BundleError: another input or other outputs than the sheet promises.
        """
        width, height = sheet.size_wh
        if interpreter.input_shape != (1, height, width, 3):
            raise BundleError(
                f"detector: expected input (1, {height}, {width}, 3), found {interpreter.input_shape}; convert it again"
            )
        self.name = sheet.name
        self.interpreter = interpreter
        self._sheet = sheet
        self._options = options
        self._refiner = refiner
        self.score = sheet.score if options.score_floor is None else min(max(options.score_floor, 1e-6), 1 - 1e-6)
        self._grids = [_Grid.match(interpreter, Grids(sheet.size_wh), stride) for stride in STRIDES]
        self._input = PictureInput(sheet.mean, sheet.std, interpreter, "detector")

    def detect(self, pixels: Pixels, score: float | None = None, windows: Windows | None = None) -> Detections:
        """See ``protocols.Detector``; faces of less than ``min_face_px`` are left out.

        Raises:
            InputError: another dtype or shape.
        """
        check_pixels(pixels)
        least = self.score if score is None else min(max(score, 1e-6), 1 - 1e-6)
        first = least if self._refiner is None else min(least, self._refiner.candidates)
        windows = self.windows(pixels.shape) if windows is None else windows
        # Of faces cut by a window's edge the network is half sure: they would be further faces beside the true ones.
        close = _logit(max(first, self.score))
        parts = [self._look(pixels, _logit(first)), *(self._look_into(pixels, window, close) for window in windows)]
        sides_hw = [pixels.shape[:2], *((bottom - top, right - left) for left, top, right, bottom in windows)]
        shrinks = np.repeat([self._shrink(side) for side in sides_hw], [len(part) for part in parts])
        found, kept = apart(parts)
        wide = found.width >= self._options.min_face_px
        found, kept = found[wide], kept[wide]
        if self._refiner is None:
            return found
        seen = parts[0][parts[0].score >= self.score]
        agreed = (covered(found.xyxy, seen.xyxy) >= SAME_FACE_COVERED).any(1)
        found = self._refiner.look(pixels, found, shrinks[kept], (kept >= len(parts[0])) & ~agreed)
        return found[found.score >= least]

    def windows(self, shape_hw: tuple[int, ...]) -> Windows:
        """See ``protocols.Detector``: what shows a face of ``min_face_px`` to the network with 14 px."""
        return cover(shape_hw, self._sheet.size_wh, max(self._options.min_face_px / _LEAST_PX, 1.0))

    @property
    def interpreters(self) -> dict[str, Interpreter]:
        """What runs its networks, by their names."""
        second = {} if self._refiner is None else {"refiner": self._refiner.interpreter}
        return {"detector": self.interpreter, **second}

    def _shrink(self, shape_hw: tuple[int, ...]) -> float:
        """How many times smaller a picture becomes to fit in."""
        return max(shape_hw[1] / self._sheet.size_wh[0], shape_hw[0] / self._sheet.size_wh[1])

    def _look(self, pixels: Pixels, logit: float) -> Detections:
        tensor, scale, left, top = self._fitted(pixels)
        parts = [grid.sure(output, logit) for grid, output in self._outputs(tensor)]
        if not sum(len(part[1]) for part in parts):
            return Detections.empty()
        centres, strides, logits, shapes = (np.concatenate(rows) for rows in zip(*parts, strict=True))
        faces = decode(centres, strides, logits, shapes, self.score)
        shift = np.array([left - 0.5, top - 0.5], np.float32)
        xyxy = (faces.xyxy - np.tile(shift, 2)) / scale - np.float32(0.5)
        landmarks = (faces.landmarks - shift) / scale - np.float32(0.5)
        return Detections(np.asarray(xyxy, np.float32), faces.score, np.asarray(landmarks, np.float32))

    def _fitted(self, pixels: Pixels) -> tuple[NDArray[Any], np.float32, int, int]:
        """The input tensor of a whole picture, and how it lies there: scale, px on the left, px on top."""
        width, height = self._sheet.size_wh
        h, w = pixels.shape[:2]
        scale = 1 / self._shrink((h, w))
        inner_wh = max(min(round(w * scale), width), 1), max(min(round(h * scale), height), 1)
        if inner_wh != (w, h):
            how = cv2.INTER_AREA if scale <= _HALF else cv2.INTER_LINEAR
            pixels = np.asarray(cv2.resize(pixels, inner_wh, interpolation=how), np.uint8)
        left, top = (width - inner_wh[0]) // 2, (height - inner_wh[1]) // 2
        if inner_wh != (width, height):
            room = np.full((height, width, 3), _ROOM, np.uint8)
            room[top : top + inner_wh[1], left : left + inner_wh[0]] = pixels
            pixels = room
        return self._input(pixels), np.float32(scale), left, top

    def _outputs(self, tensor: NDArray[Any]) -> list[tuple[_Grid, list[NDArray[Any]]]]:
        outputs = self.interpreter.run(tensor)
        return [(grid, [outputs[grid.score], outputs[grid.shape]]) for grid in self._grids]

    def _look_into(self, pixels: Pixels, window: Windows, logit: float) -> Detections:
        """Faces of one window; those cut by an edge inside the picture are left to a neighbour."""
        height, width = pixels.shape[:2]
        left, top, right, bottom = window
        faces = self._look(pixels[top:bottom, left:right], logit)
        shift = np.array([left, top], np.float32)
        faces = Detections(faces.xyxy + np.tile(shift, 2), faces.score, faces.landmarks + shift)
        slack = _NEAR_EDGE * faces.width
        inner = np.array([left > 0, top > 0, right < width, bottom < height])
        reach = np.stack([left - faces.xyxy[:, 0], top - faces.xyxy[:, 1]], 1) + slack[:, None]
        beyond = np.stack([faces.xyxy[:, 2] - right, faces.xyxy[:, 3] - bottom], 1) + slack[:, None]
        return faces[~((np.concatenate([reach, beyond], 1) > 0) & inner).any(1)]

    def close(self) -> None:
        """Free the networks; may be called again."""
        self.interpreter.close()
        if self._refiner is not None:
            self._refiner.close()


@dataclass(frozen=True)
class _Grid:
    """One grid's outputs.

    Attributes:
        score, shape: which outputs they are.
        ports: (scale, zero point) of both; (0.0, 0) where not quantised.
        centres: float32 (cells, 2), px.
        stride: px.
    """

    score: int
    shape: int
    ports: tuple[tuple[float, int], tuple[float, int]]
    centres: Floats
    stride: int

    @classmethod
    def match(cls, interpreter: Interpreter, grids: Grids, stride: int) -> _Grid:
        """Find the outputs of one grid by their shapes, which no two outputs share."""
        rows, columns = grids.shape_hw(stride)
        shapes = [port.shape for port in interpreter.outputs]
        places = []
        for depth in (1, SHAPE):
            expected = (1, rows, columns, depth)
            if shapes.count(expected) != 1:
                raise BundleError(f"detector: expected one output {expected}, found {shapes}; convert it again")
            places.append(shapes.index(expected))
        score, shape = (interpreter.outputs[place].quantization for place in places)
        return cls(places[0], places[1], (score, shape), grids.centres(stride), stride)

    def sure(self, outputs: list[NDArray[Any]], logit: float) -> tuple[Floats, Floats, Floats, Floats]:
        """Centres, strides, logits and shapes of the cells that reach ``logit``."""
        scores = outputs[0].reshape(-1)
        scale, zero_point = self.ports[0]
        cells = np.flatnonzero(scores >= (logit / scale + zero_point if scale else logit))
        logits = real(scores[cells], self.ports[0])
        shapes = real(outputs[1].reshape(-1, SHAPE)[cells], self.ports[1])
        return self.centres[cells], np.full(len(cells), self.stride, np.float32), logits, shapes


def _logit(share: float) -> float:
    return math.log(share / (1 - share))
