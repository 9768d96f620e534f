"""An attacker draws faces from codes; the figures say what its drawings are taken for."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

pytest.importorskip("tensorflow")
import keras

from edge_runtime.geometry.embeddings import normalise
from tests.train.drawn_chips import make_chips
from tests.train.encoder.test_fit import SMALL
from train.__main__ import main
from train.encoder.fit import fit
from train.encoder.recipe import load_recipe
from train.evaluation.acceptance import accepted


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("invert")
    chips = make_chips(folder / "c.npz", train=12, select=6)
    return fit(load_recipe("conv", [*SMALL, "fit.epochs=3"]), chips, folder / "run")


def test_what_is_drawn_of_the_codes_of_others(whole, tmp_path, capsys):
    reference = tmp_path / "reference.keras"
    keras.Sequential([keras.Input((32, 32, 3)), keras.layers.AveragePooling2D(4), keras.layers.Flatten()]).save(
        reference
    )
    command = ["invert", str(whole.path), "--steps", "20", "--reference", str(reference), "--reference-size", "32"]
    before = whole.decoder_path.read_bytes()
    assert main([*command, "--out", str(tmp_path / "out")]) == 0
    document = json.loads((tmp_path / "out" / "invert.json").read_text())
    assert document["photos"] == 24 and document["steps"] == 20
    assert 0 <= document["encoder"]["drawn"] <= 1 and document["reference"]["people"] == 6
    assert cv2.imread(str(tmp_path / "out" / "faces.png")) is not None
    assert whole.decoder_path.read_bytes() == before, "the run's own decoder was changed"
    assert "24 photos of 6 people" in capsys.readouterr().out
    assert main([*command, "--out", str(tmp_path / "out")]) == 4
    assert main([*command, "--out", str(tmp_path / "o"), "--people", "train"]) == 2
    assert not (tmp_path / "o").exists()


def test_a_drawing_counts_where_another_photo_of_the_person_matches():
    """Of 20 people with four photos each; drawings of the first ten are perfect, the others show nobody."""
    rng = np.random.default_rng(0)
    people = np.repeat(rng.normal(size=(20, 64)), 4, 0)
    true = normalise((people + rng.normal(0, 0.2, people.shape)).astype(np.float32))[0]
    drawn = normalise(rng.normal(size=true.shape).astype(np.float32))[0]
    drawn[:40] = true[:40]
    found = accepted(true, drawn, [f"p{k // 4}" for k in range(80)], 1e-3)
    assert found["photo"] == pytest.approx(1, abs=0.02)
    assert found["drawn"] == pytest.approx(0.5, abs=0.02) and found["same_photo"] == pytest.approx(0.5, abs=0.02)
