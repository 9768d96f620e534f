"""The pictures and figures of a run's codes; what is cut away costs what is computed by hand."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("sklearn")

from edge_runtime.geometry.embeddings import normalise
from tests.train.drawn_chips import make_chips
from tests.train.encoder.test_fit import SMALL
from train.__main__ import main
from train.codes.map import Directions, by_length
from train.encoder.fit import fit
from train.encoder.recipe import load_recipe


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("map")
    chips = make_chips(folder / "c.npz", train=5, select=24)
    return fit(load_recipe("conv", [*SMALL, "fit.epochs=1"]), chips, folder / "run")


def test_the_folder_of_a_run(whole, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["map", str(whole.path), "--out", str(out)]) == 0
    document = json.loads((out / "map.json").read_text())
    assert document["photos"] == 96 and [row["length"] for row in document["lengths"]] == [8]
    assert 1 <= document["directions_in_use"] <= 8 and len(document["variance"]) == 8
    for name in ("plane", "directions", "strips", "lengths"):
        assert cv2.imread(str(out / f"{name}.png")) is not None
    assert "8 numbers" in capsys.readouterr().out
    assert main(["map", str(whole.path), "--out", str(out)]) == 4
    assert main(["map", str(whole.path), "--out", str(tmp_path / "o"), "--people", "cohort"]) == 4
    assert "found 0" in capsys.readouterr().err and not (tmp_path / "o").exists()


def test_directions_are_found_where_they_are():
    rng = np.random.default_rng(0)
    wide = np.array([3.0, 1.0, 0.01, 0.01])
    turn = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    found = Directions.of((rng.normal(size=(4000, 4)) * wide @ turn + 1).astype(np.float32))
    assert np.allclose(np.abs(found.axes[0] @ turn[0]), 1, atol=0.01)
    assert found.used == pytest.approx((9 + 1) ** 2 / (81 + 1), rel=0.1)
    assert (found.for_share(0.85), found.for_share(0.99)) == (1, 2)


def test_a_code_may_be_cut_to_where_the_people_differ():
    """People differ in 8 of 32 numbers; the others are noise that does not tell them apart."""
    rng = np.random.default_rng(1)
    people = np.repeat(rng.normal(size=(40, 8)), 5, 0)
    codes = np.concatenate([people + rng.normal(0, 0.05, people.shape), rng.normal(0, 0.05, (200, 24))], 1)
    unit = normalise(codes.astype(np.float32))[0]
    rows = by_length(Directions.of(unit), unit, [f"p{k // 5}" for k in range(200)])
    assert [row["length"] for row in rows] == [32, 16, 8]
    assert min(row["tmr"] for row in rows) > 0.95
