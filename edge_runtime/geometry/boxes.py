"""How much boxes overlap."""

from __future__ import annotations

import numpy as np

from edge_runtime.types import Floats


def iou(a: Floats, b: Floats) -> Floats:
    """Intersection over union of boxes xyxy (N, 4) and (M, 4): float32 (N, M)."""
    top_left = np.maximum(a[:, None, :2], b[None, :, :2])
    bottom_right = np.minimum(a[:, None, 2:], b[None, :, 2:])
    common = np.prod(np.clip(bottom_right - top_left, 0, None), axis=2)
    area_a, area_b = np.prod(a[:, 2:] - a[:, :2], axis=1), np.prod(b[:, 2:] - b[:, :2], axis=1)
    return np.asarray(common / np.maximum(area_a[:, None] + area_b[None] - common, 1e-6), np.float32)
