from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

import numpy as np
import pytest

from edge_runtime.geometry.alignment import Template
from edge_runtime.pictures.chips import Chips
from tests.builders import ROOT
from tests.train.drawn_chips import make_chips
from train.__main__ import main


@pytest.fixture(scope="module")
def chips(tmp_path_factory) -> Chips:
    return make_chips(tmp_path_factory.mktemp("chips") / "faces.npz", train=6, select=2, photos=4)


def test_a_pack_is_the_same_faces_in_files_small_enough(chips, tmp_path, capsys):
    assert main(["pack", str(chips.path), "--out", str(tmp_path), "--mib", "0.06"]) == 0
    files = sorted(tmp_path.iterdir())
    told = capsys.readouterr().out
    assert len(files) > 1 and all(str(file) in told for file in files)
    assert max(file.stat().st_size for file in files) <= 0.06 * 2**20
    packs = [Chips.load(file) for file in files]
    kept = np.flatnonzero(np.isin(chips.split, ["train", "select"]))
    for name in ("names", "split", "paths", "landmarks"):
        joined = np.concatenate([getattr(pack, name) for pack in packs])
        assert np.array_equal(joined, getattr(chips, name)[kept])
    assert {pack.source for pack in packs} == {chips.source}
    assert {pack.preprocessing_hash for pack in packs} == {chips.preprocessing_hash}
    whole = chips.crop(int(kept[0])).astype(int)
    assert packs[0].crop(0).shape == (160, 160, 3)
    assert np.abs(packs[0].crop(0) - whole).mean() < 6
    template = Template.arcface(80, 6)
    small, large = (part.aligned([row], template).astype(int) for part, row in ((packs[0], 0), (chips, int(kept[0]))))
    assert np.abs(small - large).mean() < 6, "smaller crops are not cut askew"


def test_only_the_faces_asked_for_are_taken_along(chips, tmp_path, capsys):
    assert main(["pack", str(chips.path), "--out", str(tmp_path), "--splits", "select"]) == 0
    assert set(Chips.load(tmp_path / "faces-0.npz").split.tolist()) == {"select"}
    assert main(["pack", str(chips.path), "--out", str(tmp_path), "--splits", "check"]) == 4
    assert main(["pack", str(chips.path), "--out", str(tmp_path), "--splits", "chec"]) == 2
    assert main(["pack", str(chips.path), "--out", str(tmp_path), "--side", "200"]) == 2
    assert capsys.readouterr().err.count("\n") == 3


@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="needs jax, Keras's other backend")
def test_a_pack_is_fitted_on_by_jax_and_goes_on_in_tensorflow(chips, tmp_path):
    pytest.importorskip("tensorflow")
    assert main(["pack", str(chips.path), "--out", str(tmp_path)]) == 0
    small = ["input.size=16", "encoder.widths=[8,16]", "encoder.blocks=[0,1]", "encoder.code_size=8", "fit.batch=8"]
    changes = [word for change in (*small, "decoder.widths=[16,8,8]") for word in ("--set", change)]
    fit = [sys.executable, "-m", "train", "fit", "--recipe", "conv", "--chips", str(tmp_path / "faces-0.npz"), *changes]
    runs = [tmp_path / "there", tmp_path / "here"]
    for backend, run, more in (("jax", runs[0], []), ("tensorflow", runs[1], ["--from", str(runs[0])])):
        environment = {**os.environ, "KERAS_BACKEND": backend}
        subprocess.run([*fit, "--epochs", "1", "--run", str(run), *more], env=environment, cwd=ROOT, check=True)
    assert all((run / "encoder.keras").is_file() for run in runs)
