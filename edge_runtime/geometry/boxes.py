"""How much boxes overlap."""

from __future__ import annotations

import numpy as np

from edge_runtime.types import Floats


def iou(a: Floats, b: Floats) -> Floats:
    """Intersection over union of boxes xyxy (N, 4) and (M, 4): float32 (N, M)."""
    common = _common(a, b)
    return np.asarray(common / np.maximum(_area(a)[:, None] + _area(b)[None] - common, 1e-6), np.float32)


def covered(a: Floats, b: Floats) -> Floats:
    """Intersection over the smaller of two boxes, xyxy (N, 4) and (M, 4): float32 (N, M)."""
    return np.asarray(_common(a, b) / np.maximum(np.minimum(_area(a)[:, None], _area(b)[None]), 1e-6), np.float32)


def _common(a: Floats, b: Floats) -> Floats:
    top_left = np.maximum(a[:, None, :2], b[None, :, :2])
    bottom_right = np.minimum(a[:, None, 2:], b[None, :, 2:])
    return np.asarray(np.prod(np.clip(bottom_right - top_left, 0, None), axis=2), np.float32)


def _area(boxes: Floats) -> Floats:
    return np.asarray(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1), np.float32)
