"""What the networks are made of; a layer's name begins with its part's, by which weights are taken over."""

from __future__ import annotations

import keras
from keras import layers


def conv_norm(x: keras.KerasTensor, channels: int, name: str, policy: str, strides: int = 1) -> keras.KerasTensor:
    """A 3x3 convolution and a norm."""
    x = layers.Conv2D(
        channels, 3, strides, "same", use_bias=False, kernel_initializer="he_normal", name=f"{name}_conv", dtype=policy
    )(x)
    return layers.BatchNormalization(name=f"{name}_norm", dtype=policy)(x)


def relu(x: keras.KerasTensor, name: str, policy: str) -> keras.KerasTensor:
    """A plain ReLU."""
    return layers.ReLU(name=f"{name}_relu", dtype=policy)(x)


def conv_relu(x: keras.KerasTensor, channels: int, name: str, policy: str, strides: int = 1) -> keras.KerasTensor:
    """A 3x3 convolution, a norm and a ReLU."""
    return relu(conv_norm(x, channels, name, policy, strides), name, policy)


def residual(x: keras.KerasTensor, channels: int, name: str, policy: str) -> keras.KerasTensor:
    """Two 3x3 convolutions past which the input goes too (He et al., 2016)."""
    y = conv_norm(conv_relu(x, channels, f"{name}a", policy), channels, f"{name}b", policy)
    return relu(layers.Add(name=f"{name}_add", dtype=policy)([x, y]), name, policy)
