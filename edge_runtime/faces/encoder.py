"""Aligned chips in, codes of unit length out: preprocessing and quantisation as the manifest says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import BundleError, InputError
from edge_runtime.faces.align import Template
from edge_runtime.faces.lookup import input_table
from edge_runtime.protocols import Interpreter
from edge_runtime.types import Floats, Pixels

Colour = Literal["rgb", "bgr", "grey"]
GREY_WEIGHTS = np.array([0.299, 0.587, 0.114], np.float32)
"""Luma of RGB (ITU-R BT.601), as cameras and JPEG use it."""

_SHORTEST_CODE = 1e-6
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


class TfliteEncoder:
    """The encoder of a bundle on one interpreter; see ``protocols.Encoder``.

    An 8-bit input is filled through one 256-entry table a channel, so preprocessing costs a look-up.

    Attributes:
        code_size: D.
        mirrored: whether a code is the mean of the face's and of its mirror image's, at twice the time.
    """

    def __init__(self, interpreter: Interpreter, preprocessing: Preprocessing, mirrored: bool = False) -> None:
        """Check that model and preprocessing fit.

        Raises:
            BundleError: the model's input is not (1, h, w, C) of the template, or its output not (1, D).
        """
        width, height = preprocessing.template.size_wh
        expected = (1, height, width, preprocessing.channels)
        if interpreter.input_shape != expected:
            raise BundleError(f"encoder: expected input {expected}, found {interpreter.input_shape}; convert it again")
        shapes = [port.shape for port in interpreter.outputs]
        if len(shapes) != 1 or len(shapes[0]) != 2 or shapes[0][0] != 1:
            raise BundleError(f"encoder: expected one output (1, D), found {shapes}; convert it again")
        self.code_size = shapes[0][1]
        self.mirrored = mirrored
        self._interpreter = interpreter
        self.interpreter = interpreter
        self._preprocessing = preprocessing
        self._table = input_table(preprocessing.mean, preprocessing.std, interpreter, "encoder")

    def encode(self, chips: Pixels) -> tuple[Floats, Floats]:
        """Codes of unit length (N, D) and their lengths before (N,), from uint8 (N, h, w, 3) RGB chips.

        With ``mirrored`` the lengths are of the two codes' mean, each at unit length, times the first one's.

        Raises:
            InputError: chips of another shape or dtype.
        """
        codes, norms = self.raw(chips)
        if not self.mirrored:
            return codes, norms
        others, _ = self.raw(np.ascontiguousarray(chips[:, :, ::-1]))
        means, closeness = normalise((codes + others) * np.float32(0.5))
        return means, norms * closeness

    def raw(self, chips: Pixels) -> tuple[Floats, Floats]:
        """As :meth:`encode`, of the chips alone, never of their mirror images."""
        width, height = self._preprocessing.template.size_wh
        if chips.dtype != np.uint8 or chips.shape[1:] != (height, width, 3):
            raise InputError(f"chips: expected uint8 (N, {height}, {width}, 3), received {chips.dtype} {chips.shape}")
        raw = np.empty((len(chips), self.code_size), np.float32)
        for row, chip in zip(raw, chips, strict=True):
            row[:] = self.dequantise(self.interpreter.run(self.tensor(chip[None]))[0])[0]
        return normalise(raw)

    def tensor(self, chip: Pixels) -> NDArray[Any]:
        """The model's input tensor for one chip uint8 (1, h, w, 3) RGB."""
        ordered = self._preprocessing.reorder(chip)
        if self._table is None:
            return self._preprocessing.as_float(chip).astype(self.interpreter.input_dtype)
        return self._table[ordered, np.arange(self._preprocessing.channels)]

    def dequantise(self, output: NDArray[Any]) -> Floats:
        """The model's output as float32, in the model's own scale."""
        scale, zero_point = self.interpreter.outputs[0].quantization
        if output.dtype.kind == "f":
            return output.astype(np.float32)
        return (output.astype(np.float32) - zero_point) * np.float32(scale)

    def close(self) -> None:
        self.interpreter.close()


def normalise(codes: Floats) -> tuple[Floats, Floats]:
    """Codes (N, D) at unit length and their lengths (N,); a code of (nearly) zero length stays zero, length 0."""
    norms = np.linalg.norm(codes, axis=1).astype(np.float32)
    good = np.isfinite(norms) & (norms > _SHORTEST_CODE)
    unit = np.zeros_like(codes, dtype=np.float32)
    unit[good] = codes[good] / norms[good, None]
    return unit, np.where(good, norms, np.float32(0))
