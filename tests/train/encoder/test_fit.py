from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow")

from edge_runtime.errors import ConfigError, InputError
from edge_runtime.geometry.embeddings import normalise
from edge_runtime.pictures.chips import Chips
from tests.builders import ROOT
from tests.train.drawn_chips import make_chips
from train.__main__ import main
from train.encoder.fit import encoder_spec, fit, held_figures, precision
from train.encoder.recipe import load_recipe
from train.encoder.start import load_start
from train.runs.models import open_model
from train.runs.run import load_run

SMALL = [
    "input.size=16", "encoder.widths=[8,16]", "encoder.blocks=[0,1]", "encoder.code_size=8", "decoder.widths=[16,8,8]",
    "fit.batch=8", "fit.precision=float32", "optimiser.warmup_steps=0",
]  # fmt: skip


@pytest.fixture(scope="module")
def chips_path(tmp_path_factory) -> Path:
    return make_chips(tmp_path_factory.mktemp("chips") / "c.npz", train=5, select=5, photos=4).path


def small(*more: str):
    return load_recipe("conv", [*SMALL, *more])


def curve(folder: Path) -> list[list[float]]:
    """The history without what the clock says."""
    rows = load_run(folder).history
    return [[value for key, value in row.items() if key not in ("seconds", "waited")] for row in rows]


@pytest.fixture(scope="module")
def whole(chips_path, tmp_path_factory) -> Path:
    """A run of four epochs, not interrupted."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    fit(small("fit.epochs=4"), Chips.load(chips_path), folder, seed=3)
    return folder


def test_a_run_keeps_what_it_takes_to_repeat_it(whole, chips_path):
    document = json.loads((whole / "run.json").read_text())
    assert document["schema"] == 1 and document["finished"] and document["epochs_done"] == 4
    assert document["seed"] == 3 and document["recipe_name"] == "conv" and "[loss]" in document["recipe_text"]
    assert document["recipe"]["fit"]["epochs"] == 4
    assert document["chips"]["path"] == str(chips_path) and document["chips"]["detector"] == "haar"
    assert document["preprocessing"]["template"]["size_wh"] == [16, 16]
    assert document["code_size"] == 8 and document["versions"]["keras"]
    assert document["lineage"] == ["fitted on 20 photos of 5 people: drawn faces"]
    run = load_run(whole)
    assert run.chips().sha256() == document["chips"]["sha256"]
    with (whole / "history.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["epoch"] for row in rows] == ["1", "2", "3", "4"]
    assert float(rows[-1]["loss"]) == pytest.approx(run.history[-1]["loss"])
    assert {"reconstruction", "identity", "val_reconstruction", "val_pair_accuracy"} <= set(rows[0])
    assert (whole / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert not list(whole.glob(".partial*"))


def test_it_learns(whole):
    history = load_run(whole).history
    assert history[-1]["loss"] < 0.9 * history[0]["loss"]


def test_the_models_load_in_plain_keras_without_this_project(whole, tmp_path):
    code = (
        "import sys, keras, numpy as np\n"
        f"e = keras.models.load_model({str(whole / 'encoder.keras')!r})\n"
        f"d = keras.models.load_model({str(whole / 'decoder.keras')!r})\n"
        "codes = e(np.zeros((2, 16, 16, 3), 'float32'))\n"
        "pictures = np.asarray(d(codes))\n"
        "assert codes.shape == (2, 8) and pictures.shape == (2, 16, 16, 3), pictures.shape\n"
        "assert 0 <= pictures.min() and pictures.max() <= 1\n"
        "assert all(layer.dtype_policy.name == 'float32' for layer in e.layers)\n"
        "assert not any(m.split('.')[0] in ('models', 'train') for m in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_killed_run_goes_on_to_the_same_curve(whole, chips_path, tmp_path):
    folder = tmp_path / "killed"
    command = [sys.executable, "-m", "train", "fit", "--recipe", "conv", "--chips", str(chips_path), "--seed", "3"]
    command += ["--run", str(folder), "--epochs", "4", *(word for item in SMALL for word in ("--set", item))]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True
    )
    assert process.stdout is not None
    shown: list[str] = []
    for line in process.stdout:
        shown.append(line.rstrip("\n"))
        if line.startswith("epoch 2 "):
            os.killpg(process.pid, signal.SIGKILL)
            break
    process.wait(60)
    process.stdout.close()
    assert process.returncode == -signal.SIGKILL and not (folder / "run.json").exists()
    assert "the same command goes on" in shown[0] and "50%" in shown[-1] and shown[-1].endswith(" left")
    assert max(map(len, shown)) <= 80
    assert main(command[3:]) == 0
    assert load_run(folder).finished
    assert np.allclose(curve(folder), curve(whole), rtol=2e-3, atol=1e-4)


def test_a_cut_run_may_get_another_length(chips_path, tmp_path, monkeypatch):
    """Progress goes on where it was, and ends with the new length."""

    def cut(row):
        if row["epoch"] == 3:
            raise KeyboardInterrupt
        return {}

    with monkeypatch.context() as patched:
        patched.setattr("train.encoder.fit._Fitting._measured", lambda self, row: cut(row))
        with pytest.raises(KeyboardInterrupt):
            fit(small("fit.epochs=8"), Chips.load(chips_path), tmp_path / "run", seed=3)
    done = fit(small("fit.epochs=4"), Chips.load(chips_path), tmp_path / "run", seed=3)
    assert done.finished
    assert [row["progress"] for row in done.history] == pytest.approx([1 / 8, 2 / 8, 5 / 8, 1])


def test_a_finished_run_is_left_alone(whole, chips_path, capsys):
    before = (whole / "encoder.keras").stat().st_mtime_ns
    again = fit(small("fit.epochs=4"), Chips.load(chips_path), whole, seed=3)
    assert again.finished and "already finished" in capsys.readouterr().out
    assert (whole / "encoder.keras").stat().st_mtime_ns == before


def test_a_refusal_leaves_no_folder(tmp_path, capsys):
    nobody = make_chips(tmp_path / "nobody.npz", train=0, select=5, photos=2).path
    for folder in (tmp_path / "runs" / "x", tmp_path / "there"):
        (tmp_path / "there").mkdir(exist_ok=True)
        assert main(["fit", "--recipe", "conv", "--chips", str(nobody), "--run", str(folder)]) == 4
        assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "runs").exists() and (tmp_path / "there").is_dir()


def test_a_folder_with_another_run_is_refused(whole, chips_path):
    with pytest.raises(InputError, match="found another run"):
        fit(small("fit.epochs=4"), Chips.load(chips_path), whole, seed=4)


def test_a_folder_of_other_things_is_left_alone(chips_path, tmp_path):
    (tmp_path / "Alice").mkdir()
    with pytest.raises(InputError, match="found Alice in it"):
        fit(small("fit.epochs=1"), Chips.load(chips_path), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["Alice"]


def test_without_people_to_validate_on_it_still_fits(tmp_path):
    chips = make_chips(tmp_path / "c.npz", train=2, select=0, photos=1)
    recipe = load_recipe("dense", ["fit.epochs=2"])
    run = fit(recipe, chips, tmp_path / "run")
    assert run.finished and set(run.history[0]) == {
        "epoch",
        "loss",
        "reconstruction",
        "learning_rate",
        "progress",
        "waited",
        "seconds",
    }


def test_patience_stops_early_and_keeps_the_best(chips_path, tmp_path):
    recipe = load_recipe("dense", ["fit.epochs=60", "fit.patience=2", "optimiser.learning_rate=3.0"])
    run = fit(recipe, Chips.load(chips_path), tmp_path / "run")
    losses = [row["val_loss"] for row in run.history]
    assert run.finished and run.epochs_done < 60
    assert run.epochs_done == int(np.argmin(losses)) + 1 + 2


def test_chips_altered_since_are_noticed(chips_path, tmp_path):
    chips = make_chips(tmp_path / "c.npz", train=2, select=0, photos=1)
    fit(load_recipe("dense", ["fit.epochs=1"]), chips, tmp_path / "run")
    make_chips(tmp_path / "c.npz", train=3, select=0, photos=1)
    with pytest.raises(InputError, match="expected the chips of the run"):
        load_run(tmp_path / "run").chips()


def test_a_teacher_has_to_be_given(chips_path, tmp_path, capsys):
    command = ["fit", "--recipe", "conv_distil", "--chips", str(chips_path), "--run", str(tmp_path / "run")]
    assert main(command) == 4
    assert "--teacher FILE" in capsys.readouterr().err
    assert main([*command, "--teacher", str(tmp_path / "none.onnx")]) == 4


def test_distillation_from_a_tflite_teacher(chips_path, tmp_path):
    teacher = [
        f"teacher.path={ROOT / 'tests/golden/tiny.tflite'}", "teacher.colour=grey", "teacher.size=28",
        "teacher.margin_px=6", "teacher.mean=[127.5]", "teacher.std=[127.5]",
    ]  # fmt: skip
    recipe = load_recipe("conv_distil", [*SMALL, *teacher, "encoder.code_size=32", "fit.epochs=6", "fit.repeats=3"])
    run = fit(recipe, Chips.load(chips_path), tmp_path / "run")
    assert run.history[-1]["val_distil"] < run.history[0]["val_distil"]
    assert {"val_distil", "val_relations", "val_reconstruction"} <= set(run.history[0])
    assert sorted(path.name for path in (tmp_path / "run" / "teacher").iterdir()) == [
        "held.npy", "views.npz",
    ]  # fmt: skip
    assert "tiny.tflite" in run.lineage[1]


def test_figures_of_perfect_codes_are_perfect_and_of_too_few_people_absent():
    names = [f"p{k}" for k in range(10) for _ in range(3)]
    codes = np.repeat(np.eye(10, dtype=np.float32), 3, 0)
    assert set(held_figures(codes, names).values()) == {1.0}
    assert held_figures(codes[:3], names[:3]) == {}


def test_a_stated_precision_is_kept():
    assert precision("float32") == "float32"
    assert precision("auto") in ("float32", "mixed_bfloat16")


def test_a_run_starts_where_another_ended(whole, chips_path, tmp_path):
    again = small("fit.epochs=1", "optimiser.learning_rate=1e-7")
    run = fit(again, Chips.load(chips_path), tmp_path / "run", seed=5, start=load_start(whole))
    assert run.history[0]["val_loss"] < 1.1 * load_run(whole).history[-1]["val_loss"]
    fresh = fit(again, Chips.load(chips_path), tmp_path / "fresh", seed=5)
    assert run.history[0]["val_loss"] < 0.9 * fresh.history[0]["val_loss"]
    assert run.lineage[0] == "fitted on 20 photos of 5 people: drawn faces" and len(run.lineage) == 2
    assert "started from the encoder of a run of conv, sha256" in run.lineage[1]
    with pytest.raises(InputError, match="found another run"):
        fit(again, Chips.load(chips_path), tmp_path / "run", seed=5)
    with pytest.raises(InputError, match="of another shape"):
        wider = small("encoder.widths=[8,24]")
        fit(wider, Chips.load(chips_path), tmp_path / "wider", start=load_start(whole))


def test_a_run_goes_on_deeper_and_the_new_blocks_change_little_at_first(whole, chips_path, tmp_path):
    run = load_run(whole)
    pictures = run.preprocessing.as_float(run.chips().aligned(np.arange(20), run.preprocessing.template))
    deeper = small("fit.epochs=1", "optimiser.learning_rate=1e-7", "encoder.blocks=[1,3]")
    shallow, deep = encoder_spec(small()).build(), encoder_spec(deeper).build()
    load_start(whole).into(shallow)
    load_start(whole).into(deep, grown=True)
    before, after = (normalise(encoder.predict_on_batch(pictures))[0] for encoder in (shallow, deep))
    assert (before * after).sum(1).mean() > 0.95
    # Neither asleep nor ahead of the rest: see train.encoder.start.
    assert np.all(np.asarray(deep.get_layer("stage1_block2b_norm").gamma) > 0)
    sizes = [np.std(deep.get_layer(name).kernel) for name in ("stage1_block0a_conv", "stage1_block1a_conv")]
    assert sizes[0] == pytest.approx(sizes[1], rel=0.5)
    run = fit(deeper, Chips.load(chips_path), tmp_path / "run", seed=5, start=load_start(whole))
    assert run.history[0]["val_loss"] < 1.3 * load_run(whole).history[-1]["val_loss"]
    with pytest.raises(InputError, match="a layer stage0_block0a_conv more"):
        fit(small(), Chips.load(chips_path), tmp_path / "shallower", start=load_start(tmp_path / "run"))
    with pytest.raises(InputError, match="of another shape"):
        load_start(whole).into(encoder_spec(deeper).build())


def test_a_code_of_another_length_is_learned_anew_on_what_was_there(whole, chips_path, tmp_path):
    longer = small("fit.epochs=1", "optimiser.learning_rate=1e-7", "encoder.code_size=12")
    run = fit(longer, Chips.load(chips_path), tmp_path / "run", seed=5, start=load_start(whole))
    before, after = (open_model(load_run(folder).encoder_path) for folder in (whole, run.path))
    assert after.output_shape == (None, 12)
    np.testing.assert_allclose(before.get_layer("stage1_conv").kernel, after.get_layer("stage1_conv").kernel, atol=1e-4)
    with pytest.raises(InputError, match="code of another"):
        load_start(whole).into(encoder_spec(longer).build())


def test_a_code_of_another_length_begins_as_near_to_the_teacher_as_the_start_allows(whole, chips_path, tmp_path):
    teacher = [
        f"teacher.path={ROOT / 'tests/golden/tiny.tflite'}", "teacher.colour=grey", "teacher.size=28",
        "teacher.margin_px=6", "teacher.mean=[127.5]", "teacher.std=[127.5]",
    ]  # fmt: skip
    still = ["encoder.code_size=32", "fit.epochs=1", "optimiser.learning_rate=1e-7"]
    recipe = load_recipe("conv_distil", [*SMALL, *teacher, *still])
    solved = fit(recipe, Chips.load(chips_path), tmp_path / "solved", start=load_start(whole))
    drawn = fit(recipe, Chips.load(chips_path), tmp_path / "drawn")
    assert solved.history[0]["val_distil"] < 0.75 * drawn.history[0]["val_distil"]


def test_a_run_goes_on_with_larger_pictures(whole, chips_path, tmp_path):
    size = 2 * load_run(whole).preprocessing.template.size_wh[0]
    larger = small("fit.epochs=1", "optimiser.learning_rate=1e-7", f"input.size={size}")
    run = fit(larger, Chips.load(chips_path), tmp_path / "run", seed=5, start=load_start(whole))
    assert run.preprocessing.template.size_wh == (size, size)
    before, after = (open_model(load_run(folder).encoder_path) for folder in (whole, tmp_path / "run"))
    kernels = [np.asarray(model.get_layer("pool").kernel) for model in (before, after)]
    assert [kernel.shape[0] for kernel in kernels] == [4, 8]
    # What the layer says of a map that is the same everywhere stays what it was.
    np.testing.assert_allclose(kernels[0].sum((0, 1)), kernels[1].sum((0, 1)), rtol=0, atol=0.05)
    for name in ("stage0_conv", "stage1_block0a_conv", "code"):
        np.testing.assert_allclose(before.get_layer(name).kernel, after.get_layer(name).kernel, rtol=0, atol=1e-4)
    other_part = small("fit.epochs=1", f"input.size={size}", "input.margin_px=0")
    with pytest.raises(ConfigError, match="but for size"):
        fit(other_part, Chips.load(chips_path), tmp_path / "part", seed=5, start=load_start(whole))


def test_by_the_clock_the_mean_of_the_weights_is_kept(chips_path, tmp_path):
    recipe = small("fit.minutes=0.05", "fit.average=0.9", "fit.measure_every=100")
    run = fit(recipe, Chips.load(chips_path), tmp_path / "run")
    assert run.finished and run.history[-1]["progress"] == 1
    assert run.history[-1]["learning_rate"] < run.history[0]["learning_rate"]
    assert [("val_loss" in row) for row in run.history] == [False] * (run.epochs_done - 1) + [True]


@pytest.mark.parametrize(
    "name, terms",
    [
        ("structure", {"reconstruction", "structure"}),
        ("variational", {"reconstruction", "variational"}),
        ("identity", {"identity"}),
    ],
)
def test_each_objective_is_a_recipe(name, terms, chips_path, tmp_path):
    recipe = load_recipe(name, [*SMALL, "fit.epochs=20"])
    run = fit(recipe, Chips.load(chips_path), tmp_path / "run")
    fitted = set(run.history[0]) - {"epoch", "loss", "learning_rate", "progress", "waited", "seconds"}
    assert {key for key in fitted if not key.startswith("val_")} == terms
    assert run.history[-1]["loss"] < run.history[0]["loss"]


def test_two_teachers_one_of_them_in_keras(whole, chips_path, tmp_path):
    (tmp_path / "two.toml").write_text(
        'base = "distil"\n[teacher]\ncolour = "grey"\nsize = 28\nmargin_px = 6\nmean = [127.5]\nstd = [127.5]\n'
        "[[teachers]]\nsize = 16\nmargin_px = 6.0\nweight = 0.5\n"
    )
    command = ["fit", "--recipe", str(tmp_path / "two.toml"), "--chips", str(chips_path), "--run", str(tmp_path / "r")]
    command += ["--teacher", str(ROOT / "tests/golden/tiny.tflite"), "--teacher", str(whole / "encoder.keras")]
    command += ["--epochs", "4", *(word for item in [*SMALL, "encoder.code_size=32"] for word in ("--set", item))]
    assert main(command) == 0
    run = load_run(tmp_path / "r")
    assert run.history[-1]["distil"] < run.history[0]["distil"]
    assert "tiny.tflite" in run.lineage[1] and "encoder.keras" in run.lineage[2]
    assert str(whole) not in json.dumps(run.recipe["teachers"])
