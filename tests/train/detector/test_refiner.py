"""A refiner's run, and what it learns."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("tensorflow")

import keras

from edge_runtime.errors import ConfigError, InputError
from models.cost import multiply_adds
from models.refiner import RefinerSpec
from tests.train.detector.small import fit_small_refiner, small_refiner_recipe
from tests.train.labelled_photos import write_drawn
from train.__main__ import main
from train.detector.recipe import load_refiner_recipe
from train.detector.refiner import Taught


def test_a_run_leaves_a_plain_model_faces_and_its_record(tmp_path):
    run = fit_small_refiner(tmp_path / "run")
    model = keras.saving.load_model(run.model_path, compile=False)
    assert {layer.compute_dtype for layer in model.layers} == {"float32"}
    assert (model.output["score"].shape[1:], model.output["points"].shape[1:]) == ((1,), (10,))
    with np.load(run.path / "scenes.npz") as faces:
        assert faces["pictures"].shape == (512, 32, 32, 3)
    record = json.loads((run.path / "run.json").read_text())
    assert (record["kind"], record["epochs_done"], record["finished"]) == ("refiner", 1, True)
    assert any("looks again at what familiar-" in line for line in record["lineage"])
    with pytest.raises(InputError, match="does not load"):
        fit_small_refiner(tmp_path / "other", start=run.path / "run.json")
    # It goes on, and may go on for longer.
    assert fit_small_refiner(tmp_path / "run", epochs=2).epochs_done == 2


def test_it_learns_what_it_is_told():
    """Blobs at two places: whether one is there, and where."""
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 40, (256, 32, 32, 3)).astype(np.uint8)
    rows = np.zeros((256, 13), np.float32)
    rows[:, 1] = 1
    for picture, row in zip(pictures[::2], rows[::2], strict=True):
        x, y = rng.integers(6, 24, 2)
        picture[y : y + 4, x : x + 4] = 255
        row[:3] = 1
        row[3:] = np.tile([(x - 15) / 16, (y - 15) / 16], 5)
    keras.utils.set_random_seed(0)
    recipe = small_refiner_recipe()
    model = Taught(recipe.refiner.spec().build("float32"), recipe.loss)
    model.compile(keras.optimizers.Adam(1e-2))
    first = model.train_on_batch(pictures, rows, return_dict=True)
    for _ in range(60):
        last = model.train_on_batch(pictures, rows, return_dict=True)
    assert last["score"] < 0.2 * first["score"] and last["landmarks"] < 0.4 * first["landmarks"]


def test_what_nobody_is_told_about_weighs_nothing():
    recipe = small_refiner_recipe()
    model = Taught(recipe.refiner.spec().build("float32"), recipe.loss)
    rows = np.zeros((4, 13), np.float32)
    said = keras.ops.convert_to_tensor(np.ones((4, 11), np.float32))
    assert float(model.compute_loss(None, keras.ops.convert_to_tensor(rows), said)) == 0


def test_the_recipe_that_comes_along_keeps_to_the_budget():
    network = load_refiner_recipe("refiner").refiner.spec().build()
    assert multiply_adds(network) < 15e6 and network.count_params() < 190_000
    with pytest.raises(ConfigError, match="expected 2, 3 and 2"):
        load_refiner_recipe("refiner", ["refiner.blocks=[1]"])
    with pytest.raises(ConfigError, match="boxes"):
        load_refiner_recipe("refiner", ["loss.boxes=1"])
    with pytest.raises(InputError, match="multiple of 8"):
        RefinerSpec(size=63)


def test_on_the_command_line(tmp_path, capsys):
    write_drawn(tmp_path / "l.npz")
    run = ["--chips", str(tmp_path / "l.npz"), "--run", str(tmp_path / "run")]
    options = ["--set", "fit.pictures=16", "--set", "fit.batch=16", "--epochs", "1"]
    assert main(["fit", "--recipe", "refiner", *run, *options]) == 0
    assert "refiner in" in capsys.readouterr().out
    assert main(["fit", "--recipe", "detector", "--detector", "yunet:x.onnx", *run]) == 2
    assert "refiner's recipe only" in capsys.readouterr().err
