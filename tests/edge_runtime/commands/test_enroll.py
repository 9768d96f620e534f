"""``enroll`` from photos with several faces, as a person calls it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from edge_runtime.errors import EnrolmentError
from tests.builders import draw_face
from tests.edge_runtime.conftest import Familiar


def write(path: Path, *faces: tuple[int, int]) -> str:
    """Faces side by side, each (person, width)."""
    pixels = [draw_face(person, width) for person, width in faces]
    height = max(len(face) for face in pixels)
    row = [np.pad(face, ((0, height - len(face)), (60, 60), (0, 0)), mode="edge") for face in pixels]
    Image.fromarray(np.concatenate(row, axis=1)).save(path)
    return path.name


def test_of_a_group_photo_the_face_like_the_other_photos_is_taken_and_said(familiar: Familiar, tmp_path: Path) -> None:
    write(tmp_path / "1.png", (0, 140))
    write(tmp_path / "2.png", (0, 150))
    write(tmp_path / "group.png", (6, 140), (0, 145))
    # Whatever the order: all photos are looked at first.
    code, out, err = familiar("enroll", "Ann", "group.png", "1.png", "2.png")
    assert (code, err) == (0, "")
    assert "group.png: enrolled (face 2 from the left, the one like the other photos)\n" in out
    assert "3 enrolled" in out


def test_a_group_photo_alone_asks_which_face_and_numbers_them(familiar: Familiar, tmp_path: Path) -> None:
    write(tmp_path / "group.png", (6, 140), (0, 145))
    code, out, _ = familiar("enroll", "Ann", "group.png", "--refused", "refused.png")
    assert code == EnrolmentError.exit_code
    assert "group.png: refused: 2 faces, and no other photo of this name says which is meant; name the one" in out
    assert "--face N" in out
    assert Image.open(tmp_path / "refused.png").size[0] > 300
    code, out, _ = familiar("enroll", "Ann", "group.png", "--face", "2", "--json")
    assert code == 0
    first = json.loads(out.splitlines()[0])
    assert first["accepted"] and first["face"] == 2 and first["xyxy"][0] > 140
    assert familiar("enroll", "Bob", "group.png", "--face", "1")[1].startswith(
        "group.png: enrolled (face 1 from the left)\n"
    )
    assert (
        "expected --face 1 to 2, as faces were found, received 3"
        in familiar("enroll", "Cy", "group.png", "--face", "3")[1]
    )


def test_a_group_photo_without_the_person_is_refused(familiar: Familiar, tmp_path: Path) -> None:
    write(tmp_path / "1.png", (0, 140))
    write(tmp_path / "2.png", (0, 150))
    write(tmp_path / "group.png", (6, 140), (3, 145))
    code, out, _ = familiar("enroll", "Ann", "1.png", "2.png", "group.png")
    assert code == 0
    assert "group.png: refused: 2 faces, and no one of them looks like the other photos of this name" in out


def test_face_needs_one_photo(familiar: Familiar, tmp_path: Path) -> None:
    write(tmp_path / "1.png", (0, 140))
    for arguments in (("1.png", "1.png", "--face", "1"), ("1.png", "--face", "-1"), (".", "--face", "1")):
        code, _, err = familiar("enroll", "Ann", *arguments)
        assert code == 2 and "--face: expected a number from 1 and one photo" in err


def test_what_cannot_be_done_is_said_before_anybody_is_enrolled(familiar: Familiar, tmp_path: Path) -> None:
    write(tmp_path / "1.png", (0, 140))
    for arguments, says in (
        (("--refused", "nowhere/sheet.png"), "expected a folder to write to"),
        (("--refused", "sheet.txt"), "expected a name that ends in .png"),
        (("--consent", "x" * 2001), "--consent: expected at most 2000 characters, received 2001"),
        (("--expires", "2020-01-01"), "which is past; nothing was changed"),
    ):
        code, out, err = familiar("enroll", "Ann", "1.png", *arguments)
        assert code != 0 and says in err and out == ""
        assert familiar("people", "list", "--json")[1] == "[]\n"
