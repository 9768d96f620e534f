"""From a picture's values to a network's input, one look-up where that is of 8 bits, and back from its outputs."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge_runtime.errors import BundleError
from edge_runtime.protocols import Interpreter
from edge_runtime.types import Floats, Pixels


def input_table(mean: ArrayLike, std: ArrayLike, interpreter: Interpreter, who: str) -> NDArray[Any] | None:
    """What each value of each channel is to the network, (256, C) in its 8-bit dtype; None for a float input.

    Args:
        mean: of each channel, (C,), 0..255.
        std: of each channel, (C,), positive.
        interpreter: of the network.
        who: what the network is, for the error.

    Raises:
        BundleError: the input is neither float nor quantised to 8 bits.
    """
    if interpreter.input_dtype.kind == "f":
        return None
    scale, zero_point = interpreter.input_quantization
    dtype = interpreter.input_dtype
    if dtype.itemsize != 1:
        raise BundleError(
            f"{who}: expected an input of float32, or of int8 or uint8 with a scale, found {dtype.name}; "
            "convert it again with an int8 or float32 input"
        )
    if scale <= 0:
        raise BundleError(
            f"{who}: expected a scale for the {dtype.name} input, found none, so the model turns its input into float "
            "itself; leave that out of the model and convert it again with a float32 or quantised input"
        )
    # In float32 first, as training and calibration scale their values.
    values = (np.arange(256, dtype=np.float32)[:, None] - np.asarray(mean, np.float32)) / np.asarray(std, np.float32)
    limits = np.iinfo(interpreter.input_dtype)
    table = np.clip(np.rint(values.astype(np.float64) / scale) + zero_point, limits.min, limits.max)
    return np.asarray(table, interpreter.input_dtype)


class PictureInput:
    """Makes a network's input of an RGB picture."""

    def __init__(self, mean: ArrayLike, std: ArrayLike, interpreter: Interpreter, who: str) -> None:
        """Arguments and errors as for :func:`input_table`."""
        table = input_table(mean, std, interpreter, who)
        self._table = None if table is None else table[None]
        self._mean, self._std = np.asarray(mean, np.float32), np.asarray(std, np.float32)

    def __call__(self, pixels: Pixels) -> NDArray[Any]:
        """The tensor (1, H, W, 3) of a picture uint8 (H, W, 3)."""
        if self._table is not None:
            return np.asarray(cv2.LUT(pixels, self._table))[None]
        return ((pixels.astype(np.float32) - self._mean) / self._std)[None]


def real(values: NDArray[Any], port: tuple[float, int]) -> Floats:
    """What an output's numbers mean, float32: quantised ones are widened before the zero point is taken off.

    Args:
        values: as the interpreter gave them.
        port: (scale, zero point) of the output; (0.0, 0) where not quantised.
    """
    if not port[0]:
        return np.asarray(values, np.float32)
    return (values.astype(np.float32) - np.float32(port[1])) * np.float32(port[0])
