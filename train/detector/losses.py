"""How far a detector's cells are from what they should say; in ``keras.ops``, any backend."""

from __future__ import annotations

from typing import Any

from keras import ops

_LANDMARK_BETA = 0.01
"""Below this share of a face's size an error counts by its square."""


def score_loss(target: Any, weight: Any, logit: Any) -> Any:
    """Focal cross-entropy (Lin et al., "Focal loss", 2017, in the form of Li et al., 2020): |t - p|^2 times it.

    Args:
        target: (B, cells), 0 or 1.
        weight: (B, cells).
        logit: (B, cells).

    Returns:
        the sum over all cells.
    """
    probability = ops.sigmoid(logit)
    return ops.sum(weight * ops.square(target - probability) * cross_entropy(target, logit))


def cross_entropy(target: Any, logit: Any) -> Any:
    """Of each score, in the shape of ``target`` (0 or 1) and ``logit``; never infinite."""
    return ops.maximum(logit, 0.0) - logit * target + ops.log1p(ops.exp(-ops.abs(logit)))


def box_loss(target: Any, weight: Any, shape: Any, size: Any) -> Any:
    """1 - generalised IoU (Rezatofighi et al., 2019) plus the edges' mean distance in face sizes, summed.

    Args:
        target: (B, cells, 4), distances to left, top, right, bottom.
        weight: (B, cells).
        shape: (B, cells, 4), as predicted.
        size: (B, cells), of the faces, in strides; 0 in a cell without a face.
    """
    found = ops.maximum(shape, 0.0)
    inner = ops.minimum(found, target)
    outer = ops.maximum(found, target)
    common = _area(inner)
    union = _area(found) + _area(target) - common
    hull = ops.maximum(_area(outer), 1e-6)
    giou = common / ops.maximum(union, 1e-6) - (hull - union) / hull
    distance = ops.mean(ops.abs(shape - target), axis=-1) / ops.maximum(size, 0.1)
    return ops.sum(weight * (1.0 - giou + distance))


def landmark_loss(target: Any, weight: Any, shape: Any, size: Any) -> Any:
    """Huber distance of each coordinate in face sizes, averaged over the ten, summed; (B, cells, 10)."""
    error = ops.abs(shape - target) / ops.expand_dims(ops.maximum(size, 0.1), -1)
    near = ops.minimum(error, _LANDMARK_BETA)
    huber = near * near / (2 * _LANDMARK_BETA) + (error - near)
    return ops.sum(weight * ops.mean(huber, axis=-1))


def _area(distances: Any) -> Any:
    return (distances[..., 0] + distances[..., 2]) * (distances[..., 1] + distances[..., 3])
