"""What the outputs of a grid detector mean, and one face out of the many cells that see it.

The picture is covered by three grids of cells, 8, 16 and 32 px a side. For each cell the network says how sure it is
that a face's middle is near (a logit), how far the box's edges are, and where the landmarks are, in units of the
cell's side from the cell's centre (FCOS, Tian et al., 2019). Cells that see the same face are averaged by their
scores ("box voting", Gidaris and Komodakis, 2015), landmarks too, which also evens out the steps of int8.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_runtime.geometry.boxes import covered, iou
from edge_runtime.types import Detections, Floats

STRIDES = (8, 16, 32)
SHAPE = 14
"""Numbers of a cell's shape: distances to left, top, right, bottom, then five landmarks x, y."""
_SAME_FACE_IOU = 0.45
_VOTE_IOU = 0.6
SAME_FACE_COVERED = 0.6
"""Of the smaller box of two looks; a face that one of them shows in part is a smaller box."""
_MOST_CELLS = 400
_FIELDS = ("xyxy", "score", "landmarks")


@dataclass(frozen=True, slots=True)
class Grids:
    """Where the cells are.

    Attributes:
        size_wh: width and height of the network's picture, px.
    """

    size_wh: tuple[int, int]

    def shape_hw(self, stride: int) -> tuple[int, int]:
        """Rows and columns of one grid; the last ones may reach beyond the picture."""
        return -(-self.size_wh[1] // stride), -(-self.size_wh[0] // stride)

    def centres(self, stride: int) -> Floats:
        """Centres of one grid's cells, row by row, float32 (h * w, 2), px."""
        rows, columns = self.shape_hw(stride)
        y, x = np.mgrid[:rows, :columns].astype(np.float32)
        return np.asarray((np.stack([x.ravel(), y.ravel()], 1) + 0.5) * stride - 0.5, np.float32)


def decode(centres: Floats, strides: Floats, logits: Floats, shapes: Floats, sure: float = 0.0) -> Detections:
    """Faces from the cells that are sure enough, overlapping ones made one, best first.

    Args:
        centres: float32 (N, 2), px.
        strides: float32 (N,), px.
        logits: float32 (N,).
        shapes: float32 (N, 14).
        sure: as for :func:`voted`.

    Returns:
        One detection a face, px of the network's picture.
    """
    order = np.argsort(-logits, kind="stable")[:_MOST_CELLS]
    centres, strides, logits, shapes = centres[order], strides[order], logits[order], shapes[order]
    lengths = shapes * strides[:, None]
    xyxy = np.concatenate([centres - np.maximum(lengths[:, :2], 0), centres + np.maximum(lengths[:, 2:4], 0)], 1)
    landmarks = centres[:, None] + lengths[:, 4:].reshape(-1, 5, 2)
    return voted(Detections(xyxy, (1 / (1 + np.exp(-logits))).astype(np.float32), landmarks), sure)


def voted(faces: Detections, sure: float = 0.0) -> Detections:
    """Overlapping detections made one: the best score, box and landmarks averaged by score; best first.

    A face that reaches the score ``sure`` is averaged from those that do, whatever others were asked for.
    """
    if not len(faces):
        return faces
    order = np.argsort(-faces.score, kind="stable")
    overlaps = iou(faces.xyxy, faces.xyxy)
    left = np.ones(len(faces), bool)
    kept, groups = [], []
    for best in order:
        if left[best]:
            kept.append(best)
            groups.append((overlaps[best] >= _VOTE_IOU) & (faces.score >= min(sure - 1e-6, faces.score[best])))
            left &= overlaps[best] < _SAME_FACE_IOU
            left[best] = False
    best = np.array(kept)
    weights = np.stack(groups) * faces.score
    weights[np.arange(len(best)), best] = faces.score[best]  # a box without area overlaps not even itself
    weights /= weights.sum(1, keepdims=True)
    points = (weights @ faces.landmarks.reshape(-1, 10)).reshape(-1, 5, 2)
    return Detections((weights @ faces.xyxy).astype(np.float32), faces.score[best], points.astype(np.float32))


def apart(parts: Sequence[Detections]) -> tuple[Detections, NDArray[np.int64]]:
    """Detections of overlapping looks at one picture, each face once, as the look showed it that was surest.

    Args:
        parts: of one picture, px of it; what overlaps within one part stays.

    Returns:
        The faces, best first, and where each stands in the parts laid end to end.
    """
    faces = Detections(*(np.concatenate([getattr(part, name) for part in parts]) for name in _FIELDS))
    part = np.repeat(np.arange(len(parts)), [len(one) for one in parts])
    order = np.argsort(-faces.score, kind="stable")
    again = (covered(faces.xyxy, faces.xyxy) >= SAME_FACE_COVERED) & (part[:, None] != part[None])
    left = np.ones(len(faces), bool)
    kept = []
    for best in order:
        if left[best]:
            kept.append(best)
            left &= ~again[best]
    index = np.array(kept, np.int64)
    return faces[index], index
