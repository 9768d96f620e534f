from __future__ import annotations

from pathlib import Path

import cv2
import pytest

from edge_runtime.pictures.chips import Chips
from tests.builders import draw_face
from train.__main__ import main
from train.data.holdout import part_of


@pytest.fixture
def loose(tmp_path) -> Path:
    """A dozen pictures without names, in two folders."""
    root = tmp_path / "photos"
    for k in range(12):
        path = root / str(k % 2) / f"{k}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), draw_face(k % 3)[..., ::-1])
    return root


def test_a_third_is_held_out_and_half_of_it_is_the_cohort():
    parts = [part_of(f"{number}.jpg") for number in range(3000)]
    counts = {part: parts.count(part) for part in ("train", "cohort", "check")}
    assert sum(counts.values()) == 3000
    assert 430 < counts["cohort"] < 570 and 430 < counts["check"] < 570


def test_the_rule_is_the_one_that_was_published():
    # Cohorts and checks that are kept elsewhere rest on it: another rule would train on them.
    names = [f"{number}.jpg" for number in range(12)]
    assert "".join(part_of(name)[1] for name in names) == "orrrrrorrrrh"


def test_prepared_faces_lie_where_the_rule_says_whatever_folder_they_are_in(loose, tmp_path, capsys):
    out = tmp_path / "c.npz"
    assert main(["prepare", "--data", str(loose), "--out", str(out), "--unlabelled", "--hold-out"]) == 0
    chips = Chips.load(out)
    assert len(chips) == 12 and set(chips.names.tolist()) == {""}
    assert chips.split.tolist() == [part_of(Path(path).name) for path in chips.paths.tolist()]
    assert {"train", "cohort", "check"} == set(chips.split.tolist())
    counts = ", ".join(
        f"{name} {(chips.split == name).sum()}" for name in ("train", "select", "final", "cohort", "check")
    )
    assert counts in capsys.readouterr().out


def test_listed_pictures_are_left_out(loose, tmp_path):
    out, listed = tmp_path / "c.npz", tmp_path / "leave_out.txt"
    listed.write_text("0/4.png\n1/11.png\n")
    options = ["prepare", "--data", str(loose), "--out", str(out), "--unlabelled"]
    assert main([*options, "--leave-out", str(listed)]) == 0
    paths = Chips.load(out).paths.tolist()
    assert len(paths) == 10 and not {"0/4.png", "1/11.png"} & set(paths)


def test_a_listed_picture_that_is_not_there_is_one_line(loose, tmp_path, capsys):
    listed = tmp_path / "leave_out.txt"
    listed.write_text("0/4.png\n4.png\n")
    options = ["prepare", "--data", str(loose), "--out", str(tmp_path / "c.npz"), "--unlabelled"]
    assert main([*options, "--leave-out", str(listed)]) == 4
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "4.png" in error and "1 absent" in error


def test_photos_with_names_are_not_held_out_by_file(loose, tmp_path, capsys):
    assert main(["prepare", "--data", str(loose), "--out", str(tmp_path / "c.npz"), "--hold-out"]) == 2
    assert "--unlabelled" in capsys.readouterr().err
