"""What is no face is told by an autoencoder; areas under the curve are those computed by hand."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

pytest.importorskip("tensorflow")

from tests.train.drawn_chips import make_chips
from tests.train.encoder.test_fit import SMALL
from train.__main__ import main
from train.codes.doubt import SIGNALS, auc
from train.encoder.fit import fit
from train.encoder.recipe import load_recipe


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("doubt")
    chips = make_chips(folder / "c.npz", train=8, select=8)
    return fit(load_recipe("conv", [*SMALL, "fit.epochs=8"]), chips, folder / "run")


def test_the_folder_of_a_run(whole, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["doubt", str(whole.path), "--out", str(out)]) == 0
    document = json.loads((out / "doubt.json").read_text())
    rows = {row["kind"]: row for row in document["rows"]}
    assert document["photos"] == 32 and rows["drawn patterns"]["pictures"] == 32
    assert all(0 <= rows[kind][signal]["auc"] <= 1 for kind in rows for signal in SIGNALS)
    # Even this small one draws faces alone, and no masks.
    assert rows["covered: a mask"]["error"]["auc"] > 0.9 and rows["drawn animals"]["error"]["auc"] > 0.7
    assert cv2.imread(str(out / "roc.png")) is not None
    assert "32 good photos" in capsys.readouterr().out
    assert main(["doubt", str(whole.path), "--out", str(out)]) == 4
    assert main(["doubt", str(whole.path), "--out", str(tmp_path / "o"), "--photos", "3"]) == 2
    assert not (tmp_path / "o").exists()


def test_the_area_under_a_curve():
    good = np.array([0.0, 1.0, 2.0, 3.0])
    assert auc(good, good + 10) == 1 and auc(good, good - 10) == 0 and auc(good, good) == 0.5
    assert auc(good, np.array([1.0])) == (1 + 0.5) / 4
