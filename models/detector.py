"""Face detector: an anchor-free fully convolutional network with score, box and five landmarks at three strides.

Only operations that the Edge TPU has are used: 3x3, 1x1 and depthwise convolutions, plain ReLU, additions and one
nearest-neighbour enlargement by two. The shape follows FCOS (Tian et al., 2019) and YuNet (Wu et al., 2023): every
cell of a grid says how sure it is that a face's middle is near, and where from itself the box's edges and the
landmarks are. What the numbers mean is in ``edge_runtime.detectors._cells``, which decodes them on the device.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
from keras import layers

from edge_runtime.detectors._cells import STRIDES
from edge_runtime.errors import InputError
from models.parts import conv_relu, relu

_RARE = -4.0
"""Bias of the scores: hardly any cell has a face (Lin et al., "Focal loss", 2017)."""


@dataclass(frozen=True, slots=True)
class DetectorSpec:
    """Shape of a detector; ``build`` makes the Keras model.

    Attributes:
        size_wh: width and height of the input, px.
        stem: channels at strides 2 and 4.
        widths: channels at strides 8, 16 and 32.
        blocks: residual blocks at those strides.
    """

    size_wh: tuple[int, int] = (320, 240)
    stem: tuple[int, int] = (12, 24)
    widths: tuple[int, int, int] = (48, 64, 96)
    blocks: tuple[int, int, int] = (3, 4, 3)

    def __post_init__(self) -> None:
        width, height = self.size_wh
        if width % 16 or height % 16 or min(width, height) < 64:
            raise InputError(f"detector size_wh: expected multiples of 16 from 64, received {self.size_wh}")
        if min((*self.stem, *self.widths)) < 1 or min(self.blocks) < 0:
            raise InputError(f"detector: expected positive channels, received {self}")

    def build(self, policy: str = "float32") -> keras.Model:
        """A functional model (height, width, 3) -> ``score8`` (h, w, 1), ``shape8`` (h, w, 14), and so on.

        Scores are logits; a shape is 4 distances to left, top, right and bottom and 10 offsets of landmarks (x, y),
        all in units of the stride.

        Args:
            policy: Keras dtype policy of the inner layers; the outputs are float32 whatever it is.
        """
        width, height = self.size_wh
        inputs = keras.Input((height, width, 3), name="picture")
        # No norm at stride 2: there it would cost more time in training than the convolution.
        x = layers.Conv2D(
            self.stem[0], 3, 2, "same", activation="relu", kernel_initializer="he_normal", name="stem0", dtype=policy
        )(inputs)
        for index, channels in enumerate((self.stem[1], self.widths[0]), 1):
            x = conv_relu(x, channels, f"stem{index}", policy, strides=2)
        maps: list[Any] = []
        for stride, channels, blocks in zip(STRIDES, self.widths, self.blocks, strict=True):
            if maps:
                x = _separable(x, channels, f"down{stride}", policy, strides=2)
            for block in range(blocks):
                x = _residual(x, channels, f"block{stride}_{block}", policy)
            maps.append(x)
        # Small faces are told from what merely looks like one by what is around them.
        around = layers.Conv2D(self.widths[0], 1, use_bias=False, name="around_conv", dtype=policy)(maps[1])
        around = layers.BatchNormalization(name="around_norm", dtype=policy)(around)
        # Not UpSampling2D: Keras repeats rows there, which TFLite does with operators the Edge TPU has not.
        rows, columns = maps[0].shape[1:3]
        around = layers.Resizing(rows, columns, "nearest", name="around_up", dtype=policy)(around)
        maps[0] = relu(layers.Add(name="around_add", dtype=policy)([maps[0], around]), "around", policy)
        outputs = {}
        for stride, channels, x in zip(STRIDES, self.widths, maps, strict=True):
            x = _separable(x, channels, f"head{stride}", policy)
            outputs[f"score{stride}"] = layers.Conv2D(
                1, 1, bias_initializer=keras.initializers.Constant(_RARE), name=f"score{stride}", dtype="float32"
            )(x)
            outputs[f"shape{stride}"] = layers.Conv2D(14, 1, name=f"shape{stride}", dtype="float32")(x)
        return keras.Model(inputs, outputs, name="detector")


def _separable(x: keras.KerasTensor, channels: int, name: str, policy: str, strides: int = 1) -> keras.KerasTensor:
    return relu(_linear(x, channels, name, policy, strides), name, policy)


def _residual(x: keras.KerasTensor, channels: int, name: str, policy: str) -> keras.KerasTensor:
    y = _linear(x, channels, name, policy)
    return relu(layers.Add(name=f"{name}_add", dtype=policy)([x, y]), name, policy)


def _linear(x: keras.KerasTensor, channels: int, name: str, policy: str, strides: int = 1) -> keras.KerasTensor:
    """A pointwise and a depthwise 3x3 convolution, one norm for both, as in YuNet; on the smaller of two grids."""
    parts = [
        layers.Conv2D(channels, 1, use_bias=False, kernel_initializer="he_normal", name=f"{name}_point", dtype=policy),
        layers.DepthwiseConv2D(
            3,
            strides,
            "same",
            use_bias=False,
            depthwise_initializer="he_normal",
            name=f"{name}_depth",
            dtype=policy,
        ),
    ]
    for part in reversed(parts) if strides > 1 else parts:
        x = part(x)
    return layers.BatchNormalization(name=f"{name}_norm", dtype=policy)(x)
