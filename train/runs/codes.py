"""Codes that a run's encoder gives, as float32."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from edge_runtime.bundle.preprocessing import Preprocessing
from edge_runtime.errors import InputError
from edge_runtime.pictures.chips import Chips
from edge_runtime.types import Floats, Pixels
from train.runs.models import open_model
from train.runs.run import Run

_BATCH = 256
Value = TypeVar("Value", np.uint8, np.float32)


def chips_like(fitted: Run, other: Path | None) -> Chips:
    """The run's own chips, or other ones that were made the same way.

    Raises:
        InputError: missing or altered, or aligned by another detector.
    """
    if other is None:
        return fitted.chips()
    chips = Chips.load(other)
    if chips.preprocessing_hash != fitted.chips_file["preprocessing_hash"]:
        raise InputError(
            f"{other}: expected chips aligned by {fitted.chips_file['detector']} as the run's were, "
            f"found {chips.detector}; prepare them again with that detector"
        )
    return chips


def photos_of(chips: Chips, people: str, fewest: int, most: int | None = None, named: bool = True) -> NDArray[np.int64]:
    """Which chips are of the people of a split, int64 (N,), the first ``most``.

    Args:
        chips: the chips file.
        people: the split.
        fewest: that are of use.
        most: that are wanted; None: all.
        named: leave out those whose person nobody knows.

    Raises:
        InputError: fewer than ``fewest``.
    """
    wanted = chips.split == people
    chosen = np.flatnonzero(wanted & (chips.names != "") if named else wanted)[:most]
    if len(chosen) < fewest:
        raise InputError(
            f"{chips.path}: expected {fewest} photos or more of {people}, found {len(chosen)}; name others"
        )
    return chosen


def some_fitted(chips: Chips, most: int, seed: int = 0) -> NDArray[np.int64]:
    """Which chips to learn from, int64 (N,): at most so many of the split ``train``, drawn by ``seed``."""
    return np.random.default_rng(seed).permutation(np.flatnonzero(chips.split == "train"))[:most]


def encode_chips(
    fitted: Run, chips: Chips, wanted: NDArray[np.int64], change: Callable[[Pixels], Pixels] | None = None
) -> tuple[Floats, NDArray[np.uint8]]:
    """Codes as the encoder gives them, float32 (N, D), and the faces in its colours, uint8 (N, h, w, C).

    Args:
        fitted: the run.
        chips: faces.
        wanted: int64 (N,), which of them.
        change: done to each chip, uint8 (h, w, 3) RGB, before.
    """
    encoder = open_model(fitted.encoder_path)
    codes, faces = [], []
    for start in tqdm(range(0, len(wanted), _BATCH), "encode", unit="batch", disable=None, leave=False):
        aligned = chips.aligned(wanted[start : start + _BATCH], fitted.preprocessing.template)
        if change:
            aligned = np.stack([change(chip) for chip in aligned])
        faces.append(fitted.preprocessing.reorder(aligned))
        codes.append(np.asarray(encoder.predict_on_batch(fitted.preprocessing.as_float(aligned)), np.float32))
    return np.concatenate(codes), np.concatenate(faces)


def as_rgb(faces: NDArray[Value], preprocessing: Preprocessing) -> NDArray[Value]:
    """Faces (N, h, w, C) in a run's colours as (N, h, w, 3) RGB of the same numbers; grey three times."""
    if preprocessing.colour == "bgr":
        return np.ascontiguousarray(faces[..., ::-1])
    return np.repeat(faces, 3, -1) if faces.shape[-1] == 1 else faces
