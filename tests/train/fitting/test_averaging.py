from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tensorflow")
import keras

from train.fitting.averaging import WeightAverage


def weights() -> list[keras.Variable]:
    return [keras.Variable(np.zeros(3, np.float32)), keras.Variable(np.float32(1))]


def value(variable: keras.Variable) -> np.ndarray:
    return keras.ops.convert_to_numpy(variable)


def test_no_decay_is_no_average():
    variables = weights()
    average = WeightAverage(variables, 0.0)
    average.update(7)
    assert average.variables == []
    with average.applied():
        assert float(variables[1]) == 1


def test_the_mean_follows_the_weights_and_is_theirs_only_while_applied():
    variables = weights()
    average = WeightAverage(variables, 0.99)
    rng = np.random.default_rng(0)
    for step in range(800):
        variables[0].assign(np.float32([5, 6, 7]) + rng.normal(0, 1, 3).astype(np.float32))
        average.update(step)
    last = value(variables[0])
    with pytest.raises(RuntimeError), average.applied():
        assert np.abs(value(variables[0]) - [5, 6, 7]).max() < 1
        raise RuntimeError
    assert np.array_equal(value(variables[0]), last)


def test_the_beginning_is_forgotten_sooner_than_the_decay_says():
    variables = weights()
    average = WeightAverage(variables, 0.99999)
    for step in range(160):
        variables[1].assign(3.0)
        average.update(step)
    assert float(average.variables[1]) == pytest.approx(3, abs=0.1)
