"""Evens out the channels between two linear convolutions, so that one int8 step fits them all.

Where nothing but numbers lies between a pointwise and a depthwise convolution (no bias, no activation, no norm), each
channel may be made larger by a factor in the first and smaller by it in the second without changing the result
(cross-layer equalisation, Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction",
2019). The factors here are measured: each channel gets the same largest value on calibration pictures.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_LEAST = 1e-3
"""A channel's largest value, as a share of the largest channel's, below which it is not enlarged further."""
_BATCH = 16


def equalised(model: Any, inputs: NDArray[np.float32]) -> int:
    """Rescale every such pair of a Keras model in place; returns how many there are.

    Args:
        model: a functional ``keras.Model`` of float32.
        inputs: float32 (N, h, w, C), calibration pictures as the model sees them.
    """
    import keras

    pairs = [(first, second) for first in model.layers if (second := _partner(first)) is not None]
    if not pairs:
        return 0
    probe = keras.Model(model.inputs, [first.output for first, _ in pairs])
    largest = [np.zeros(first.output.shape[-1], np.float32) for first, _ in pairs]
    for at in range(0, len(inputs), _BATCH):
        values = probe(inputs[at : at + _BATCH], training=False)
        for most, value in zip(largest, values if isinstance(values, list) else [values], strict=True):
            np.maximum(most, np.abs(keras.ops.convert_to_numpy(value)).max((0, 1, 2)), out=most)
    for (first, second), most in zip(pairs, largest, strict=True):
        share = np.maximum(most / max(float(most.max()), 1e-12), _LEAST)
        _scale(first, second, np.asarray(1 / share, np.float32))
    return len(pairs)


def _partner(layer: Any) -> Any:
    """The convolution that alone takes what this convolution gives, if nothing is in between; else None."""
    if not _linear(layer):
        return None
    takers = [node.operation for node in layer._outbound_nodes]
    return takers[0] if len(takers) == 1 and _linear(takers[0]) else None


def _linear(layer: Any) -> bool:
    import keras

    kinds = keras.layers.Conv2D | keras.layers.DepthwiseConv2D
    return isinstance(layer, kinds) and not layer.use_bias and layer.activation is keras.activations.linear


def _scale(first: Any, second: Any, factor: NDArray[np.float32]) -> None:
    import keras

    (kernel,) = first.get_weights()
    # A depthwise kernel is (h, w, channels, 1), a full one (h, w, in, out).
    deep = isinstance(first, keras.layers.DepthwiseConv2D)
    first.set_weights([kernel * (factor[:, None] if deep else factor)])
    (kernel,) = second.get_weights()
    second.set_weights([kernel / factor[:, None]])
