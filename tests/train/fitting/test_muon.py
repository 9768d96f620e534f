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
    variables = [keras.Variable(np.ones(shape, np.float32), name=name) for name, shape in shapes.items()]
    optimiser = ConvMuon(0.01, 0.0)
    optimiser.build(variables)
    by_adamw = {name for name, velocity in zip(shapes, optimiser.adam_velocities, strict=True) if velocity is not None}
    assert by_adamw == {"gamma", "depthwise", "code"}
