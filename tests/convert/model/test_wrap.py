"""Somebody's .tflite encoder becomes a bundle with what was stated, and what cannot be right is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("ai_edge_litert")

from convert.__main__ import main
from edge_runtime.bundle.folder import Bundle
from edge_runtime.bundle.signature import make_private_key
from edge_runtime.faces.encoder import open_encoder
from edge_runtime.faces.golden import check_golden
from tests.builders import SHARED, TINY_MODEL, TINY_PREPROCESSING
from tests.convert.inputs import write_people
from tests.convert.models import ModelMaker, altered

STATED = ["--size", "28", "--colour", "grey", "--normalise", "127.5/127.5", "--template", "arcface:6"]


@pytest.fixture(scope="module")
def chips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_people(tmp_path_factory.mktemp("wrap") / "chips.npz")


def wrap(model: Path, chips: Path, out: Path, *more: str) -> int:
    return main(["wrap", str(model), "--chips", str(chips), "--out", str(out), *STATED, *more])


def test_a_model_is_taken_as_it_is(chips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_private_key(tmp_path / "k.pem")
    more = ["--lineage", "drawings", "--licence", "CC0-1.0", "--sign", str(tmp_path / "k.pem")]
    assert wrap(TINY_MODEL, chips, tmp_path / "b", *more) == 0
    said = capsys.readouterr().out
    assert "no float model to compare with" in said and "Edge TPU: maps wholly" in said
    bundle = Bundle(tmp_path / "b")
    assert (bundle.path / "encoder.tflite").read_bytes() == TINY_MODEL.read_bytes()
    assert bundle.manifest.preprocessing == TINY_PREPROCESSING and bundle.signed_by
    raw = bundle.manifest.as_json()
    assert raw["recipe"]["name"] == "as_is" and raw["metrics"]["parity"]["cosine"] is None
    assert raw["metrics"]["parity"]["pair_accuracy"].keys() == {"wrapped"} and raw["cohort"]["people"] == 14
    assert raw["metrics"]["edgetpu"]["maps_wholly"] is True
    card = (bundle.path / "CARD.md").read_text()
    assert "taken as it was" in card and "| wrapped |" in card and "CC0-1.0" in card
    encoder = open_encoder(bundle)
    assert check_golden(bundle, encoder) > 0.999
    encoder.close()
    report = json.loads((tmp_path / "b.parity.json").read_text())
    assert report["limits"] == {} and len(report["planted"]) == 4
    assert "Would it notice" in (tmp_path / "b.parity.html").read_text()


def test_against_itself_nothing_is_lost(chips: Path, tmp_path: Path) -> None:
    assert wrap(TINY_MODEL, chips, tmp_path / "b", "--reference", str(TINY_MODEL)) == 0
    parity = Bundle(tmp_path / "b").manifest.metrics.parity
    assert parity["cosine"]["min"] > 0.9999 and parity["pair_accuracy"].keys() == {"float", "wrapped"}


def test_what_was_not_stated_is_asked_for(chips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["wrap", str(TINY_MODEL), "--chips", str(chips), "--out", str(tmp_path / "b"), *STATED[:4]]
    assert main(arguments) == 2
    assert "--normalise --template" in capsys.readouterr().err
    assert main(["wrap", str(TINY_MODEL), "--out", str(tmp_path / "b"), *STATED]) == 2
    assert "--chips" in capsys.readouterr().err


def test_a_size_or_colour_that_is_not_the_models_is_refused(
    chips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for changed in (["--size", "32"], ["--colour", "rgb"]):
        assert wrap(TINY_MODEL, chips, tmp_path / "b", *changed) == 6
        error = capsys.readouterr().err
        assert "expected input" in error and error.count("\n") == 1 and not (tmp_path / "b").exists()


def test_what_is_no_encoder_is_refused(chips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    two = ModelMaker((1, 28, 28, 1))
    flat = two.operator("RESHAPE", [two.source], (1, 784))
    (tmp_path / "two.tflite").write_bytes(two.finish(flat, two.operator("RELU", [flat], (1, 784))))
    (tmp_path / "text.tflite").write_bytes(b"hello")
    (tmp_path / "cut.tflite").write_bytes(TINY_MODEL.read_bytes()[:5000])
    for name, code in (("two", 4), ("text", 4), ("cut", 4), ("nothing", 4)):
        assert (
            wrap(
                tmp_path / f"{name}.tflite",
                chips,
                tmp_path / "b",
            )
            == code
        ), name
        assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    ("dtype", "scaled", "said"),
    [("INT16", True, "found int16"), ("UINT8", False, "scale for the uint8 input, found none")],
)
def test_an_input_that_cannot_be_served_is_refused_for_what_it_is(
    chips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], dtype: str, scaled: bool, said: str
) -> None:
    maker = ModelMaker((1, 28, 28, 1), dtype)
    flat = maker.operator("RESHAPE", [maker.source, maker.constant([1, 784])], maker.tensor((1, 784), dtype))
    data = maker.finish(flat)
    if not scaled:
        data = altered(lambda model: [setattr(t, "quantization", None) for t in model.subgraphs[0].tensors], data)
    (tmp_path / "m.tflite").write_bytes(data)
    assert wrap(tmp_path / "m.tflite", chips, tmp_path / "b") == 6
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1 and [path.name for path in tmp_path.iterdir()] == ["m.tflite"]


def test_too_few_pairs_to_doubt_what_was_stated_are_said_to_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = write_people(tmp_path / "few.npz", {"train": (6, 2), "select": (12, 2), "cohort": (14, 1)})
    assert wrap(TINY_MODEL, few, tmp_path / "b") == 0
    assert "nobody can tell whether colours and normalisation were stated rightly" in capsys.readouterr().out
    assert "nobody can tell" in (tmp_path / "b" / "CARD.md").read_text()


def test_everybody_in_a_file_of_strangers_counts_but_whom_the_model_knows(
    chips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Named "train0" and so on: the first six and the first fourteen of select are people of the model's own chips.
    others = write_people(tmp_path / "others.npz", {"train": (16, 1), "select": (20, 1), "cohort": (3, 1)})
    assert wrap(TINY_MODEL, chips, tmp_path / "b", "--cohort", str(others)) == 0
    assert Bundle(tmp_path / "b").manifest.strangers == 16 - 6 + 20 - 14 + 3
    few = write_people(tmp_path / "few.npz", {"train": (9, 1), "cohort": (2, 1)})
    assert wrap(TINY_MODEL, chips, tmp_path / "c", "--cohort", str(few)) == 4
    error = capsys.readouterr().err
    assert "few.npz: expected at least 10 people" in error and "found 5" in error and error.count("\n") == 1
    assert sorted(path.name for path in tmp_path.glob("c*")) == []


def test_a_model_that_kills_the_interpreter_does_not_kill_us(
    chips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # An interpreter that dies at once stands for one that a made-up file kills.
    (tmp_path / "ai_edge_litert").mkdir()
    (tmp_path / "ai_edge_litert" / "__init__.py").write_text("")
    (tmp_path / "ai_edge_litert" / "interpreter.py").write_text(
        "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert wrap(TINY_MODEL, chips, tmp_path / "b") == 7
    error = capsys.readouterr().err
    assert "died of this model (exit -11)" in error and error.count("\n") == 1


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"needs the models in {SHARED}")
def test_int8_that_costs_too_much_is_refused_by_name(
    tmp_path: Path, chips: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stated = ["--size", "112", "--colour", "rgb", "--normalise", "0/1", "--template", "arcface"]
    models = [SHARED / f"reference/mobilefacenet_{kind}.tflite" for kind in ("uint8", "float")]
    arguments = ["wrap", str(models[0]), "--reference", str(models[1]), "--chips", str(chips), *stated]
    assert main([*arguments, "--out", str(tmp_path / "b")]) == 6
    assert "--force cosine_mean" in capsys.readouterr().err
