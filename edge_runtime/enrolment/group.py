"""Which face of a group photo is meant: the one that looks like the person's other photos, and no other one does."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_runtime.faces.chain import central_face, rivals
from edge_runtime.geometry.embeddings import normalise
from edge_runtime.types import Detections, Floats

CLEAR_LEAD = 0.2
"""The face that fits best is taken although another one fits too, if its cosine is larger by this much."""
_BY_CHANCE = 0.01
"""In a group without the person, one of the faces fits with this chance, if they are as strangers are."""
_NAME_ONE = "name the one that is meant with --face N, or crop the photo to it"


def from_left(detections: Detections) -> NDArray[np.int64]:
    """Indices of the faces from left to right: the first is number 1 for people."""
    return np.argsort(detections.centre[:, 0], kind="stable")


def meant(detections: Detections, size_wh: tuple[int, int]) -> NDArray[np.int64]:
    """Indices of the faces that may be the one that is meant, from left to right; one where there is no doubt.

    Args:
        detections: at least one face.
        size_wh: width and height of the picture, px.
    """
    chosen = central_face(detections, size_wh)
    if not rivals(detections, chosen):
        return np.array([chosen])
    return from_left(detections)


def choose(faces: Floats, others: Floats, weights: Floats, strangers: Floats) -> int | str:
    """The one of several faces that is the same person as ``others``, or why none is taken.

    Args:
        faces: float32 (F, D) of unit length, or zero where nothing is seen in one; F is 2 or more.
        others: float32 (T, D) of unit length, the person's other photos.
        weights: float32 (T,), > 0.
        strangers: float32 (S, D) of unit length; they tell how alike is alike enough.
    """
    if not len(others):
        return f"{len(faces)} faces, and no other photo of this name says which is meant; {_NAME_ONE}"
    average = normalise((others * weights[:, None]).sum(0, keepdims=True))[0][0]
    scores = faces @ average
    fits = scores >= np.quantile(strangers @ average, 1 - _BY_CHANCE / len(faces))
    second, best = np.argsort(scores)[-2:]
    if not fits[best]:
        return f"{len(faces)} faces, and no one of them looks like the other photos of this name; {_NAME_ONE}"
    if fits[second] and scores[best] - scores[second] < CLEAR_LEAD:
        return f"{len(faces)} faces, and more than one looks like the other photos of this name; {_NAME_ONE}"
    return int(best)
