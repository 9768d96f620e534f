from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("tensorflow")
import keras

from edge_runtime.errors import InputError
from tests.train.drawn_chips import make_chips
from tests.train.encoder.test_fit import SMALL
from train.__main__ import main
from train.encoder.fit import fit
from train.encoder.recipe import load_recipe
from train.encoder.tune import part_photos
from train.runs.run import load_run

# The size of pictures is that of the encoder it starts from.
SETS = [word for item in SMALL if not item.startswith("input.size") for word in ("--set", item)]
QUICK = ["--set", "fit.passes=1", "--epochs", "2", *SETS]


@pytest.fixture(scope="module")
def before(tmp_path_factory):
    """Chips of a house, of strangers, and a run to start from."""
    folder = tmp_path_factory.mktemp("tune")
    house = make_chips(folder / "house.npz", train=3, select=2, photos=6)
    make_chips(folder / "strangers.npz", train=40, select=0, photos=3)
    fit(load_recipe("conv", [*SMALL, "fit.epochs=2"]), house, folder / "old")
    return folder


def test_a_share_of_each_persons_photos_is_held_out(before):
    chips = make_chips(before / "more.npz", train=3, select=2, photos=6)
    fitted, held = part_photos(chips, 0.34, 0)
    assert not set(fitted.tolist()) & set(held.tolist()) and len(fitted) + len(held) == 30
    assert np.unique(chips.names[held], return_counts=True)[1].tolist() == [2] * 5
    assert np.array_equal(part_photos(chips, 0.34, 0)[1], held) and not np.array_equal(
        part_photos(chips, 0.34, 1)[1], held
    )
    with pytest.raises(InputError, match="10 photos or more"):
        part_photos(chips, 0.1, 0)


def tune(before, run, *more: str) -> int:
    command = ["fit", "--recipe", "finetune", "--chips", str(before / "house.npz"), "--run", str(run)]
    return main([*command, *QUICK, *more])


def test_what_is_not_better_leaves_the_old_encoder(before, tmp_path, capsys):
    """Two steps at no rate worth the name change nothing."""
    more = ["--from", str(before / "old"), "--strangers", str(before / "strangers.npz")]
    assert tune(before, tmp_path / "run", *more, "--set", "optimiser.learning_rate=1e-7") == 0
    assert "the old encoder stays" in capsys.readouterr().out
    verdict = json.loads((tmp_path / "run" / "verdict.json").read_text())
    # Ten photos of five people of the house; 35 of the 40 others have names of their own.
    assert not verdict["better"] and verdict["searches"] == 10 and verdict["strangers"] == 105
    old, kept = (keras.saving.load_model(path / "encoder.keras") for path in (before / "old", tmp_path / "run"))
    assert all(np.array_equal(a, b) for a, b in zip(old.get_weights(), kept.get_weights(), strict=True))
    run = load_run(tmp_path / "run")
    assert run.finished and "the old encoder stays" in run.lineage[-1]
    assert tune(before, tmp_path / "run", *more, "--set", "optimiser.learning_rate=1e-7") == 0
    assert load_run(tmp_path / "run").lineage == run.lineage


def test_normalisation_stays_as_it_was_and_the_rest_learns(before, tmp_path):
    more = ["--from", str(before / "old"), "--strangers", str(before / "strangers.npz")]
    assert tune(before, tmp_path / "run", *more, "--set", "optimiser.learning_rate=0.01") == 0
    old = keras.saving.load_model(before / "old" / "encoder.keras")
    with np.load(tmp_path / "run" / "checkpoint.npz") as state:
        # The head of people comes first.
        learned = [state[f"v{k + 1:04d}"] for k in range(len(old.weights))]
    same = {w.path: np.array_equal(a, w) for a, w in zip(learned, old.weights, strict=True)}
    assert all(same[path] for path in same if "norm" in path)
    assert not any(same[path] for path in same if path.endswith("kernel"))


@pytest.mark.parametrize("more, word", [([], "--from"), (["--from", "{old}"], "--strangers")])
def test_what_tuning_needs_is_asked_for(before, tmp_path, capsys, more, word):
    assert tune(before, tmp_path / "run", *(item.format(old=before / "old") for item in more)) == 2
    assert word in capsys.readouterr().err
