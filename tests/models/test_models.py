from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tensorflow")
import keras

from edge_runtime.errors import InputError
from models.autoencoder import Autoencoder, unit
from models.decoders import DecoderSpec
from models.encoders import EncoderSpec
from models.variational import VariationalAutoencoder

DENSE = EncoderSpec("dense", 28, 1, 32, (128, 64))
CONV = EncoderSpec("conv", 64, 3, 128, (32, 64, 128, 256), (0, 1, 2, 1))
TINY = EncoderSpec("conv", 16, 3, 8, (4, 8), (0, 1))
# What a full-int8 conversion maps onto operations of the Edge TPU.
MAPPED = {
    "InputLayer", "Conv2D", "DepthwiseConv2D", "BatchNormalization", "ReLU", "Add", "Dense", "Flatten", "Reshape"
}  # fmt: skip


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).random(shape).astype(np.float32)


@pytest.mark.parametrize("spec", [DENSE, CONV, TINY])
def test_an_encoder_is_a_functional_model_of_mapped_layers(spec):
    encoder = spec.build()
    assert encoder.input_shape == (None, spec.size, spec.size, spec.channels)
    assert encoder.output_shape == (None, spec.code_size) and encoder.output.dtype == "float32"
    assert {type(layer).__name__ for layer in encoder.layers} <= MAPPED
    assert all(getattr(layer, "groups", 1) == 1 for layer in encoder.layers)
    assert keras.Model.from_config(encoder.get_config()).output_shape == encoder.output_shape


def test_dense_is_784_128_64_32_and_back():
    kernels = [w.shape for w in DENSE.build().weights if len(w.shape) == 2]
    assert kernels == [(784, 128), (128, 64), (64, 32)]
    kernels = [w.shape for w in DecoderSpec(DENSE, (64, 128)).build().weights if len(w.shape) == 2]
    assert kernels == [(32, 64), (64, 128), (128, 784)]


def test_a_code_is_not_normalised_in_the_graph():
    codes = np.asarray(TINY.build()(noise(4, 16, 16, 3)))
    assert np.ptp(np.linalg.norm(codes, axis=1)) > 1e-3


@pytest.mark.parametrize("spec, widths", [(DENSE, (64, 128)), (TINY, (8, 6, 4))])
def test_a_decoder_draws_values_of_a_picture(spec, widths):
    pictures = np.asarray(DecoderSpec(spec, widths).build()(5 * noise(2, spec.code_size)))
    assert pictures.shape == (2, spec.size, spec.size, spec.channels) and pictures.dtype == np.float32
    assert pictures.min() >= 0 and pictures.max() <= 1 and np.ptp(pictures) > 0


def test_the_conv_decoder_takes_a_code_of_any_length():
    decoder = DecoderSpec(TINY, (8, 6, 4)).build()
    codes = noise(2, 8)
    assert np.allclose(decoder(codes), decoder(40 * codes), atol=1e-4)


@pytest.mark.parametrize("spec", [TINY, CONV])
def test_weights_move_between_precisions(spec):
    mixed, plain = spec.build("mixed_bfloat16"), spec.build("float32")
    plain.set_weights(mixed.get_weights())
    chips = 2 * noise(8, spec.size, spec.size, 3) - 1
    a, b = np.asarray(mixed(chips)), np.asarray(plain(chips))
    assert a.dtype == b.dtype == np.float32
    assert (a * b).sum() / np.linalg.norm(a) / np.linalg.norm(b) > 0.99


@pytest.mark.parametrize(
    "values",
    [
        ("lstm", 28, 1, 32, (128,)),
        ("dense", 28, 1, 32, ()),
        ("dense", 0, 1, 32, (8,)),
        ("conv", 64, 3, 128, (32, 64), (0,)),
        ("conv", 50, 3, 128, (32, 64), (0, 1)),
    ],
)
def test_shapes_that_make_no_sense_are_refused(values):
    with pytest.raises(InputError, match="expected"):
        EncoderSpec(*values)


def test_a_decoder_has_one_width_more_than_stages():
    with pytest.raises(InputError, match="expected 3 widths"):
        DecoderSpec(TINY, (8, 6))


def test_the_autoencoder_learns_and_reports_its_terms():
    keras.utils.set_random_seed(0)
    model = Autoencoder(TINY.build(), DecoderSpec(TINY, (8, 6, 4)).build(), people=3)

    def objective(targets, outputs):
        assert outputs["cosine"].shape[-1] == 3
        return {
            "picture": keras.ops.mean(keras.ops.square(targets["clean"] - outputs["picture"])),
            "cosine": 0.01 * keras.ops.mean(outputs["cosine"]),
        }

    model.compile(keras.optimizers.Adam(0.01), objective, ["picture", "cosine"])
    clean = noise(1, 16, 16, 3) * np.linspace(0.2, 1, 8, dtype=np.float32)[:, None, None, None]
    rows = []
    for _ in range(15):
        model.reset_metrics()
        rows.append(model.train_on_batch(2 * clean - 1, {"clean": clean}, return_dict=True))
    assert rows[0]["loss"] == pytest.approx(rows[0]["picture"] + rows[0]["cosine"], rel=1e-4)
    assert rows[-1]["picture"] < 0.7 * rows[0]["picture"]


def test_unit_leaves_zero_at_zero():
    rows = np.asarray(unit(keras.ops.convert_to_tensor(np.array([[3.0, 4.0], [0.0, 0.0]], np.float32))))
    assert np.allclose(rows, [[0.6, 0.8], [0, 0]], atol=1e-6)


def test_a_teacher_with_codes_of_another_length_is_reached_by_a_linear_map():
    model = Autoencoder(TINY.build(), DecoderSpec(TINY, (8, 6, 4)).build(), taught=(8, 8, 5))
    outputs = model(noise(3, 16, 16, 3))
    direction, *taught = (np.asarray(outputs[name]) for name in ("direction", "taught0", "taught1", "taught2"))
    assert [values.shape for values in taught] == [(3, 8), (3, 8), (3, 5)]
    assert np.array_equal(taught[0], direction) and not np.allclose(taught[1], direction)
    assert all(np.allclose(np.linalg.norm(values, axis=1), 1, atol=1e-4) for values in taught)


@pytest.mark.parametrize("spec, widths", [(DENSE, (64, 128)), (TINY, (8, 6, 4))])
def test_a_variational_code_is_the_middle_and_the_picture_of_a_sample(spec, widths):
    keras.utils.set_random_seed(0)
    encoder = spec.build()
    model = VariationalAutoencoder(encoder, DecoderSpec(spec, widths).build())
    chips = noise(4, spec.size, spec.size, spec.channels)
    still, again = model(chips), model(chips)
    assert np.allclose(still["code"], encoder(chips), atol=1e-5) and still["log_variance"].shape == still["code"].shape
    assert np.array_equal(still["picture"], again["picture"])
    before = [np.array(value) for value in model.state]
    one, other = (np.asarray(model(chips, training=True)["picture"]) for _ in range(2))
    assert not np.allclose(one, other, atol=1e-5)
    for variable, value in zip(model.state, before, strict=True):
        variable.assign(value)
    assert np.allclose(model(chips, training=True)["picture"], one, atol=1e-6), "a checkpoint holds the draws too"
