"""From an aligned chip to the numbers a model was trained on: colour order, normalisation, alignment template."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import InputError
from edge_runtime.geometry.alignment import Template
from edge_runtime.types import Floats, Pixels

Colour = Literal["rgb", "bgr", "grey"]
GREY_WEIGHTS = np.array([0.299, 0.587, 0.114], np.float32)
"""Luma of RGB (ITU-R BT.601), as cameras and JPEG use it."""
_FARTHEST_PX = 1e6


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """From an RGB chip to the numbers a model was trained on: (value - mean) / std in its colour order.

    Attributes:
        colour: ``rgb``, ``bgr`` or ``grey`` (BT.601 luma, one channel).
        mean: per channel, in 0..255.
        std: per channel, in 0..255, positive.
        template: alignment and size of the chip.
    """

    colour: Colour
    mean: tuple[float, ...]
    std: tuple[float, ...]
    template: Template

    def __post_init__(self) -> None:
        if self.colour not in ("rgb", "bgr", "grey"):
            raise InputError(f"colour: expected rgb, bgr or grey, received {self.colour!r}")
        numbers = np.array([*self.mean, *self.std])
        if not len(self.mean) == len(self.std) == self.channels or not np.isfinite(numbers).all() or min(self.std) <= 0:
            raise InputError(
                f"normalisation: expected {self.channels} means and positive stds, "
                f"received {self.mean!r} and {self.std!r}"
            )

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """From the keys ``colour``, ``mean``, ``std`` and ``template`` (``points``, ``size_wh``) of a JSON document.

        Raises:
            InputError: a value out of range.
            KeyError, TypeError, ValueError, IndexError: a value missing, or of another kind.
        """
        points, size_wh = document["template"]["points"], document["template"]["size_wh"]
        template = Template(
            tuple((float(x), float(y)) for x, y in points),
            (int(size_wh[0]), int(size_wh[1])),
        )
        if not all(abs(value) < _FARTHEST_PX for point in template.points for value in point):
            raise InputError(f"template: expected finite points near the chip, received {points!r}")
        return cls(
            document["colour"], tuple(map(float, document["mean"])), tuple(map(float, document["std"])), template
        )

    def as_json(self) -> dict[str, Any]:
        """JSON-ready; the inverse of :meth:`from_json`."""
        return {
            "colour": self.colour,
            "mean": list(self.mean),
            "std": list(self.std),
            "template": {
                "points": [list(point) for point in self.template.points],
                "size_wh": list(self.template.size_wh),
            },
        }

    @property
    def channels(self) -> int:
        return 1 if self.colour == "grey" else 3

    def reorder(self, chips: Pixels) -> Pixels:
        """uint8 (N, h, w, 3) RGB to uint8 (N, h, w, C) in the model's colours."""
        if self.colour == "rgb":
            return chips
        if self.colour == "bgr":
            return chips[..., ::-1]
        grey = chips.astype(np.float32) @ GREY_WEIGHTS
        return np.asarray(np.rint(grey)[..., None], np.uint8)

    def as_float(self, chips: Pixels) -> Floats:
        """uint8 (N, h, w, 3) RGB to the float32 (N, h, w, C) that training and float models take."""
        return self.scale(self.reorder(chips))

    def scale(self, ordered: NDArray[Any]) -> Floats:
        """(value - mean) / std in float32, for values 0..255 whose last axis is the model's channels (or 1)."""
        mean, std = np.asarray(self.mean, np.float32), np.asarray(self.std, np.float32)
        return np.asarray((ordered.astype(np.float32) - mean) / std, np.float32)


def preprocessing_hash(preprocessing: Preprocessing, detector_name: str, mirrored: bool = False) -> str:
    """sha256 (hex) of the alignment's detector, the template, colour order, normalisation, and mirroring if any."""
    document: dict[str, Any] = {
        "alignment": detector_name,
        "colour": preprocessing.colour,
        "mean": list(preprocessing.mean),
        "std": list(preprocessing.std),
        "points": [list(point) for point in preprocessing.template.points],
        "size_wh": list(preprocessing.template.size_wh),
    }
    if mirrored:
        document["mirrored"] = True
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
