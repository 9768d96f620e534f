from __future__ import annotations

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
from train.encoder.start import load_start
from train.runs.run import load_run


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("slim")
    recipe = load_recipe("conv", [*SMALL, "fit.epochs=2"])
    return fit(
        recipe, make_chips(folder / "c.npz", select=0), folder / "run", overrides=['teacher.path="/home/x/t.onnx"']
    )


def saved_bytes(path) -> int:
    """Of the large kernels; a file this small is mostly its description."""
    return sum(weight.nbytes for weight in keras.saving.load_model(path).get_weights() if weight.size > 500)


def test_half_the_bytes_say_the_same_and_no_path_is_told(whole, tmp_path):
    assert main(["slim", str(whole.path), "--out", str(tmp_path / "kept")]) == 0
    kept = tmp_path / "kept" / "encoder.keras"
    assert sorted(path.name for path in kept.parent.iterdir()) == ["encoder.keras", "history.csv", "run.json"]
    assert saved_bytes(kept) < 0.6 * saved_bytes(whole.encoder_path)
    text = (kept.parent / "run.json").read_text()
    assert str(whole.path.parent) not in text and "/home/x" not in text
    assert load_run(kept.parent).lineage == whole.lineage
    chips = whole.preprocessing.as_float(whole.chips().aligned(np.arange(20), whole.preprocessing.template))
    encoder = keras.saving.load_model(whole.encoder_path)
    float32 = normalise(encoder.predict_on_batch(chips))[0]
    load_start(kept.parent).into(encoder)
    assert (float32 * normalise(encoder.predict_on_batch(chips))[0]).sum(1).min() > 0.9999


def test_nothing_is_written_over(whole, tmp_path, capsys):
    (tmp_path / "mine").write_text("")
    assert main(["slim", str(whole.path), "--out", str(tmp_path)]) == 4
    assert "new or empty folder" in capsys.readouterr().err
