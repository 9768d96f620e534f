"""Damaged faces drawn anew; the figures are those of the pictures."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

pytest.importorskip("tensorflow")

from edge_runtime.geometry.alignment import Template
from tests.train.drawn_chips import make_chips
from tests.train.encoder.test_fit import SMALL
from train.__main__ import main
from train.codes.restore import damages
from train.encoder.fit import fit
from train.encoder.recipe import load_recipe
from train.evaluation.reconstruction import psnr


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("restore")
    chips = make_chips(folder / "c.npz", train=6, select=6)
    return fit(load_recipe("conv", [*SMALL, "fit.epochs=1"]), chips, folder / "run")


def test_the_folder_of_a_run(whole, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["restore", str(whole.path), "--out", str(out)]) == 0
    document = json.loads((out / "restore.json").read_text())
    assert document["photos"] == 24 and len(document["rows"]) % 3 == 0
    damaged, _, drawn = document["rows"][:3]
    assert damaged["damage"] == "noise of 10" and damaged["psnr"] == pytest.approx(28.1, abs=1)
    assert drawn["candidate"] == "autoencoder" and drawn["psnr"] < damaged["psnr"]
    assert 0 <= drawn["encoder"] <= 1 and "reference" not in drawn
    assert cv2.imread(str(out / "faces.png")) is not None
    assert "24 photos" in capsys.readouterr().out
    assert main(["restore", str(whole.path), "--out", str(out)]) == 4
    assert main(["restore", str(whole.path), "--out", str(tmp_path / "o"), "--people", "cohort"]) == 4
    assert not (tmp_path / "o").exists()


def test_a_filter_brings_back_some_of_what_its_damage_took():
    rng = np.random.default_rng(0)
    smooth = cv2.GaussianBlur(rng.integers(0, 256, (80, 80, 3)).astype(np.uint8), (0, 0), 4)
    face = cv2.normalize(smooth, None, 0, 255, cv2.NORM_MINMAX)
    gains = {}
    for damage in damages(Template.arcface(80)):
        whole, damaged, filtered = (
            picture[None].astype(np.float32) / 255 for picture in (face, damage.damage(face), damage.filtered(face))
        )
        gains[damage.name] = float(psnr(whole, filtered)[0] - psnr(whole, damaged)[0])
        assert damaged.tolist() == (damage.damage(face)[None].astype(np.float32) / 255).tolist()
    assert gains["noise of 25"] > 2 and gains["blur of 10%"] > 0 and gains["eyes 9 px apart"] > 0, gains
