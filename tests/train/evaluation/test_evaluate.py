"""A run measured on people that it was not fitted on."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

pytest.importorskip("tensorflow")

from edge_runtime.geometry.embeddings import normalise
from edge_runtime.metrics.biometrics import tmr_at_fmr
from edge_runtime.pictures.chips import Chips
from tests.train.made_run import BGR, GREY, PHOTOS, SELECT, make_run
from train.__main__ import main
from train.evaluation.reconstruction import ssim

FEW = ("--enrol", "2", "--photos", "2", "--draws", "3")


@pytest.fixture(scope="module")
def grey_run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("grey") / "run")


def test_a_run_is_measured_on_select_people_with_pictures(grey_run, capsys):
    import keras

    assert main(["evaluate", str(grey_run), *FEW]) == 0
    found = json.loads((grey_run / "evaluation.json").read_text())
    assert (found["kind"], found["splits"], found["people"]) == ("run", ["select"], len(SELECT))
    assert found["photos"] == found["reconstruction"]["photos"] == len(SELECT) * PHOTOS
    assert found["notes"] == []
    for name in ("reconstruction.png", "roc.png", "identification.png"):
        assert cv2.imread(str(grey_run / name)).std() > 5
    printed = capsys.readouterr().out
    assert "photos without a face are not among the chips" in printed
    assert "reconstruction SSIM" in printed

    # The same figures, worked out from the saved models by hand.
    chips = Chips.load(grey_run.parent / "chips.npz")
    index = chips.indices("select")
    aligned = chips.aligned(index, GREY.template)
    raw = keras.saving.load_model(grey_run / "encoder.keras").predict(GREY.as_float(aligned), verbose=0)
    drawn = keras.saving.load_model(grey_run / "decoder.keras").predict(raw, verbose=0)
    expected = ssim(GREY.reorder(aligned).astype(np.float32) / 255, drawn).mean()
    assert found["reconstruction"]["ssim"]["mean"] == pytest.approx(expected, abs=1e-4)
    tmr = tmr_at_fmr(normalise(raw)[0], chips.names[index].tolist(), 1e-4)
    assert found["tmr_at_fmr"]["tmr"] == pytest.approx(tmr.tmr, abs=1e-6)


def test_colour_run_and_strangers_of_the_cohort(tmp_path):
    folder = make_run(tmp_path / "run", BGR)
    assert main(["evaluate", str(folder), "--strangers", "cohort", "--out", str(tmp_path / "e.json"), *FEW]) == 0
    found = json.loads((tmp_path / "e.json").read_text())
    assert found["only_strangers"] == PHOTOS
    assert found["identification"]["strangers"] == (len(SELECT) - 2 + 1) * PHOTOS
    assert found["reconstruction"]["photos"] == len(SELECT) * PHOTOS
    assert (tmp_path / "e-reconstruction.png").exists()
    assert not (folder / "evaluation.json").exists()
    assert not list(folder.glob("*.png"))


def test_official_pairs_may_miss_a_photo_but_not_most(grey_run, tmp_path, capsys):
    lines = ["2\t2", "P0\t1\t2", "P1\t1\t4", "P0\t1\tP1\t1", "P1\t2\tP0\t3"]
    lines += ["P2\t1\t2", "P3\t1\t2", "P2\t1\tP3\t1", "P3\t4\tP2\t4"]
    pairs = tmp_path / "pairs.txt"
    out = ("--pairs", str(pairs), "--out", str(tmp_path / "e.json"), *FEW)
    pairs.write_text("\n".join(lines))
    assert main(["evaluate", str(grey_run), *out]) == 0
    found = json.loads((tmp_path / "e.json").read_text())["verification"]
    assert (found["pairs"], found["without_photo"]) == (8, 0)
    pairs.write_text("\n".join(lines).replace("\t4", "\t9"))
    assert main(["evaluate", str(grey_run), *out]) == 4
    assert "25% of the pairs lack one" in capsys.readouterr().err


def test_other_chips_must_be_aligned_the_same_way(grey_run, tmp_path, capsys):
    from train.data.chips import make_crop, write_chips

    pixels = np.full((100, 100, 3), 90, np.uint8)
    landmarks = GREY.template.as_array() + 20
    write_chips(tmp_path / "other.npz", [make_crop(pixels, landmarks)], ["A"], ["select"], ["A/1.png"], "yunet", "grey")
    assert main(["evaluate", str(grey_run), "--chips", str(tmp_path / "other.npz")]) == 4
    assert "aligned by haar" in capsys.readouterr().err


def test_a_damaged_model_and_an_empty_folder(tmp_path, capsys):
    folder = make_run(tmp_path / "run")
    (folder / "encoder.keras").write_bytes(b"no model")
    assert main(["evaluate", str(folder)]) == 4
    assert "encoder.keras: expected a Keras model" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert main(["evaluate", str(tmp_path / "empty")]) == 4
    assert "run.json" in capsys.readouterr().err
    assert not (folder / "evaluation.json").exists()
