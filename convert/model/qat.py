"""A short training that is aware of int8, in the converter's own process.

Weights and activations are rounded on the way forward and pass gradients as if they were not (Jacob et al., 2018,
section 3); the aim is the float model's own code of the same chip, so that no labels are needed. Batch
normalisation is folded into the weights first, as the converter does it. What comes back is a float model, to be
quantised like any other; keras.quantizers has the rounding, for tensorflow-model-optimization rejects Keras 3.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from convert.recipe import Recipe
from edge_runtime.types import Floats, Pixels

_BATCH = 64
_HELD = 8
"""One chip in so many is not trained on: the weights kept are those that are best on them, the first included."""
_FOLDS = (layers.Conv2D, layers.DepthwiseConv2D, layers.Dense)
_FUSES = (layers.ReLU, layers.Activation)
_MOVES = (layers.InputLayer, layers.Flatten, layers.Reshape, layers.Dropout, layers.ZeroPadding2D)
"""They change no value, so they need no range of their own."""


def finetuned(encoder: Any, as_float: Callable[[Pixels], Floats], fitting: Pixels, recipe: Recipe) -> Any:
    """Train a Keras encoder to give its own codes under int8.

    Args:
        encoder: a float32 functional model of stock layers; it is not changed.
        as_float: from chips uint8 (N, h, w, 3) RGB to the model's input.
        fitting: uint8 (N, h, w, 3) RGB; the first ``calibration_chips`` set the ranges.
        recipe: epochs, learning rate, seed.

    Returns:
        A float model with batch normalisation folded in and weights that int8 costs less.

    Raises:
        ValueError: a model in the model, a SavedModel, or layers that are used twice.
    """
    if any(hasattr(layer, "layers") for layer in encoder.layers):
        raise ValueError("expected a functional model without models in it")
    if any(isinstance(layer, layers.TFSMLayer) for layer in encoder.layers):
        raise ValueError("expected a .keras file, a SavedModel's weights cannot be trained")
    if any(len(layer._inbound_nodes) != 1 for layer in encoder.layers):
        raise ValueError("expected every layer to be used once")
    keras.utils.set_random_seed(recipe.seed)
    folded = fold(encoder)
    rounding = _rounding(folded, as_float(fitting[: recipe.calibration_chips]))
    aims = np.concatenate(
        [
            ops.convert_to_numpy(encoder(as_float(fitting[at : at + _BATCH]), training=False))
            for at in range(0, len(fitting), _BATCH)
        ]
    )
    rounding.compile(keras.optimizers.Adam(recipe.qat_learning_rate), _apart)
    held = np.arange(len(fitting)) % _HELD == 0
    best, weights = _loss(rounding, as_float, fitting[held], aims[held]), folded.get_weights()
    rng = np.random.default_rng(recipe.seed)
    for _ in range(recipe.qat_epochs):
        order = rng.permutation(np.flatnonzero(~held))
        for at in range(0, len(order), _BATCH):
            rows = order[at : at + _BATCH]
            rounding.train_on_batch(as_float(fitting[rows]), aims[rows])
        reached = _loss(rounding, as_float, fitting[held], aims[held])
        if reached < best:
            best, weights = reached, folded.get_weights()
    folded.set_weights(weights)
    return folded


def _loss(rounding: Any, as_float: Callable[[Pixels], Floats], chips: Pixels, aims: Floats) -> float:
    parts = [
        ops.convert_to_numpy(
            _apart(aims[at : at + _BATCH], rounding(as_float(chips[at : at + _BATCH]), training=False))
        )
        for at in range(0, len(chips), _BATCH)
    ]
    return float(np.concatenate(parts).mean())


def _apart(aim: Any, code: Any) -> Any:
    """1 - cosine, and a little for a wrong length, which decides what is rejected."""
    aim_norm, norm = ops.norm(aim, axis=1), ops.norm(code, axis=1)
    cosine = ops.sum(aim * code, 1) / ops.maximum(aim_norm * norm, 1e-6)
    return 1 - cosine + 0.01 * ops.square(norm / ops.maximum(aim_norm, 1e-6) - 1)


def fold(encoder: Any) -> Any:
    """The same function with every batch normalisation folded into the convolution or dense layer before it."""
    folds: dict[str, Any] = {}
    for layer in encoder.layers:
        if isinstance(layer, layers.BatchNormalization):
            source = encoder.get_layer(_maker(layer.input))
            linear = isinstance(source, _FOLDS) and source.activation is keras.activations.linear
            if linear and len(source._outbound_nodes) == 1 and layer.axis in (-1, layer.input.ndim - 1):
                folds[source.name] = layer
    normal = {layer.name for layer in folds.values()}

    def call(layer: Any, inputs: Any) -> Any:
        if layer.name in normal:
            return inputs
        made = layer.__class__.from_config(layer.get_config() | ({"use_bias": True} if layer.name in folds else {}))
        outputs = made(inputs)
        weights = _folded_weights(layer, folds[layer.name]) if layer.name in folds else layer.get_weights()
        made.set_weights(weights)
        return outputs

    return _rebuilt(encoder, call)


def _rebuilt(model: Any, call: Callable[[Any, Any], Any], source: Any = None) -> Any:
    """A model of the same graph, in which ``call(layer, inputs)`` makes what a layer's output was.

    Args:
        model: a functional one, every layer of it used once.
        call: from a layer of ``model`` and the new tensors at its inputs to the new tensor at its output.
        source: what ``call`` would make of the input; None: the input itself.
    """
    inputs = keras.Input(model.inputs[0].shape[1:])
    tensors = {_maker(model.inputs[0]): inputs if source is None else source(inputs)}
    for layer in model.layers:
        if not isinstance(layer, layers.InputLayer):
            given = layer.input
            sources = [tensors[_maker(t)] for t in (given if isinstance(given, list) else [given])]
            tensors[layer.name] = call(layer, sources if isinstance(given, list) else sources[0])
    return keras.Model(inputs, tensors[_maker(model.outputs[0])])


def _maker(tensor: Any) -> str:
    """Name of the layer whose output a symbolic tensor is."""
    return str(tensor._keras_history.operation.name)


def _folded_weights(layer: Any, norm: Any) -> list[Any]:
    kernel = ops.convert_to_numpy(layer.kernel)
    gain = 1 / np.sqrt(ops.convert_to_numpy(norm.moving_variance) + norm.epsilon)
    gain = gain * (ops.convert_to_numpy(norm.gamma) if norm.scale else 1)
    bias = ops.convert_to_numpy(layer.bias) if layer.use_bias else 0
    offset = ops.convert_to_numpy(norm.beta) if norm.center else 0
    scaled = kernel * (gain.reshape(kernel.shape[2:]) if isinstance(layer, layers.DepthwiseConv2D) else gain)
    return [scaled, (bias - ops.convert_to_numpy(norm.moving_mean)) * gain + offset]


class _RoundedKernel(layers.Layer):
    """A layer whose kernel is rounded to int8 as it is used: one scale a channel, one in all for a dense layer."""

    def __init__(self, inner: Any) -> None:
        super().__init__(name=f"{inner.name}_rounded")
        self.inner = inner

    def call(self, inputs: Any) -> Any:
        kernel = self.inner.kernel
        axes = {layers.DepthwiseConv2D: (0, 1), layers.Dense: (0, 1)}.get(type(self.inner), (0, 1, 2))
        scale = ops.maximum(ops.max(ops.abs(kernel), axes, keepdims=True), 1e-9) / 127
        rounded = kernel + ops.stop_gradient(ops.round(kernel / scale) * scale - kernel)
        variables = [rounded if v is kernel else v for v in self.inner.trainable_variables]
        return self.inner.stateless_call(variables, self.inner.non_trainable_variables, inputs)[0]


class _Rounded(layers.Layer):
    """Activations rounded to 256 steps of a fixed range."""

    def __init__(self, low: float, high: float, **options: Any) -> None:
        super().__init__(**options)
        self._range = (min(low, 0.0), max(high, 1e-6))

    def call(self, inputs: Any) -> Any:
        return keras.quantizers.fake_quant_with_min_max_vars(inputs, *self._range, num_bits=8)


def _rounding(folded: Any, chips: Floats) -> Any:
    """``folded`` with rounding at every place where int8 rounds; shares its weights."""
    rounded = [layer for layer in folded.layers if not isinstance(layer, _MOVES) and not _fused(layer)]
    watching = keras.Model(folded.inputs[0], [folded.inputs[0], *(layer.output for layer in rounded)])
    lows, highs = np.full(len(rounded) + 1, np.inf), np.full(len(rounded) + 1, -np.inf)
    for at in range(0, len(chips), _BATCH):
        values = [ops.convert_to_numpy(v) for v in watching(chips[at : at + _BATCH], training=False)]
        lows = np.minimum(lows, [v.min() for v in values])
        highs = np.maximum(highs, [v.max() for v in values])
    ranges = {layer.name: (lows[i + 1], highs[i + 1]) for i, layer in enumerate(rounded)}

    def call(layer: Any, inputs: Any) -> Any:
        made = (_RoundedKernel(layer) if isinstance(layer, _FOLDS) else layer)(inputs)
        return _Rounded(*ranges[layer.name])(made) if layer.name in ranges else made

    return _rebuilt(folded, call, _Rounded(lows[0], highs[0]))


def _fused(layer: Any) -> bool:
    """Whether the converter fuses what follows into this layer, so that nothing is rounded in between."""
    followers = [node.operation for node in layer._outbound_nodes]
    return len(followers) == 1 and isinstance(followers[0], _FUSES)
