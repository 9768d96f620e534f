from __future__ import annotations

import os
import select
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_runtime.errors import InputError
from edge_runtime.pictures.chips import Chips
from tests.builders import ROOT, draw_face, make_pixels
from tests.waiting import wait_for
from train.__main__ import main
from train.data.photos import find_photos, read_split, split


def photo(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), pixels[..., ::-1])
    return path


@pytest.fixture
def people(tmp_path) -> Path:
    """Three people: two photos, one photo, and one whose pictures are all of no use."""
    root = tmp_path / "photos"
    photo(root / "ann" / "1.png", draw_face(0))
    photo(root / "ann" / "2.jpg", draw_face(0, 140))
    photo(root / "bob" / "1.png", draw_face(1))
    photo(root / "cy" / "wall.png", make_pixels(200, 200))
    whole = photo(root / "cy" / "cut.jpg", draw_face(2)).read_bytes()
    (root / "cy" / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (root / "cy" / "zero.jpg").write_bytes(b"")
    photo(root / "cy" / "dot.png", np.zeros((1, 1, 3), np.uint8))
    return root


def test_an_empty_folder_is_one_line(tmp_path, capsys):
    (tmp_path / "none").mkdir()
    assert main(["prepare", "--data", str(tmp_path / "none"), "--out", str(tmp_path / "c.npz")]) == 4
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "expected photos" in error
    assert not (tmp_path / "c.npz").exists()


def test_faces_are_kept_and_the_rest_is_listed(people, tmp_path, capsys):
    out = tmp_path / "c.npz"
    assert main(["prepare", "--data", str(people), "--out", str(out), "--jobs", "2", "--source", "my album"]) == 0
    chips = Chips.load(out)
    assert chips.paths.tolist() == ["ann/1.png", "ann/2.jpg", "bob/1.png"]
    assert chips.names.tolist() == ["ann", "ann", "bob"]
    assert chips.source == "my album"
    eyes = chips.landmarks[:, :2].mean(1)
    assert np.abs(eyes - [80, 75.6]).max() < 6
    listed = (tmp_path / "c.skipped.txt").read_text().splitlines()
    assert [line.split("\t")[0] for line in listed] == ["cy/cut.jpg", "cy/dot.png", "cy/wall.png", "cy/zero.jpg"]
    assert "unreadable" in listed[0] and "no face" in listed[2] and "empty file" in listed[3]
    assert "no face: 2, unusable: 2" in capsys.readouterr().out


def test_too_few_strangers_are_said_before_faces_are_looked_for(tmp_path, capsys):
    photo(tmp_path / "photos" / "ann" / "1.png", make_pixels(120, 120))
    assert main(["prepare", "--data", str(tmp_path / "photos"), "--out", str(tmp_path / "c.npz")]) == 4
    note, error = capsys.readouterr().err.splitlines()
    assert "0 people are held out as strangers" in note and "--cohort FILE" in note and "found none" in error


def test_photos_without_a_single_face_are_an_error_and_leave_nothing(tmp_path, capsys):
    photo(tmp_path / "photos" / "ann" / "1.png", make_pixels(120, 120))
    out = tmp_path / "out" / "c.npz"
    assert main(["prepare", "--data", str(tmp_path / "photos"), "--out", str(out)]) == 4
    assert "found none in 1 pictures" in capsys.readouterr().err
    assert not out.parent.exists()


def test_unlabelled_photos_have_no_names_and_all_train(people, tmp_path):
    out = tmp_path / "c.npz"
    assert main(["prepare", "--data", str(people), "--out", str(out), "--unlabelled", "--limit", "3"]) == 0
    chips = Chips.load(out)
    assert set(chips.names.tolist()) == {""} and set(chips.split.tolist()) == {"train"}


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs pidfd_open (Linux)")
def test_the_workers_of_a_killed_preparation_end(tmp_path):
    first = photo(tmp_path / "photos" / "ann" / "0.png", draw_face(0))
    for number in range(1, 500):
        first.with_name(f"{number}.png").hardlink_to(first)
    command = [sys.executable, "-m", "train", "prepare", "--data", str(tmp_path / "photos"), "--jobs", "1"]
    parent = subprocess.Popen([*command, "--out", str(tmp_path / "c.npz")], cwd=ROOT, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: working(parent.pid))
        worker = os.pidfd_open(working(parent.pid)[0])
        assert not select.select([worker], [], [], 0)[0]
    finally:
        parent.kill()
        parent.wait()
    try:
        assert select.select([worker], [], [], 30)[0]
    finally:
        os.close(worker)


def working(parent: int) -> list[int]:
    """The processes of a preparation that have begun."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [int(pid) for pid in children if "cv2" in Path(f"/proc/{pid}/maps").read_text()]


def test_loose_pictures_alone_ask_for_a_folder_per_person(tmp_path):
    photo(tmp_path / "1.png", draw_face(0))
    with pytest.raises(InputError, match="folder per person"):
        find_photos(tmp_path)


def test_one_person_in_several_writings_is_one_and_a_file_of_two_people_is_told(tmp_path, capsys):
    for folder in ("Zoe\u0301", "Zo\u00e9", "ZOE\u0301 ", "Bob"):
        photo(tmp_path / folder / "1.png", draw_face(0 if folder == "Bob" else 1, 100 + len(folder)))
    (tmp_path / "Bob" / "2.png").write_bytes((tmp_path / "Zo\u00e9" / "1.png").read_bytes())
    assert {found.person for found in find_photos(tmp_path)} == {"Bob", "ZO\u00c9"}
    told = capsys.readouterr().err
    assert "are one person's" in told
    assert "Bob/2.png and Zo\u00e9/1.png are the same file, of two people" in told
    (tmp_path / "split.csv").write_text("person,split\nzo\u00e9,train\nBOB,select\n", encoding="utf-8")
    assert read_split(tmp_path / "split.csv", ["Bob", "ZO\u00c9"]) == {"Bob": "select", "ZO\u00c9": "train"}


def test_a_split_made_from_names_is_disjoint_seeded_and_stays():
    people = [f"person{k}" for k in range(400)]
    first = split(people, 0)
    assert first == split(list(reversed(people)), 0) != split(people, 1)
    counts = {name: list(first.values()).count(name) for name in ("train", "select", "final", "cohort")}
    assert 240 < counts["train"] < 320 and min(counts.values()) > 15
    fewer = split(people[:300], 0)
    assert all(first[person] == where for person, where in fewer.items())


@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_people_still_train_and_validate(count):
    for seed in range(20):
        chosen = split([f"p{k}" for k in range(count)], seed)
        assert "train" in chosen.values()
        assert count == 1 or "select" in chosen.values()


@pytest.mark.parametrize(
    "text, message",
    [
        ("name,split\na,train\n", "columns person and split"),
        ("person,split\na,test\n", "expected the splits"),
        ("person,split\na,train\n", "none for 'b'"),
        ("person,split\na,train\na,select\nb,train\n", "twice"),
        ("person,split\na,final\nb,select\n", "somebody in train"),
    ],
)
def test_a_split_file_that_does_not_fit_is_refused(tmp_path, text, message):
    (tmp_path / "s.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        read_split(tmp_path / "s.csv", ["a", "b"])


def test_a_split_file_decides(tmp_path):
    (tmp_path / "s.csv").write_text("person,split,fold\na,train,1\nb,select,2\nelsewhere,final,3\n")
    assert read_split(tmp_path / "s.csv", ["a", "b"]) == {"a": "train", "b": "select"}


def test_prepare_needs_no_tensorflow(people, tmp_path):
    code = (
        "import sys; sys.modules['tensorflow'] = sys.modules['keras'] = None\n"
        "from train.__main__ import main\n"
        "if __name__ == '__main__': sys.exit(main(sys.argv[1:]))"
    )
    script = tmp_path / "run.py"
    script.write_text(code)
    arguments = ["prepare", "--data", str(people), "--out", str(tmp_path / "c.npz"), "--jobs", "1"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, script, *arguments], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
