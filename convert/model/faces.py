"""Which faces of the chips a model is calibrated on, and which it is measured on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convert.model.source import Source
from convert.recipe import Recipe
from edge_runtime.errors import InputError
from edge_runtime.pictures.chips import Chips
from edge_runtime.types import Pixels

_MOST_PROBES = 4000


@dataclass(frozen=True)
class Picked:
    """Which faces of the chips are used for what.

    Attributes:
        fitting: int64 (n,), people the model was fitted on.
        probe: int64 (m,), others.
        split: what is compared on: ``select`` or ``train``, or ``unknown`` for a model from elsewhere.
    """

    fitting: NDArray[np.int64]
    probe: NDArray[np.int64]
    split: str


def pick(chips: Chips, recipe: Recipe) -> Picked:
    """Calibrate on people the model was fitted on, compare on others; without others, on other photos.

    Raises:
        InputError: too few faces.
    """
    rng = np.random.default_rng(recipe.seed)
    train, select = rng.permutation(chips.indices("train")), rng.permutation(chips.indices("select"))
    wanted = max(recipe.calibration_chips, recipe.qat_chips)
    fitting = train[: wanted if len(select) else min(wanted, len(train) // 2 or 1)]
    split, rest = ("select", select) if len(select) else ("train", train[len(fitting) :])
    if recipe.quantisation == "none":
        others = rng.permutation(np.flatnonzero(chips.split != "cohort").astype(np.int64))
        split, rest = "unknown", select if len(select) else others
    if (wanted and not len(train)) or not len(rest):
        raise InputError(
            f"{chips.path}: expected faces to calibrate on and others to compare on, found {len(train)} of the split "
            f"train and {len(select)} of select; run python -m train prepare with more photos"
        )
    return Picked(np.sort(fitting), np.sort(rest[:_MOST_PROBES]), split)


@dataclass(frozen=True)
class Faces:
    """The same, aligned to the encoder's template.

    Attributes:
        fitting: uint8 (n, h, w, 3) RGB, people the model was fitted on.
        probe: uint8 (m, h, w, 3) RGB, others.
        names: the person of each of ``probe``; empty where nobody knows.
        split: as in :class:`Picked`.
    """

    fitting: Pixels
    probe: Pixels
    names: list[str]
    split: str


def read_faces(source: Source, recipe: Recipe) -> Faces:
    """Read the faces of a source that a recipe asks for.

    Raises:
        InputError: too few, or a crop that cannot be decoded.
    """
    chips, template = source.chips, source.preprocessing.template
    picked = pick(chips, recipe)
    return Faces(
        chips.aligned(picked.fitting, template),
        chips.aligned(picked.probe, template),
        chips.names[picked.probe].tolist(),
        picked.split,
    )
