"""Decoders: the mirror side of an encoder, for training and for drawing faces; never shipped to a device."""

from __future__ import annotations

from dataclasses import dataclass

import keras
from keras import layers

from edge_runtime.errors import InputError
from models.encoders import EncoderSpec

CODE_SCALE = 8.0
"""Length a code of unit length is brought to before the first layer, so that its numbers are near 1."""


@dataclass(frozen=True, slots=True)
class DecoderSpec:
    """Shape of a decoder; ``build`` makes the Keras model.

    Attributes:
        encoder: the encoder it mirrors.
        widths: units of the hidden layers (``dense``); for ``conv`` the channels of the first feature map and
            then of one upsampling convolution a stage: one more than the encoder has stages.
    """

    encoder: EncoderSpec
    widths: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.widths or min(self.widths) < 1:
            raise InputError(f"decoder: expected positive widths, received {self.widths}")
        if self.encoder.kind == "conv" and len(self.widths) != len(self.encoder.widths) + 1:
            raise InputError(
                f"decoder: expected {len(self.encoder.widths) + 1} widths (one more than the encoder's stages), "
                f"received {self.widths}"
            )

    def build(self, policy: str = "float32") -> keras.Model:
        """A functional model (code_size,) -> (size, size, channels) float32 in 0..1.

        It takes the code as the encoder gives it; ``conv`` brings it to a fixed length first, because only
        a code's direction is kept on a device.

        Args:
            policy: Keras dtype policy of the inner layers; the picture is float32 whatever it is.
        """
        return _dense(self) if self.encoder.kind == "dense" else _conv(self, policy)


def _dense(spec: DecoderSpec) -> keras.Model:
    side, channels = spec.encoder.size, spec.encoder.channels
    inputs = keras.Input((spec.encoder.code_size,), name="code")
    x = inputs
    for index, width in enumerate(spec.widths):
        x = layers.Dense(width, "relu", name=f"decoder_dense{index}")(x)
    x = layers.Dense(side * side * channels, "sigmoid", name="pixels")(x)
    return keras.Model(inputs, layers.Reshape((side, side, channels), name="picture")(x), name="decoder")


def _conv(spec: DecoderSpec, policy: str) -> keras.Model:
    grid, first, channels = spec.encoder.grid, spec.widths[0], spec.encoder.channels
    inputs = keras.Input((spec.encoder.code_size,), name="code")
    x = layers.UnitNormalization(name="direction", dtype="float32")(inputs)
    x = layers.Rescaling(CODE_SCALE, name="length", dtype="float32")(x)
    x = layers.Dense(grid * grid * first, "relu", name="seed", dtype=policy)(x)
    x = layers.Reshape((grid, grid, first), name="seed_map", dtype=policy)(x)
    for stage, width in enumerate(spec.widths[1:]):
        x = layers.UpSampling2D(2, interpolation="nearest", name=f"up{stage}", dtype=policy)(x)
        x = layers.Conv2D(
            width,
            3,
            padding="same",
            use_bias=False,
            kernel_initializer="he_normal",
            name=f"up{stage}_conv",
            dtype=policy,
        )(x)
        x = layers.BatchNormalization(name=f"up{stage}_norm", dtype=policy)(x)
        x = layers.ReLU(name=f"up{stage}_relu", dtype=policy)(x)
    # The sigmoid is kept out of half precision: at 8 bits of mantissa, neighbouring greys would merge.
    x = layers.Conv2D(channels, 3, padding="same", name="pixels", dtype=policy)(x)
    return keras.Model(inputs, layers.Activation("sigmoid", name="picture", dtype="float32")(x), name="decoder")
