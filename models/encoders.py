"""Encoders: the half of an autoencoder that goes to a device, as plain functional models of stock layers.

Only operations that the Edge TPU has are used: plain ReLU, no grouped convolution, no normalisation of the
code in the graph (the host does that in float32).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import keras
from keras import layers

from edge_runtime.errors import InputError
from models.parts import conv_relu, residual

EncoderKind = Literal["dense", "conv"]


@dataclass(frozen=True, slots=True)
class EncoderSpec:
    """Shape of an encoder; ``build`` makes the Keras model.

    Attributes:
        kind: ``dense``: fully connected layers with ReLU, the code included; ``conv``: stride-2 stages of 3x3
            convolutions with residual blocks (He et al., "Deep residual learning", 2016), a depthwise
            convolution over what is left of the picture instead of pooling (MobileFaceNet, Chen et al., 2018)
            and a linear code.
        size: side of the square input, px; for ``conv`` a multiple of 2 ** stages.
        channels: 1 (grey) or 3.
        code_size: length of the code.
        widths: units of the hidden layers (``dense``) or channels of the stages (``conv``).
        blocks: residual blocks of each stage; ``conv`` only.
    """

    kind: EncoderKind
    size: int
    channels: int
    code_size: int
    widths: tuple[int, ...]
    blocks: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in ("dense", "conv"):
            raise InputError(f"encoder kind: expected dense or conv, received {self.kind!r}")
        if min((self.size, self.channels, self.code_size, *self.widths), default=0) < 1 or not self.widths:
            raise InputError(f"encoder: expected positive sizes and at least one width, received {self}")
        if self.kind == "conv":
            if len(self.blocks) != len(self.widths):
                raise InputError(
                    f"encoder: expected one number of blocks a stage, received {self.blocks} for {self.widths}"
                )
            if self.size % 2 ** len(self.widths):
                raise InputError(f"encoder size: expected a multiple of {2 ** len(self.widths)}, received {self.size}")

    @property
    def grid(self) -> int:
        """Side of the feature map before the code (``conv``)."""
        return self.size >> len(self.widths)

    def build(self, policy: str = "float32") -> keras.Model:
        """A functional model (size, size, channels) -> (code_size,) float32.

        Args:
            policy: Keras dtype policy of the inner layers; the code is float32 whatever it is.
        """
        return _dense(self) if self.kind == "dense" else _conv(self, policy)


def _dense(spec: EncoderSpec) -> keras.Model:
    inputs = keras.Input((spec.size, spec.size, spec.channels), name="chip")
    x = layers.Flatten(name="flatten")(inputs)
    for index, width in enumerate(spec.widths):
        x = layers.Dense(width, "relu", name=f"dense{index}")(x)
    return keras.Model(inputs, layers.Dense(spec.code_size, "relu", name="code")(x), name="encoder")


def _conv(spec: EncoderSpec, policy: str) -> keras.Model:
    inputs = keras.Input((spec.size, spec.size, spec.channels), name="chip")
    x = inputs
    for stage, (width, blocks) in enumerate(zip(spec.widths, spec.blocks, strict=True)):
        x = conv_relu(x, width, f"stage{stage}", policy, strides=2)
        for block in range(blocks):
            x = residual(x, width, f"stage{stage}_block{block}", policy)
    x = layers.DepthwiseConv2D(spec.grid, use_bias=False, name="pool", dtype=policy)(x)
    x = layers.BatchNormalization(name="pool_norm", dtype=policy)(x)
    x = layers.Reshape((spec.widths[-1],), name="flatten", dtype=policy)(x)
    x = layers.Dense(spec.code_size, use_bias=False, name="code", dtype="float32")(x)
    # Without a learned scale every number of the code has the same say, and the same int8 step.
    x = layers.BatchNormalization(scale=False, name="code_norm", dtype="float32")(x)
    return keras.Model(inputs, x, name="encoder")
