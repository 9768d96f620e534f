"""A second look at one face: a small network that corrects five landmarks and says whether it is a face at all.

It is what the last stage of a cascade is (Zhang et al., "Joint Face Detection and Alignment Using Multitask Cascaded
Convolutional Networks", 2016), with one difference: it looks at the face already aligned by the first landmarks, so
that a few pixels are all that is left to correct. Only operations that the Edge TPU has are used.
"""

from __future__ import annotations

from dataclasses import dataclass

import keras
from keras import layers

from edge_runtime.errors import InputError
from models.parts import conv_relu, relu, residual


@dataclass(frozen=True, slots=True)
class RefinerSpec:
    """Shape of a refiner; ``build`` makes the Keras model.

    Attributes:
        size: side of the input, px.
        widths: channels at strides 2, 4 and 8.
        blocks: residual blocks at strides 4 and 8.
        squeezed: channels that are left where each place of the last grid is looked at by itself.
        hidden: units of the layer that sees all places together.
    """

    size: int = 64
    widths: tuple[int, int, int] = (16, 32, 64)
    blocks: tuple[int, int] = (1, 1)
    squeezed: int = 16
    hidden: int = 64

    def __post_init__(self) -> None:
        if self.size % 8 or self.size < 16:
            raise InputError(f"refiner size: expected a multiple of 8 from 16, received {self.size}")
        if min((*self.widths, self.squeezed, self.hidden)) < 1 or min(self.blocks) < 0:
            raise InputError(f"refiner: expected positive channels, received {self}")

    def build(self, policy: str = "float32") -> keras.Model:
        """A functional model (size, size, 3) -> ``score`` (1,) and ``points`` (10,).

        The score is a logit; what the points mean is in ``edge_runtime.detectors._refiner``, which decodes them.

        Args:
            policy: Keras dtype policy of the inner layers; the outputs are float32 whatever it is.
        """
        inputs = keras.Input((self.size, self.size, 3), name="face")
        # No norm at stride 2: there it would cost more time in training than the convolution.
        x = layers.Conv2D(
            self.widths[0], 3, 2, "same", activation="relu", kernel_initializer="he_normal", name="stem", dtype=policy
        )(inputs)
        for stride, channels, blocks in zip((4, 8), self.widths[1:], self.blocks, strict=True):
            x = conv_relu(x, channels, f"down{stride}", policy, strides=2)
            for block in range(blocks):
                x = residual(x, channels, f"block{stride}_{block}", policy)
        x = layers.Conv2D(self.squeezed, 1, use_bias=False, name="squeeze_conv", dtype=policy)(x)
        x = relu(layers.BatchNormalization(name="squeeze_norm", dtype=policy)(x), "squeeze", policy)
        x = layers.Flatten(name="places", dtype=policy)(x)
        x = layers.Dense(self.hidden, use_bias=False, name="together_dense", dtype=policy)(x)
        x = relu(layers.BatchNormalization(name="together_norm", dtype=policy)(x), "together", policy)
        outputs = {
            "score": layers.Dense(1, name="score", dtype="float32")(x),
            "points": layers.Dense(10, name="points", dtype="float32")(x),
        }
        return keras.Model(inputs, outputs, name="refiner")
