"""Faces kept as codes of few bits, beside JPEG and WebP; what few bits leave of a code is computed by hand."""

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
from train.codes.compress import shortened
from train.codes.map import Directions
from train.encoder.fit import fit
from train.encoder.recipe import load_recipe


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compress")
    chips = make_chips(folder / "c.npz", train=6, select=6)
    return fit(load_recipe("conv", [*SMALL, "fit.epochs=1"]), chips, folder / "run")


def test_the_folder_of_a_run(whole, tmp_path, capsys):
    reference = tmp_path / "reference.keras"
    keras.Sequential([keras.Input((32, 32, 3)), keras.layers.AveragePooling2D(4), keras.layers.Flatten()]).save(
        reference
    )
    command = ["compress", str(whole.path), "--reference", str(reference), "--reference-size", "32"]
    assert main([*command, "--out", str(tmp_path / "out")]) == 0
    document = json.loads((tmp_path / "out" / "compress.json").read_text())
    by_kind = {kind: [row for row in document["rows"] if row["kind"] == kind] for kind in ("code", "jpeg", "webp")}
    assert [row["bytes"] for row in by_kind["code"]] == [4, 8]  # eight numbers of four bits, of eight
    best = max(by_kind["webp"], key=lambda row: row["psnr"])
    assert best["psnr"] > 25 and best["kept"] == pytest.approx(best["photo"], abs=0.1)
    assert all(row["bytes"] > 100 for row in by_kind["jpeg"])
    for name in ("curves", "faces"):
        assert cv2.imread(str(tmp_path / "out" / f"{name}.png")) is not None
    assert "24 photos" in capsys.readouterr().out
    assert main([*command, "--out", str(tmp_path / "out")]) == 4


def test_bits_and_directions_cost_what_they_hold():
    rng = np.random.default_rng(0)
    people = rng.normal(size=(500, 8)) @ np.linalg.qr(rng.normal(size=(32, 32)))[0][:8]
    unit = normalise((people + rng.normal(0, 0.01, (500, 32))).astype(np.float32))[0]
    directions = Directions.of(unit)

    def kept(length: int, bits: int) -> float:
        return float((shortened(directions, unit, length, bits) * unit).sum(1).mean())

    assert kept(32, 8) > 0.999 and kept(8, 8) > 0.995
    assert kept(8, 8) > kept(8, 4) > kept(8, 2) and kept(8, 8) > kept(4, 8) + 0.05
