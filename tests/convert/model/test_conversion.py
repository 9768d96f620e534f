"""The whole way from a Keras encoder to a bundle that a device takes, and what is refused on it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow")

from convert.__main__ import main
from convert.edgetpu.graph import int8_faults, read_graph
from convert.model.quantize import unfit
from convert.recipe import RECIPES
from edge_runtime.bundle.folder import Bundle
from edge_runtime.bundle.manifest import MANIFEST, Manifest
from edge_runtime.faces.encoder import open_encoder
from edge_runtime.faces.golden import check_golden
from tests.builders import ROOT
from tests.convert.inputs import PREPROCESSING, save_encoder, write_people, write_run

STATED = ["--size", "28", "--colour", "grey", "--normalise", "127.5/127.5", "--template", "arcface:6"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Chips, a run and encoders of every kind."""
    folder = tmp_path_factory.mktemp("convert")
    write_people(folder / "chips.npz")
    for kind in ("dense", "unit", "sizeless"):
        save_encoder(folder / f"{kind}.keras", kind)
    write_run(folder / "run", folder / "chips.npz", folder / "dense.keras")
    recipe = (RECIPES / "int8.toml").read_text()
    (folder / "strict.toml").write_text(recipe.replace("cosine_mean = 0.99", "cosine_mean = 1.0"))
    return folder


@pytest.fixture(scope="module")
def made(place: Path) -> Bundle:
    assert main(["model", str(place / "run"), "--out", str(place / "bundles" / "tiny")]) == 0
    return Bundle(place / "bundles" / "tiny")


def test_a_run_becomes_a_bundle_that_passes_its_self_test(made: Bundle) -> None:
    assert sorted(p.name for p in made.path.parent.iterdir()) == ["tiny", "tiny.parity.html", "tiny.parity.json"]
    manifest = made.manifest
    assert (manifest.name, manifest.embedding_size, manifest.detector, manifest.strangers) == ("tiny", 16, "haar", 14)
    assert manifest.preprocessing == PREPROCESSING
    assert int8_faults(read_graph((made.path / "encoder.tflite").read_bytes())) == []
    encoder = open_encoder(made)
    assert check_golden(made, encoder) >= manifest.golden_cosine
    assert made.strangers().shape == (4000, 16)
    encoder.close()


def test_the_manifest_tells_where_it_comes_from_and_what_int8_costs(made: Bundle) -> None:
    raw = made.manifest.as_json()
    assert raw == json.loads((made.path / MANIFEST).read_text()) and not made.manifest.unknown
    assert Manifest.parse(json.dumps(raw)) == made.manifest
    assert raw["encoder"]["input"]["shape"] == [1, 28, 28, 1] and raw["encoder"]["input"]["dtype"] == "int8"
    assert raw["encoder"]["output"]["scale"] > 0
    assert raw["recipe"]["name"] == "int8" and raw["recipe"]["calibrated_on"] == 48
    assert raw["run"]["recipe_name"] == "tiny" and len(raw["run"]["run_sha256"]) == 64
    assert raw["lineage"] == ["fitted on drawings of nobody", "codes learned from a drawing"]
    assert "no wider: fitted on drawings of nobody; codes learned from a drawing. The code" in raw["licence"]
    parity = raw["metrics"]["parity"]
    assert parity["chips"] == 56 and parity["people"] == 14 and parity["forced"] == []
    assert parity["cosine"]["mean"] >= 0.99 and parity["cosine"]["min"] <= parity["cosine"]["p1"]
    assert 0.9 < parity["norm_ratio"]["mean"] < 1.1
    assert parity["pairs"] > 0 and 0.5 <= parity["pair_accuracy"]["int8"] <= 1
    tried = raw["metrics"]["mirroring"]
    assert raw["encoder"]["mirrored"] is tried["chosen"] is made.manifest.mirrored
    # Too few chips to tell a covered face by.
    assert raw["encoder"]["reliance"] == {} == made.manifest.reliance
    assert "least_length" not in raw["encoder"] and made.manifest.encoder.least_length == 0
    assert raw["metrics"]["cohort"]["people"] == 14 and raw["metrics"]["speed"]["encode_ms"] > 0
    assert "/home/somebody" not in json.dumps(raw)


def test_the_card_carries_the_measured_figures(made: Bundle) -> None:
    card = (made.path / "CARD.md").read_text()
    cosine = made.manifest.metrics.parity["cosine"]
    assert f"{cosine['mean']:.4f}" in card and "drawings of nobody" in card and "14 people" in card


def test_an_old_bundle_is_replaced_only_when_asked_and_strangers_may_come_from_elsewhere(
    made: Bundle, place: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["model", str(place / "run"), "--out", str(made.path)]) == 2
    assert "--replace" in capsys.readouterr().err
    assert Bundle(made.path).hash == made.hash
    write_people(tmp_path / "others.npz", {"train": (30, 1)}, names=False)
    others = ["--replace", "--name", "second", "--cohort", str(tmp_path / "others.npz")]
    evaluation = tmp_path / "evaluation.json"
    evaluation.write_text(json.dumps({"splits": ["select"], "conditions": None}))
    others += ["--evaluation", str(evaluation)]
    assert main(["model", str(place / "run"), "--out", str(made.path), *others]) == 4
    assert "train evaluate RUN --conditions" in capsys.readouterr().err
    row = {"kind": "eyes", "level": "9 px apart", "photos": 56, "people": 14, "tmr": 0.625, "fmr": 0.00025}
    found = {"fmr": 0.0001, "rows": [row, row | {"kind": "group", "tmr": None}]}
    evaluation.write_text(json.dumps({"splits": ["select"], "conditions": found}))
    assert main(["model", str(place / "run"), "--out", str(made.path), *others]) == 0
    card = (made.path / "CARD.md").read_text()
    assert (
        "| eyes: 9 px apart | 62.5% | 0.0250% | 56, 14 |" in card and "| group: 9 px apart | too few people |" in card
    )
    second = Bundle(made.path).manifest
    assert (second.name, second.strangers) == ("second", 30)
    assert [p.name for p in made.path.parent.iterdir() if p.is_dir()] == ["tiny"]


def refused(arguments: list[str], out: Path, code: int, capsys: pytest.CaptureFixture[str]) -> str:
    """Run, expect one line and an exit code, and nothing left behind."""
    assert main(["model", *arguments, "--out", str(out)]) == code
    error = capsys.readouterr().err.strip()
    assert "\n" not in error
    # Nothing is left but the report, where there is one to say why.
    assert not out.exists() and all(".parity." in path.name for path in out.parent.iterdir())
    return error


def test_a_model_that_normalises_is_refused_with_the_tensor_named(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(place / "unit.keras"), "--chips", str(place / "chips.npz"), *STATED]
    error = refused(arguments, tmp_path / "b", 6, capsys)
    assert "not full int8" in error and "FLOAT32" in error and "normalised on the host" in error


def test_too_much_lost_is_refused(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [str(place / "run"), "--recipe", str(place / "strict.toml")]
    error = refused(arguments, tmp_path / "b", 6, capsys)
    assert "cosine_mean: expected at least 1" in error and "--force cosine_mean" in error
    report = json.loads((tmp_path / "b.parity.json").read_text())
    assert list(report["failed"]) == ["cosine_mean"] and str(tmp_path / "b.parity.html") in error


def test_a_bare_model_of_any_input_size_gets_the_stated_one_and_may_be_forced(place: Path, tmp_path: Path) -> None:
    arguments = [str(place / "sizeless.keras"), "--chips", str(place / "chips.npz"), *STATED, "--lineage", "nothing"]
    arguments += ["--recipe", str(place / "strict.toml"), "--force", "cosine_mean", "--force", "cosine_p1"]
    arguments += ["--licence", "CC0-1.0"]
    assert main(["model", *arguments, "--out", str(tmp_path / "b")]) == 0
    raw = Bundle(tmp_path / "b").manifest.as_json()
    assert raw["encoder"]["input"]["shape"] == [1, 28, 28, 1]
    assert raw["licence"] == "CC0-1.0" and raw["lineage"] == ["nothing"]
    assert (
        raw["metrics"]["parity"]["forced"] == ["cosine_mean", "cosine_p1"]
        and "by --force" in (tmp_path / "b" / "CARD.md").read_text()
    )


def test_what_is_no_keras_model_is_refused(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "text.keras").write_text("hello")
    arguments = [str(place / "text.keras"), "--chips", str(place / "chips.npz"), *STATED]
    assert "Keras does not load it" in refused(arguments, tmp_path / "b", 4, capsys)


def test_conversion_needs_nothing_of_training_and_no_tensorflow_in_its_own_process() -> None:
    code = (
        "import sys, convert.__main__, convert.model.conversion, convert.model.quantize; "
        "print([m for m in ('tensorflow', 'keras', 'train', 'models') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_codes_of_the_bundle_are_those_of_the_keras_model(made: Bundle, place: Path) -> None:
    import keras

    chips, _ = made.golden()
    expected, _ = open_encoder(made).raw(chips)
    model = keras.saving.load_model(place / "dense.keras")
    raw = keras.ops.convert_to_numpy(model(PREPROCESSING.as_float(chips)))
    cosine = (raw / np.linalg.norm(raw, axis=1, keepdims=True) * expected).sum(1)
    assert cosine.min() > 0.99


def test_what_is_no_encoder_for_the_preprocessing_is_said_before_conversion() -> None:
    import keras
    from keras import layers

    def dense(side: int | None = 28, channels: int = 1, **options: Any) -> keras.Model:
        chip = keras.Input((side, side, channels))
        return keras.Model(chip, layers.Dense(4, **options)(layers.Flatten()(chip)))

    assert unfit(dense(), PREPROCESSING) is None
    for model in (dense(32), dense(28, 3), keras.Sequential([keras.Input((784,)), layers.Dense(4)])):
        assert "expected the input (28, 28, 1)" in unfit(model, PREPROCESSING)
    chip = keras.Input((None, None, 1))
    assert "fixed size" in unfit(keras.Model(chip, layers.Flatten()(chip)), PREPROCESSING)
    assert "fixed size" in unfit(keras.Model(chip, layers.Conv2D(4, 3)(chip)), PREPROCESSING)
    assert "one input and one output" in unfit(keras.Model(chip, [chip, chip]), PREPROCESSING)
    assert "bfloat16" in unfit(dense(dtype="mixed_bfloat16"), PREPROCESSING)
    inner = keras.Model(chip := keras.Input((28, 28, 1)), dense(dtype="mixed_bfloat16")(chip))
    assert "bfloat16" in unfit(inner, PREPROCESSING)
    broken = dense()
    broken.set_weights([w * np.nan for w in broken.get_weights()])
    assert "finite" in unfit(broken, PREPROCESSING)
