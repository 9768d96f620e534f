"""Chips to codes: what the model is fed is what training fed it, whatever the colour order and the 8-bit scale."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_runtime.bundle.preprocessing import GREY_WEIGHTS, Preprocessing
from edge_runtime.errors import BundleError, InputError
from edge_runtime.faces.encoder import TfliteEncoder
from edge_runtime.geometry.alignment import Template
from edge_runtime.geometry.embeddings import normalise
from edge_runtime.interpreters import open_interpreter
from edge_runtime.protocols import Port
from tests.builders import TINY_MODEL, TINY_PREPROCESSING, make_pixels

SQUARE = Template.arcface(8)


class MeansInterpreter:
    """A model of one step: the mean of each channel, in whatever dtype and scale a test wants."""

    def __init__(
        self, channels: int = 3, dtype: Any = np.int8, quantisation: tuple[float, int] = (1 / 127.5, -1)
    ) -> None:
        self.input_shape, self.input_dtype = (1, 8, 8, channels), np.dtype(dtype)
        self.outputs = (Port((1, channels), np.dtype(dtype), (0.5, 3)),)
        self.input_quantization = quantisation
        self.seen: list[NDArray[Any]] = []

    def run(self, tensor: NDArray[Any]) -> list[NDArray[Any]]:
        assert tensor.shape == self.input_shape and tensor.dtype == self.input_dtype
        self.seen.append(tensor)
        return [tensor.mean((1, 2)).astype(self.input_dtype)]

    def close(self) -> None:
        pass


def preprocessing(colour: Any, mean: float = 127.5, std: float = 127.5) -> Preprocessing:
    channels = 1 if colour == "grey" else 3
    return Preprocessing(colour, (mean,) * channels, (std,) * channels, SQUARE)


def every_value() -> NDArray[np.uint8]:
    """Chips (N, 8, 8, 3) in which each channel takes every value."""
    values = np.random.default_rng(0).permuted(np.tile(np.arange(256, dtype=np.uint8), (12, 1)), axis=1)
    return values.reshape(-1, 8, 8, 3)


def test_no_chips_give_no_codes() -> None:
    encoder = TfliteEncoder(MeansInterpreter(), preprocessing("rgb"))
    codes, norms = encoder.encode(np.zeros((0, 8, 8, 3), np.uint8))
    assert codes.shape == (0, 3) and norms.shape == (0,)


def test_a_mirrored_code_is_the_mean_of_both_and_the_same_for_both() -> None:
    interpreter = open_interpreter("auto", TINY_MODEL)
    alone, both = TfliteEncoder(interpreter, TINY_PREPROCESSING), TfliteEncoder(interpreter, TINY_PREPROCESSING, True)
    width, height = TINY_PREPROCESSING.template.size_wh
    chips = np.random.default_rng(0).integers(0, 256, (5, height, width, 3), np.uint8)
    mirrored = np.ascontiguousarray(chips[:, :, ::-1])
    codes, norms = both.encode(chips)
    np.testing.assert_allclose(np.linalg.norm(codes, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(codes, both.encode(mirrored)[0], atol=1e-6)
    one, other = alone.encode(chips), alone.encode(mirrored)
    np.testing.assert_allclose(codes, normalise(one[0] + other[0])[0], atol=1e-6)
    assert (norms > 0).all() and (norms <= one[1] + 1e-6).all()
    np.testing.assert_array_equal(both.raw(chips)[0], one[0])


@pytest.mark.parametrize("colour", ["rgb", "bgr", "grey"])
@pytest.mark.parametrize(("dtype", "zero_point"), [(np.int8, -128), (np.int8, -1), (np.uint8, 0), (np.uint8, 128)])
@pytest.mark.parametrize(("mean", "std"), [(127.5, 127.5), (0.0, 255.0), (0.0, 1.0), (123.7, 58.4)])
def test_the_table_is_as_float_then_quantised(
    colour: Any, dtype: Any, zero_point: int, mean: float, std: float
) -> None:
    steps = preprocessing(colour, mean, std)
    scale = 0.97 * (255 / std) / 255
    interpreter = MeansInterpreter(steps.channels, dtype, (scale, zero_point))
    encoder = TfliteEncoder(interpreter, steps)
    for chip in every_value()[:, None]:
        expected = np.rint(steps.as_float(chip).astype(np.float64) / scale) + zero_point
        limits = np.iinfo(dtype)
        np.testing.assert_array_equal(encoder.tensor(chip), np.clip(expected, limits.min, limits.max))
        assert encoder.tensor(chip).dtype == dtype


def test_a_float_model_gets_the_floats_of_training() -> None:
    steps = Preprocessing("bgr", (1.0, 2.0, 3.0), (4.0, 5.0, 6.0), SQUARE)
    chip = every_value()[:1]
    tensor = TfliteEncoder(MeansInterpreter(3, np.float32, (0.0, 0)), steps).tensor(chip)
    np.testing.assert_allclose(tensor[0, 0, 0], (chip[0, 0, 0, ::-1] - np.array([1, 2, 3])) / [4, 5, 6], rtol=1e-6)
    assert tensor.dtype == np.float32


def test_colour_orders() -> None:
    chip = np.zeros((1, 8, 8, 3), np.uint8)
    chip[...] = (10, 100, 200)
    assert preprocessing("rgb").reorder(chip)[0, 0, 0].tolist() == [10, 100, 200]
    assert preprocessing("bgr").reorder(chip)[0, 0, 0].tolist() == [200, 100, 10]
    grey = preprocessing("grey").reorder(chip)
    assert grey.shape == (1, 8, 8, 1) and grey[0, 0, 0, 0] == round(float(GREY_WEIGHTS @ np.array([10, 100, 200])))
    assert preprocessing("grey").reorder(np.full((1, 8, 8, 3), 255, np.uint8)).max() == 255


def test_the_output_is_dequantised_and_brought_to_unit_length() -> None:
    interpreter = MeansInterpreter()
    encoder = TfliteEncoder(interpreter, preprocessing("rgb", 0.0, 127.5))
    chip = np.zeros((1, 8, 8, 3), np.uint8)
    chip[...] = (60, 90, 120)
    codes, norms = encoder.encode(chip)
    raw = (interpreter.seen[0][0, 0, 0].astype(float) - 3) * 0.5
    assert norms[0] == pytest.approx(np.linalg.norm(raw), rel=1e-6)
    np.testing.assert_allclose(codes[0], raw / np.linalg.norm(raw), rtol=1e-6)


def test_a_zero_code_stays_zero_and_a_broken_one_becomes_it() -> None:
    codes, norms = normalise(np.array([[0, 0], [3, 4], [np.nan, 1], [np.inf, 1], [1e-9, 0]], np.float32))
    np.testing.assert_allclose(codes, [[0, 0], [0.6, 0.8], [0, 0], [0, 0], [0, 0]], atol=1e-7)
    np.testing.assert_allclose(norms, [0, 5, 0, 0, 0])


@pytest.mark.parametrize(
    "chips",
    [
        np.zeros((2, 8, 8, 1), np.uint8),
        np.zeros((2, 9, 8, 3), np.uint8),
        np.zeros((8, 8, 3), np.uint8),
        np.zeros((2, 8, 8, 3), np.float32),
    ],
)
def test_other_chips_are_refused(chips: Any) -> None:
    encoder = TfliteEncoder(MeansInterpreter(), preprocessing("rgb"))
    with pytest.raises(InputError, match=r"expected uint8 \(N, 8, 8, 3\)"):
        encoder.encode(chips)


def test_model_and_preprocessing_have_to_fit() -> None:
    with pytest.raises(BundleError, match="expected input"):
        TfliteEncoder(MeansInterpreter(1), preprocessing("rgb"))
    with pytest.raises(BundleError, match="scale"):
        TfliteEncoder(MeansInterpreter(3, np.int8, (0.0, 0)), preprocessing("rgb"))
    flat = MeansInterpreter()
    flat.outputs = (dataclasses.replace(flat.outputs[0], shape=(3,)),)
    with pytest.raises(BundleError, match="expected one output"):
        TfliteEncoder(flat, preprocessing("rgb"))


@pytest.mark.parametrize(
    ("colour", "mean", "std"),
    [
        ("hsv", (0,) * 3, (1,) * 3),
        ("grey", (0,) * 3, (1,) * 3),
        ("rgb", (0,), (1,)),
        ("grey", (0,), (0,)),
        ("grey", (np.nan,), (1,)),
    ],
)
def test_impossible_preprocessing_is_refused(colour: Any, mean: Any, std: Any) -> None:
    with pytest.raises(InputError):
        Preprocessing(colour, mean, std, SQUARE)


def test_preprocessing_goes_through_json() -> None:
    for colour in ("rgb", "bgr", "grey"):
        steps = preprocessing(colour, 12.25, 33.5)
        assert Preprocessing.from_json(steps.as_json()) == steps


def test_a_real_model_tells_a_picture_from_its_negative_but_not_from_itself_brighter() -> None:
    encoder = TfliteEncoder(open_interpreter("auto", TINY_MODEL), TINY_PREPROCESSING)
    chip = make_pixels(28, 28) // 2 + 40
    codes, norms = encoder.encode(np.stack([chip, chip + 30, 255 - chip]))
    assert (norms > 0).all()
    assert codes[0] @ codes[1] > 0.99
    assert codes[0] @ codes[2] < -0.9
    encoder.close()
