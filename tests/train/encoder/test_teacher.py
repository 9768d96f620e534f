from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow")

import keras

from edge_runtime.errors import ConfigError
from train.encoder.recipe import TeacherPart
from train.encoder.teacher import Teacher, Teachers


@pytest.fixture(scope="module")
def network(tmp_path_factory) -> Path:
    """A network that gives 20 numbers which lie in a space of six."""
    keras.utils.set_random_seed(1)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            layers.Conv2D(8, 5, 4, activation="relu", kernel_initializer="random_normal"),
            layers.Flatten(),
            layers.Dense(6),
            layers.Dense(20, use_bias=False),
        ]
    )
    path = tmp_path_factory.mktemp("teacher") / "network.keras"
    model.save(path)
    return path


def part(network: Path, code_size: int, flip: bool = False) -> TeacherPart:
    return TeacherPart(path=str(network), size=32, code_size=code_size, flip=flip)


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    return np.random.default_rng(7).integers(0, 256, (12, 32, 32, 3)).astype(np.uint8)


@pytest.mark.parametrize("flip", [False, True])
def test_codes_in_fewer_numbers_keep_every_cosine(network, pictures, flip):
    whole, short = (Teacher(part(network, size, flip)).encode(pictures) for size in (0, 6))
    assert whole.shape == (12, 20) and short.shape == (12, 6)
    np.testing.assert_allclose(short @ short.T, whole @ whole.T, atol=1e-5)


def test_the_same_network_is_always_brought_to_the_same_axes(network, pictures):
    one, other = (Teacher(part(network, 6)).encode(pictures) for _ in range(2))
    np.testing.assert_allclose(one, other, atol=1e-5)


def test_joined_codes_are_one_code_in_which_each_weighs_what_it_says(network, pictures):
    heavy, light = (Teacher(dataclasses.replace(part(network, size), weight=w)) for size, w in ((6, 0.75), (0, 0.25)))
    apart, joined = Teachers([heavy, light]), Teachers([heavy, light], joined=True)
    assert (apart.sizes, joined.sizes) == ([6, 20], [26]) and (apart.weights, joined.weights) == ([0.75, 0.25], [1.0])
    codes = joined.encode([pictures, pictures])
    np.testing.assert_allclose(np.square(codes[:, :6]).sum(1), 0.75, atol=1e-5)
    ours, theirs = heavy.encode(pictures), light.encode(pictures)
    np.testing.assert_allclose(codes @ codes.T, 0.75 * ours @ ours.T + 0.25 * theirs @ theirs.T, atol=1e-5)
    assert list(joined.targets(codes)) == ["teacher0"] and joined.targets(codes)["teacher0"].shape == (12, 26)


def test_codes_that_do_not_fit_are_said_so(network):
    with pytest.raises(ConfigError, match="code_size"):
        Teacher(part(network, 4))
