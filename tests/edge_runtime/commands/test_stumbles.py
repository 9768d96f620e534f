"""What people type who have not read the page."""

from __future__ import annotations

import csv
import json
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edge_runtime.text.moments import past_moment
from tests.builders import draw_face
from tests.edge_runtime.conftest import Familiar


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (("peple",), "people"),
        (("enrol", "Ann", "x.jpg"), "enroll"),
        (("delete", "Ann"), "people forget"),
        (("log",), "events"),
        (("people", "renam", "a", "b"), "rename"),
        (("gallery", "bakup"), "backup"),
    ],
)
def test_a_word_that_is_not_known_gets_the_nearest_one(
    familiar: Familiar, capfd: pytest.CaptureFixture[str], arguments: tuple[str, ...], meant: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        familiar(*arguments)
    assert ended.value.code == 2
    assert f"is not known; did you mean {meant!r}?" in capfd.readouterr().err


def test_nothing_at_all_shows_the_help(familiar: Familiar) -> None:
    code, out, err = familiar()
    assert code == 0 and err == "" and "enroll" in out and "people" in out


def test_people_alone_lists_and_delete_and_remove_forget(familiar: Familiar, tmp_path: Path) -> None:
    for number, name in enumerate(("Ann", "Bob")):
        Image.fromarray(draw_face(6 * number, 140)).save(tmp_path / f"{name}.png")
        assert familiar("enroll", name, f"{name}.png")[0] == 0
    assert familiar("people") == familiar("people", "list")
    assert familiar("people", "--json") == familiar("people", "list", "--json")
    assert familiar("people", "delete", "Ann", "--yes")[:2] == (0, "Ann is forgotten\n")
    assert familiar("people", "remove", "Bob", "--yes", "--json")[0] == 0
    assert json.loads(familiar("people", "--json")[1]) == []


def test_faces_are_numbered_from_the_left_and_drawn(familiar: Familiar, tmp_path: Path) -> None:
    Image.fromarray(draw_face(0, 140)).save(tmp_path / "ann.png")
    assert familiar("enroll", "Ann", "ann.png")[0] == 0
    faces = [np.pad(draw_face(person, 140), ((0, 0), (60, 60), (0, 0)), mode="edge") for person in (6, 0)]
    both = np.concatenate(faces, axis=1)
    Image.fromarray(both).save(tmp_path / "both.png")
    code, out, _ = familiar("identify", "both.png", "--out", "drawn.png")
    rows = list(csv.reader(out.splitlines()))
    assert code == 0 and [(row[1], row[3]) for row in rows] == [("unknown", "1"), ("Ann", "2")]
    left, _, right, _ = (float(value) for value in rows[1][4:])
    assert both.shape[1] / 2 < left < right < both.shape[1]
    drawn = np.asarray(Image.open(tmp_path / "drawn.png")).astype(int)
    scale = drawn.shape[1] / both.shape[1]
    column = drawn[:, round(left * scale) - 2 : round(left * scale) + 3]
    assert (column[..., 1] - column[..., 0]).max() > 80, "a green box"
    assert Path("drawn.png").stat().st_mode & 0o077 == 0
    assert familiar("identify", "both.png", "ann.png", "--out", "drawn.png")[0] == 2
    (tmp_path / "drawings").mkdir()
    assert familiar("identify", "both.png", "ann.png", "--out", "drawings")[0] == 0
    assert sorted(path.name for path in (tmp_path / "drawings").iterdir()) == ["ann.jpg", "both.jpg"]
    assert familiar("identify", "ann.png", "--out", "ann.png")[0] == 4


@pytest.mark.parametrize(
    ("text", "ago_s"),
    [("90s", 90), ("30m", 1800), ("2 hours", 7200), ("1 hour ago", 3600), ("3 days", 259_200), ("2W", 1_209_600)],
)
def test_a_while_ago(text: str, ago_s: float) -> None:
    assert past_moment(text, 1e9) == 1e9 - ago_s


def test_days() -> None:
    now_s = time.mktime((2030, 1, 31, 15, 30, 0, 0, 0, -1))
    assert past_moment("today", now_s) == time.mktime((2030, 1, 31, 0, 0, 0, 0, 0, -1))
    assert past_moment("Yesterday", now_s) == time.mktime((2030, 1, 30, 0, 0, 0, 0, 0, -1))
    assert past_moment("2030-01-30 08:30", now_s) == time.mktime((2030, 1, 30, 8, 30, 0, 0, 0, -1))
    for wrong in ("", "soon", "2 fortnights", "2030-02-31", "-2h"):
        assert past_moment(wrong, now_s) is None
