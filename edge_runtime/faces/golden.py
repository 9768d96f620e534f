"""The self-test of a device: do its interpreters give what the bundle's maker saw?"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from edge_runtime.bundle.folder import Bundle
from edge_runtime.errors import BundleError, SelfTestError
from edge_runtime.faces.encoder import TfliteEncoder
from edge_runtime.protocols import Detector

DETECTOR_GOLDEN = "detector_golden.npz"
_GOLDEN_PX = 3.0


def check_golden(bundle: Bundle, encoder: TfliteEncoder) -> float:
    """Encode the golden chips and compare; returns the smallest cosine.

    Raises:
        SelfTestError: a cosine below the manifest's: the device computes something else.
    """
    chips, expected = bundle.golden()
    embeddings, _ = encoder.encode(chips)
    lowest = float((embeddings * expected).sum(1).min())
    floor = bundle.manifest.golden_cosine
    if not math.isfinite(lowest) or lowest < floor:
        raise SelfTestError(
            f"{bundle.path}: expected the golden outputs (cosine >= {floor:.4f}), found {lowest:.4f}; "
            "this interpreter computes something else, install the other one"
        )
    return lowest


def check_golden_faces(bundle: Bundle, detector: Detector) -> None:
    """Look at the golden pictures and compare; nothing to do with a detector that is not the bundle's own.

    Raises:
        SelfTestError: other faces, or not where the bundle's maker found them: the device computes something else.
    """
    if bundle.manifest.own_detector is None or detector.name != bundle.manifest.own_detector.name:
        return
    keys = ("pictures", "faces", "xyxy", "landmarks")
    pictures, counts, xyxy, landmarks = bundle.arrays(DETECTOR_GOLDEN, *keys)
    _check_faces(bundle, pictures, counts, xyxy, landmarks)
    ends = np.cumsum(counts)
    for picture, count, end in zip(pictures, counts, ends, strict=True):
        found = detector.detect(picture)
        expected = np.concatenate([xyxy, landmarks.reshape(-1, 10)], 1)[end - count : end]
        seen = np.concatenate([found.xyxy, found.landmarks.reshape(-1, 10)], 1)
        off = np.abs(expected[:, None] - seen[None]).max(2).min(1, initial=np.inf)
        if (worst := float(off.max(initial=0.0))) > _GOLDEN_PX:
            raise SelfTestError(
                f"{bundle.path}: expected the golden faces and landmarks within {_GOLDEN_PX:g} px, found them "
                f"{worst:.1f} px off; this interpreter computes something else, install the other one"
            )


def _check_faces(bundle: Bundle, pictures: Any, counts: Any, xyxy: Any, landmarks: Any) -> None:
    total = int(counts.sum()) if counts.dtype.kind in "iu" and counts.ndim == 1 else -1
    sound = (
        (pictures.dtype == np.uint8 and pictures.ndim == 4 and pictures.shape[3] == 3)
        and len(pictures) == len(counts)
        and (counts >= 0).all()
        and (xyxy.dtype.kind, xyxy.shape) == ("f", (total, 4))
        and (landmarks.dtype.kind, landmarks.shape) == ("f", (total, 5, 2))
    )
    if not sound:
        raise BundleError(
            f"{bundle.path / DETECTOR_GOLDEN}: expected pictures uint8 (N, H, W, 3), counts (N,), xyxy (M, 4) and "
            f"landmarks (M, 5, 2), found {pictures.shape}, {counts.shape}, {xyxy.shape} and {landmarks.shape}; "
            "make the bundle again"
        )
