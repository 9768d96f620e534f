"""Codes files and what is measured on them; nothing here needs Keras."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from train.__main__ import main


def make_codes(path: Path, people: int = 60, photos: int = 5, noise: float = 0.9, undetected: tuple[int, ...] = ()):
    """Codes around random centres, as ``familiar embed`` writes them; some photos without a face."""
    rng = np.random.default_rng(0)
    codes = np.repeat(rng.normal(size=(people, 32)), photos, 0) + noise * rng.normal(size=(people * photos, 32))
    codes /= np.linalg.norm(codes, axis=1, keepdims=True)
    paths = [f"P{p:02d}/P{p:02d}_{k + 1:04d}.jpg" for p in range(people) for k in range(photos)]
    detected = np.ones(len(codes), bool)
    detected[list(undetected)] = False
    codes[~detected] = 0
    np.savez(
        path,
        paths=np.array(paths),
        codes=codes.astype(np.float32),
        detected=detected,
        xyxy=np.zeros((len(codes), 4), np.float32),
        landmarks=np.zeros((len(codes), 5, 2), np.float32),
    )
    return path


def make_pairs_file(path: Path, folds: int, people_a_fold: int) -> Path:
    """LFW's format; fold f names the people P(f * people_a_fold) and following."""
    lines = [f"{folds}\t{people_a_fold}"]
    for fold in range(folds):
        names = [f"P{fold * people_a_fold + i:02d}" for i in range(people_a_fold)]
        lines += [f"{name}\t1\t2" for name in names]
        lines += [f"{name}\t1\t{names[i - 1]}\t3" for i, name in enumerate(names)]
    path.write_text("\n".join(lines) + "\n")
    return path


def make_split(path: Path) -> Path:
    """P00 to P29 ``select``, P30 to P49 ``train``, P50 to P59 ``cohort``."""
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["person", "split", "fold", "images"])
        for p in range(60):
            writer.writerow([f"P{p:02d}", "select" if p < 30 else "train" if p < 50 else "cohort", "", 5])
    return path


def evaluate(tmp_path: Path, *arguments: str | Path) -> dict:
    out = tmp_path / "evaluation.json"
    assert main(["evaluate", *map(str, arguments), "--out", str(out)]) == 0
    return json.loads(out.read_text())


def test_every_figure_of_a_codes_file(tmp_path, capsys):
    found = evaluate(tmp_path, make_codes(tmp_path / "codes.npz"), "--enrol", "20")
    assert (found["kind"], found["people"], found["photos"], found["without_face"]) == ("codes", 60, 300, 0)
    assert found["verification"]["same"] * 2 == found["verification"]["pairs"] == 1200
    assert 0.9 < found["verification"]["accuracy"] < 1
    assert len(found["verification"]["accuracy_per_fold"]) == 10
    assert found["tmr_at_fmr"]["fmr"] == 1e-4
    assert [rate["fpir"] for rate in found["identification"]["rates"]] == [0.01, 0.001]
    for rate in found["identification"]["rates"]:
        assert rate["dir_mean"] + rate["fnir_mean"] == pytest.approx(1)
    assert found["identification"]["rates"][1]["note"].startswith("only 200 photos of strangers")
    assert found["not_measured"] == {}
    printed = capsys.readouterr().out
    for line in ("pair accuracy", "ROC AUC", "TMR at FMR 0.01 %", "DIR at FPIR 1 %", "DIR at FPIR 0.1 %", "unchecked"):
        assert line in printed


def test_photos_without_a_face_are_misses(tmp_path):
    whole = evaluate(tmp_path, make_codes(tmp_path / "a.npz", noise=0.1), "--enrol", "20")
    holes = evaluate(
        tmp_path, make_codes(tmp_path / "b.npz", noise=0.1, undetected=tuple(range(4, 300, 5))), "--enrol", "20"
    )
    assert whole["identification"]["rates"][0]["dir_mean"] == 1
    # One of the two searches of each enrolled person shows no face.
    assert holes["identification"]["rates"][0]["dir_mean"] == 0.5
    assert holes["without_face"] == 60
    assert holes["tmr_at_fmr"]["tmr"] == pytest.approx(0.6)


def test_official_pairs_restrict_to_the_people_they_name(tmp_path):
    codes, pairs = make_codes(tmp_path / "codes.npz"), make_pairs_file(tmp_path / "pairs.txt", 6, 10)
    found = evaluate(tmp_path, codes, "--pairs", pairs, "--folds", "2,5", "--enrol", "8")
    assert found["verification"]["folds"] == [2, 5]
    assert (found["verification"]["pairs"], found["people"]) == (40, 20)
    assert found["splits"] is None


def test_splits_choose_people_pairs_and_strangers(tmp_path):
    codes, pairs, split = (
        make_codes(tmp_path / "codes.npz"),
        make_pairs_file(tmp_path / "pairs.txt", 6, 10),
        make_split(tmp_path / "split.csv"),
    )
    found = evaluate(tmp_path, codes, "--split", split, "--pairs", pairs, "--strangers", "cohort", "--enrol", "10")
    assert found["splits"] == ["select"]
    assert (found["people"], found["only_strangers"]) == (30, 50)
    assert found["verification"]["folds"] == [1, 2, 3]
    assert found["identification"]["strangers"] == 150
    assert found["notes"] == []


def test_train_people_only_when_named_and_with_a_note(tmp_path, capsys):
    codes, split = make_codes(tmp_path / "codes.npz"), make_split(tmp_path / "split.csv")
    assert evaluate(tmp_path, codes, "--split", split, "--enrol", "8")["people"] == 30
    found = evaluate(tmp_path, codes, "--split", split, "--people", "select,train", "--enrol", "8")
    assert found["people"] == 50
    assert "trained on" in found["notes"][0]
    assert "note: measured on people it was trained on" in capsys.readouterr().out


def test_too_few_people_for_one_figure_leave_the_others(tmp_path, capsys):
    found = evaluate(tmp_path, make_codes(tmp_path / "codes.npz", people=8))
    assert found["identification"] is None
    assert "expected 40 people" in found["not_measured"]["identification"]
    assert found["verification"]["pairs"] > 0
    assert "not measured" in capsys.readouterr().out


def test_json_on_standard_output(tmp_path, capsys):
    assert main(["evaluate", str(make_codes(tmp_path / "codes.npz", people=8)), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["people"] == 8


@pytest.mark.parametrize(
    "arguments, code, message",
    [
        (["nothing.npz"], 4, "found nothing"),
        (["text.npz"], 4, "cannot read it"),
        (["cut.npz"], 4, "cannot read it"),
        (["one.npz"], 4, "expected four people"),
        (["codes.npz", "--people", "final"], 2, "--split"),
        (["codes.npz", "--split", "split.csv", "--people", "final"], 4, "found those of cohort, select, train only"),
        (["codes.npz", "--split", "split.csv", "--people", "Select"], 2, "received 'Select'"),
        (["codes.npz", "--split", "pairs.txt"], 4, "person and split"),
        (["codes.npz", "--folds", "7,8"], 2, "--pairs"),
        (["codes.npz", "--pairs", "split.csv"], 4, "first line"),
        (["codes.npz", "--pairs", "nothing.txt"], 4, "found nothing there"),
        (["codes.npz", "--pairs", "pairs.txt", "--folds", "1"], 4, "expected two folds"),
        (["codes.npz", "--pairs", "pairs.txt", "--folds", "1,9"], 4, "1 to 6"),
        (["codes.npz", "--pairs", "pairs.txt", "--folds", "a"], 2, "as 7,8"),
        (["codes.npz", "--pairs", "pairs.txt", "--folds", "1,4", "--split", "split.csv"], 4, "found P30 and 9 others"),
        (["codes.npz", "--chips", "chips.npz"], 2, "only for a run"),
    ],
)
def test_one_line_and_an_exit_code(tmp_path, monkeypatch, capsys, arguments, code, message):
    monkeypatch.chdir(tmp_path)
    make_codes(Path("codes.npz"))
    make_codes(Path("one.npz"), people=1)
    make_split(Path("split.csv"))
    make_pairs_file(Path("pairs.txt"), 6, 10)
    Path("text.npz").write_text("no archive")
    Path("cut.npz").write_bytes(Path("codes.npz").read_bytes()[:20000])
    assert main(["evaluate", *arguments, "--out", "out.json"]) == code
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not Path("out.json").exists()
