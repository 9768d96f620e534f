"""Views that were made up, and what enrolling with them gives."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

pytest.importorskip("tensorflow")

from edge_runtime.faces.quality import measure
from edge_runtime.geometry.embeddings import normalise
from edge_runtime.metrics.biometrics import dir_at_fpir
from tests.train.drawn_chips import make_chips
from tests.train.encoder.test_fit import SMALL
from train.__main__ import main
from train.codes.views import attribute_steps
from train.encoder.fit import fit
from train.encoder.recipe import load_recipe


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("views")
    chips = make_chips(folder / "c.npz", train=8, select=10)
    return fit(load_recipe("conv", [*SMALL, "fit.epochs=1"]), chips, folder / "run")


def test_the_folder_of_a_run(whole, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["views", str(whole.path), "--out", str(out)]) == 0
    document = json.loads((out / "views.json").read_text())
    counts = {row["views"]: row["count"] for row in document["rows"]}
    assert counts["none"] == 0 and counts["drawn, other light and turn"] == 4 and document["photos"] == 40
    assert all(0 <= row["dir"] <= 1 for row in document["rows"])
    assert cv2.imread(str(out / "views.png")) is not None
    assert "5 people enrolled with one photo" in capsys.readouterr().out
    assert main(["views", str(whole.path), "--out", str(out)]) == 4
    assert main(["views", str(whole.path), "--out", str(tmp_path / "o"), "--people", "cohort"]) == 4
    assert not (tmp_path / "o").exists()


def test_a_step_goes_from_the_least_to_the_most(whole):
    """Codes that hold the light of their photo, and nothing else."""
    chips = whole.chips()
    index = np.arange(len(chips.names))
    light = np.array([measure(chips.crop(k), chips.landmarks[k], 112.0)["light"] for k in index], np.float32)
    steps = attribute_steps(np.stack([light, np.ones_like(light)], 1), chips, index)
    assert steps["light"][0] > light.std() and steps["light"][1] == pytest.approx(0)


def test_what_is_enrolled_may_be_better_than_the_photo():
    """Photos are noisy; what is enrolled of each is the person without noise."""
    rng = np.random.default_rng(0)
    people = np.repeat(rng.normal(size=(60, 32)), 4, 0)
    names = [f"p{k // 4}" for k in range(240)]
    photos = normalise((people + rng.normal(0, 0.9, people.shape)).astype(np.float32))[0]
    clean = normalise(people.astype(np.float32))[0]
    plain = dir_at_fpir(photos, names, [0.01], people=20, photos=1)[0]
    better = dir_at_fpir(photos, names, [0.01], people=20, photos=1, enrolled_as=clean)[0]
    assert better.dir_mean > plain.dir_mean + 0.1
    assert dir_at_fpir(photos, names, [0.01], people=20, photos=1, enrolled_as=photos)[0] == plain
