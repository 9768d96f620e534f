"""What each cell of the detector's grids should say about a scene."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_runtime.detectors._cells import SHAPE, STRIDES, Grids
from edge_runtime.types import Detections, Floats

SIZES_PX = {8: (0.0, 36.0), 16: (28.0, 130.0), 32: (100.0, np.inf)}
"""Which faces a grid is for, by the square root of their area; the ranges overlap."""
COLUMNS = 5 + SHAPE
"""Numbers a cell: the score, its weight, weight of the shape, weight of the landmarks, size of the face in strides,
then the shape."""
_CORE = 0.16
"""Cells within this share of a face's size from its middle see it, and at least the nearest ones."""
_NEAREST = 0.6
"""In strides, at least."""
_DOUBT = 0.36
"""Cells a little farther off are neither taught to see it nor not to."""


@dataclass(frozen=True)
class SceneFaces:
    """Faces of a scene.

    Attributes:
        faces: px of the scene; landmarks may be NaN.
        doubtful: bool (N,): neither a face to learn nor background.
    """

    faces: Detections
    doubtful: NDArray[np.bool_]

    @classmethod
    def empty(cls) -> SceneFaces:
        return cls(Detections.empty(), np.zeros(0, bool))

    @property
    def size(self) -> Floats:
        """Square root of each face's area, float32 (N,), px."""
        return face_size(self.faces)


def face_size(faces: Detections) -> Floats:
    """Square root of each box's area, float32 (N,), px."""
    sides = np.clip(faces.xyxy[:, 2:] - faces.xyxy[:, :2], 1e-3, None)
    return np.asarray(np.sqrt(sides.prod(1)), np.float32)


def make_targets(grids: Grids, scene: SceneFaces) -> Floats:
    """Float32 (cells, ``COLUMNS``), the grids one after the other, each row by row."""
    return np.concatenate([_grid_targets(grids.centres(stride), stride, scene) for stride in STRIDES])


def _grid_targets(centres: Floats, stride: int, scene: SceneFaces) -> Floats:
    rows = np.zeros((len(centres), COLUMNS), np.float32)
    rows[:, 1] = 1
    if not len(scene.faces):
        return rows
    low, high = SIZES_PX[stride]
    size, middle = scene.size, scene.faces.centre
    off = np.abs(centres[:, None] - middle[None]).max(2)  # (cells, faces), px
    core = np.maximum(_CORE * size, _NEAREST * stride)
    # Just beyond a grid's range nobody is taught to look away.
    mine = (size >= low) & (size < high) & ~scene.doubtful
    near = (size >= low / 1.5) & (size < high * 1.5) & ~mine & ~scene.doubtful
    doubt = np.where(mine | near, np.maximum(_DOUBT * size, core), 0)
    rows[(off < doubt).any(1), 1] = 0
    if scene.doubtful.any():
        boxes = scene.faces.xyxy[scene.doubtful]
        inside = (centres[:, None] >= boxes[None, :, :2]) & (centres[:, None] <= boxes[None, :, 2:])
        rows[np.any(np.all(inside, 2), 1), 1] = 0
    relative = np.where(mine & (off < core), off / size, np.inf)
    nearest = relative.argmin(1)
    cell = np.flatnonzero(np.isfinite(relative.min(1)))
    if not len(cell):
        return rows
    face = nearest[cell]
    count = np.bincount(face, minlength=len(size))
    points = scene.faces.landmarks[face]
    known = np.isfinite(points).all((1, 2))
    rows[cell, 0] = rows[cell, 1] = 1
    rows[cell, 2] = 1 / np.sqrt(count[face])
    rows[cell, 3] = np.where(known, rows[cell, 2], 0)
    rows[cell, 4] = size[face] / stride
    boxes = scene.faces.xyxy[face]
    rows[cell, 5:7] = (centres[cell] - boxes[:, :2]) / stride
    rows[cell, 7:9] = (boxes[:, 2:] - centres[cell]) / stride
    offsets = (np.nan_to_num(points) - centres[cell, None]) / stride
    rows[cell, 9:] = offsets.reshape(-1, 10)
    return rows
