from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

pytest.importorskip("tensorflow")

from tests.train.made_run import make_run
from train.__main__ import main


@pytest.fixture(scope="module")
def measured(tmp_path_factory) -> Path:
    folder = make_run(tmp_path_factory.mktemp("runs") / "first")
    assert main(["evaluate", str(folder), "--enrol", "2", "--photos", "1"]) == 0
    return folder


def test_one_column_a_run(measured, tmp_path, capsys):
    shutil.copytree(measured, tmp_path / "second")
    assert main(["compare", str(measured), str(tmp_path / "second"), "--out", str(tmp_path / "t.md")]) == 0
    text = (tmp_path / "t.md").read_text()
    assert capsys.readouterr().out.strip() == text.strip()
    header, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()]
    assert header == ["", "first", "second"] and all(row[1] == row[2] for row in rows)
    figures = {row[0]: row[1] for row in rows}
    document = json.loads((measured / "evaluation.json").read_text())
    assert figures["recipe"] == "small"
    assert figures["SSIM"] == f"{document['reconstruction']['ssim']['mean']:.3f}"
    assert figures["pairs"].startswith(f"{100 * document['verification']['accuracy']:.1f} ±")


def test_figures_of_other_photos_do_not_compare(measured, tmp_path, capsys):
    shutil.copytree(measured, tmp_path / "second")
    assert main(["evaluate", str(tmp_path / "second"), "--people", "train,select", "--enrol", "2"]) == 0
    assert main(["compare", str(measured), str(tmp_path / "second")]) == 4
    assert "evaluate them alike" in capsys.readouterr().err


def test_a_run_has_to_be_measured(tmp_path, capsys):
    folder = make_run(tmp_path / "run")
    assert main(["compare", str(folder)]) == 4
    assert "python -m train evaluate" in capsys.readouterr().err
