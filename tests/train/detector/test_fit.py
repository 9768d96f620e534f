"""A detector's run: goes on where it was cut, and leaves what convert needs."""

from __future__ import annotations

import contextlib
import io
import json

import numpy as np
import pytest

pytest.importorskip("tensorflow")

import keras

from edge_runtime.errors import ConfigError, InputError
from tests.train.detector.small import fit_small, small_recipe
from tests.train.labelled_photos import write_drawn
from train.__main__ import main
from train.detector.fit import fit_detector
from train.detector.recipe import load_detector_recipe, recipe_kind


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return fit_small(tmp_path_factory.mktemp("whole") / "run")


def test_a_run_leaves_a_plain_model_scenes_and_its_record(whole):
    model = keras.saving.load_model(whole.model_path, compile=False)
    assert {layer.compute_dtype for layer in model.layers} == {"float32"}
    assert model.output["shape8"].shape[1:] == (8, 12, 14)
    with np.load(whole.path / "scenes.npz") as scenes:
        assert scenes["pictures"].shape[1:] == (64, 96, 3) and scenes["pictures"].dtype == np.uint8
    record = json.loads((whole.path / "run.json").read_text())
    assert (record["kind"], record["epochs_done"], record["finished"]) == ("detector", 2, True)
    assert record["normalisation"]["mean"] == [127.5] * 3
    assert "2 photos of drawings; faces and landmarks by their maker" in record["lineage"][0]
    assert all(np.isfinite(row["loss"]) for row in record["history"])


def test_a_cut_run_goes_on_to_the_same_weights(whole, tmp_path):
    """Ctrl-C when the first epoch of two is told, then the rest."""
    folder = tmp_path / "run"

    class Watched(io.StringIO):
        def write(self, text):
            if text.startswith("epoch 1/2"):
                raise KeyboardInterrupt
            return super().write(text)

    with pytest.raises(KeyboardInterrupt), contextlib.redirect_stdout(Watched()):
        fit_small(folder)
    assert not (folder / "run.json").exists()
    resumed = fit_small(folder)
    assert resumed.epochs_done == 2
    old = keras.saving.load_model(whole.model_path, compile=False).get_weights()
    new = keras.saving.load_model(resumed.model_path, compile=False).get_weights()
    assert all(np.array_equal(a, b) for a, b in zip(old, new, strict=True))


def test_another_seed_is_another_run(whole):
    with pytest.raises(InputError, match="another folder"):
        fit_small(whole.path, seed=1)


def test_a_fit_may_start_from_another(whole, tmp_path):
    begun = fit_small(tmp_path / "run", epochs=1, start=whole.path)
    assert any(line.startswith("begun from a detector with sha256") for line in begun.lineage)
    with pytest.raises(InputError, match="does not load"):
        fit_small(tmp_path / "other", start=tmp_path / "run" / "run.json")


def test_nobody_to_fit_on_is_one_line(tmp_path):
    write_drawn(tmp_path / "drawn.npz", ("select", "final"))
    with pytest.raises(InputError, match="expected photos of the split train"):
        fit_detector(small_recipe(), [tmp_path / "drawn.npz"], tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_recipe_that_comes_along():
    assert (recipe_kind("detector"), recipe_kind("refiner"), recipe_kind("conv")) == ("detector", "refiner", "encoder")
    assert load_detector_recipe("detector").detector.spec().size_wh == (320, 240)
    with pytest.raises(ConfigError, match="expected 2, 2, 3 and 3"):
        load_detector_recipe("detector", ["detector.blocks=[1]"])
    with pytest.raises(ConfigError, match="landmarks"):
        load_detector_recipe("detector", ["loss.landmark=1"])


def test_on_the_command_line(tmp_path, capsys):
    write_drawn(tmp_path / "l.npz")
    options = ["--set", "detector.size_wh=[96, 64]", "--set", "fit.pictures=4", "--set", "fit.batch=4", "--epochs", "1"]
    command = ["fit", "--recipe", "detector", "--chips", str(tmp_path / "l.npz"), "--run", str(tmp_path / "run")]
    assert main([*command, *options]) == 0
    assert "detector in" in capsys.readouterr().out
