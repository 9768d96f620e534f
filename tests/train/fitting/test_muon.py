from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tensorflow")
import keras

from train.fitting.muon import ConvMuon


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_kernel_moves_by_the_same_length_in_every_direction(dtype):
    keras.utils.set_random_seed(0)
    kernel = keras.Variable(np.zeros((3, 3, 4, 8), np.float32), name="conv")
    optimiser = ConvMuon(0.1, 0.0, dtype)
    # A gradient that is a hundred times stronger in one direction than in the others.
    gradient = np.random.default_rng(0).normal(0, 1, (36, 8)).astype(np.float32) * np.geomspace(1, 0.01, 8)
    optimiser.apply([keras.ops.convert_to_tensor(gradient.reshape(3, 3, 4, 8).astype(np.float32))], [kernel])
    moved = keras.ops.convert_to_numpy(kernel).reshape(36, 8)
    assert (moved * gradient).sum() < 0, "downhill"
    lengths = np.linalg.svd(moved, compute_uv=False)
    assert lengths.min() > 0.4 * lengths.max()
    assert np.sqrt((moved**2).mean()) == pytest.approx(0.2 * 0.1 * np.sqrt(36 * 8 / 288), rel=0.5)


def test_what_is_no_matrix_or_a_last_layer_is_left_to_adamw():
    shapes = {"gamma": (8,), "depthwise": (4, 4, 8, 1), "code": (8, 8), "hidden": (8, 8), "conv": (3, 3, 8, 8)}
    variables = [keras.Variable(np.zeros(shape, np.float32), name=name) for name, shape in shapes.items()]
    rng = np.random.default_rng(0)
    gradients = [rng.normal(size=shape) * rng.uniform(0.1, 10, shape) for shape in shapes.values()]
    ConvMuon(0.01, 0.0).apply([keras.ops.convert_to_tensor(g.astype(np.float32)) for g in gradients], variables)
    moved = {name: np.abs(keras.ops.convert_to_numpy(v)) for name, v in zip(shapes, variables, strict=True)}
    # Adam's first step is as long for every number, however strong its gradient.
    even = {name for name, lengths in moved.items() if np.allclose(lengths, lengths.mean(), rtol=1e-2)}
    assert even == {"gamma", "depthwise", "code"} and all(lengths.any() for lengths in moved.values())
