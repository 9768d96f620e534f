"""What a model costs on a device."""

from __future__ import annotations

import keras
from keras import layers


def multiply_adds(model: keras.Model) -> int:
    """Multiplications of one picture in a model's convolutions and dense layers."""
    total = 0
    for layer in model.layers:
        if isinstance(layer, layers.DepthwiseConv2D | layers.Conv2D):
            _, height, width, channels = layer.output.shape
            side_h, side_w = layer.kernel_size
            deep = 1 if isinstance(layer, layers.DepthwiseConv2D) else layer.input.shape[-1]
            total += height * width * channels * side_h * side_w * deep
        elif isinstance(layer, layers.Dense):
            total += layer.input.shape[-1] * layer.units
    return total
