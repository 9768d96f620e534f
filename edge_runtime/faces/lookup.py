"""From a picture's values 0..255 to a network's input: one look-up where the input is of 8 bits."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge_runtime.errors import BundleError
from edge_runtime.protocols import Interpreter


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
    if scale <= 0 or interpreter.input_dtype.itemsize != 1:
        raise BundleError(f"{who}: expected a quantised 8-bit input with a scale, found none; convert it again")
    # In float32 first, as training and calibration scale their values.
    values = (np.arange(256, dtype=np.float32)[:, None] - np.asarray(mean, np.float32)) / np.asarray(std, np.float32)
    limits = np.iinfo(interpreter.input_dtype)
    table = np.clip(np.rint(values.astype(np.float64) / scale) + zero_point, limits.min, limits.max)
    return np.asarray(table, interpreter.input_dtype)
