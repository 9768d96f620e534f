"""``enroll``, ``people`` and ``identify`` as a person or a script calls them, on real files."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import sqlite3
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from edge_runtime.app.people import open_people
from edge_runtime.config import load_config
from edge_runtime.control.server import ControlServer
from edge_runtime.errors import GalleryError
from edge_runtime.types import Pixels
from tests.builders import draw_face, make_pixels
from tests.edge_runtime.conftest import Familiar


def write(path: Path, pixels: Pixels) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path.name


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """Two people, three photos each, and a stranger's photo."""
    for person, drawn in enumerate((0, 6)):
        for number in range(3):
            write(tmp_path / f"album/P{person}/{number}.png", draw_face(drawn, 120 + 10 * number, number))
    write(tmp_path / "album/stranger.png", draw_face(3, 130))
    return tmp_path / "album"


def test_enrol_list_show_identify_rename_forget(familiar: Familiar, album: Path) -> None:
    for person in range(2):
        code, out, err = familiar("enroll", f"P{person}", f"album/P{person}")
        assert (code, err) == (0, "")
        lines = out.splitlines()
        assert lines[:3] == [f"album/P{person}/{n}.png: enrolled" for n in range(3)]
        assert lines[3] == f"P{person}: 3 enrolled; 3 photos known"
    code, out, _ = familiar("people", "list", "--json")
    assert [(p["name"], p["templates"]) for p in json.loads(out)] == [("P0", 3), ("P1", 3)]
    assert "0.png" in familiar("people", "show", "p0")[1]
    code, out, _ = familiar("identify", "album")
    rows = list(csv.reader(io.StringIO(out)))
    assert code == 0 and [row[1] for row in rows] == ["P0"] * 3 + ["P1"] * 3 + ["unknown"]
    assert all(-1 <= float(row[2]) <= 1 for row in rows)
    assert familiar("people", "rename", "P0", "Curie, Marie")[1] == "P0 is now Curie, Marie\n"
    code, out, _ = familiar("identify", "album/P0/0.png")
    assert next(csv.reader([out]))[:2] == ["album/P0/0.png", "Curie, Marie"]
    assert familiar("people", "forget", "curie, marie", "--yes")[:2] == (0, "Curie, Marie is forgotten\n")
    assert familiar("identify", "album/P0/0.png")[1].split(",")[1] == "unknown"


def test_people_who_are_one_are_merged_and_come_apart_as_they_were(familiar: Familiar, album: Path) -> None:
    for person in range(2):
        familiar("enroll", f"P{person}", f"album/P{person}")
    familiar("people", "note", "P1", "--consent", "by word", "--expires", "2099-12-31")
    before = json.loads(familiar("people", "show", "P1", "--json")[1])

    def named() -> list[str]:
        rows = csv.reader(io.StringIO(familiar("identify", "album")[1]))
        return [row[1] for row in rows]

    def thresholds() -> dict[str, float]:
        told = json.loads(familiar("calibrate", "--json")[1])
        return {person["name"]: person["threshold"] for person in told["persons"]}

    assert named() == ["P0"] * 3 + ["P1"] * 3 + ["unknown"]
    two = thresholds()
    code, out, _ = familiar("people", "merge", "p1", "P0")
    assert (code, out) == (0, "p1 is P0 now, with 6 photos; familiar people unmerge p1 takes it back\n")
    assert named() == ["P0"] * 6 + ["unknown"]
    one = thresholds()
    assert set(two) == {"P0", "P1"} and set(one) == {"P0"}
    assert one["P0"] != two["P0"], "it is reckoned anew, with all photos of both"
    shown = familiar("people", "show", "P0")[1]
    assert "merged into them: P1 with 3 photos, forgotten after 2099-12-31" in shown
    assert len(json.loads(familiar("people", "show", "P0", "--json")[1])["records"]) == 6
    assert familiar("enroll", "P0", "album/P1/0.png")[1].startswith("album/P1/0.png: already enrolled")
    code, _, err = familiar("enroll", "P1", "album/stranger.png", "--force")
    assert code == 4 and "merged into 'P0'; familiar people unmerge 'P1'" in err and err.count("\n") == 1
    code, out, _ = familiar("people", "unmerge", "P1")
    assert (code, out) == (0, "P1 is somebody of their own again, with 3 photos\n")
    assert json.loads(familiar("people", "show", "P1", "--json")[1]) == before
    assert named() == ["P0"] * 3 + ["P1"] * 3 + ["unknown"] and thresholds() == two
    assert familiar("people", "unmerge", "P1")[0] == 4
    familiar("people", "merge", "P1", "P0")
    familiar("people", "forget", "P0", "--yes")
    assert familiar("people", "list", "--json")[1].strip() == "[]"
    assert set(named()) == {"unknown"}


def test_enrolling_again_changes_nothing(familiar: Familiar, album: Path) -> None:
    familiar("enroll", "P0", "album/P0/0.png")
    code, out, _ = familiar("enroll", "p0", "album/P0", "--json")
    lines = [json.loads(line) for line in out.splitlines()]
    assert code == 0 and [line["known"] for line in lines[:3]] == [True, False, False]
    assert lines[3] == {"name": "P0", "enrolled": 2, "known": 1, "refused": 0, "templates": 3}


def test_one_photo_works_with_a_hint(familiar: Familiar, album: Path) -> None:
    code, out, _ = familiar("enroll", "P0", "album/P0/0.png")
    assert code == 0 and "1 photo known; 3 to 5 photos" in out


def test_bad_photos_are_refused_one_by_one_and_good_ones_kept(familiar: Familiar, album: Path) -> None:
    whole = (album / "P0/0.png").read_bytes()
    (album / "cut.png").write_bytes(whole[: len(whole) // 2])
    (album / "zero.jpg").write_bytes(b"")
    (album / "text.jpg").write_text("hello")
    write(album / "dot.png", np.zeros((1, 1, 3), np.uint8))
    Image.new("1", (10_000, 10_000)).save(album / "huge.png")
    bad = [f"album/{name}" for name in ("cut.png", "zero.jpg", "text.jpg", "dot.png", "huge.png")]
    code, out, err = familiar("enroll", "P0", *bad)
    assert code == 10 and err.count("\n") == 1
    reasons = ("cut short", "empty file", "something else", "no face", "at most 50 megapixels, found 100")
    for line, path, reason in zip(out.splitlines(), bad, reasons, strict=True):
        assert line.startswith(f"{path}: refused: ") and reason in line
    assert familiar("people", "list")[1].startswith("nobody is enrolled yet")
    code, out, _ = familiar("enroll", "P0", *bad, "album/P0/0.png")
    assert code == 0 and "P0: 1 enrolled, 5 refused; 1 photo known" in out


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("enroll", "A", "nowhere"), 4, "found neither"),
        (("enroll", "A", "empty"), 4, "found none"),
        (("enroll", "unknown", "album"), 4, "choose another"),
        (("identify", "nowhere.jpg"), 4, "found neither"),
        (("identify", "album/stranger.png"), 8, "familiar enroll"),
        (("people", "show", "A"), 4, "nobody is enrolled yet"),
        (("people", "forget", "A"), 2, "--yes"),
        (("people", "list", "--set", "decide.margn=1"), 3, "did you mean 'margin'"),
        (("people", "--config", "none.toml", "list"), 3, "none.toml"),
    ],
)
def test_each_mistake_is_one_line_and_an_exit_code(
    familiar: Familiar, album: Path, arguments: tuple[str, ...], code: int, says: str
) -> None:
    (album.parent / "empty").mkdir()
    found, out, err = familiar(*arguments)
    assert (found, out, err.count("\n")) == (code, "", 1) and says in err
    assert not (album.parent / "state").exists()


def test_forget_asks_on_a_terminal(familiar: Familiar, album: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    familiar("enroll", "P0", "album/P0")
    monkeypatch.setattr(sys, "stdin", Terminal("n\n"))
    code, out, _ = familiar("people", "forget", "p0")
    assert code == 1 and "Forget P0 and 3 photos" in out and "nothing was changed" in out
    familiar("enroll", "P1", "album/P1")
    familiar("people", "merge", "P1", "P0")
    monkeypatch.setattr(sys, "stdin", Terminal("yes\n"))
    code, out, _ = familiar("people", "forget", "p0")
    assert code == 0 and "Forget P0, also enrolled as P1 and 6 photos" in out
    assert familiar("people", "list", "--json")[1].strip() == "[]"


def test_identify_rejects_poor_faces_and_names_what_it_cannot_read(familiar: Familiar, album: Path) -> None:
    familiar("enroll", "P0", "album/P0")
    write(album / "blurred.png", np.asarray(cv2.GaussianBlur(draw_face(0, 100), (0, 0), 4), np.uint8))
    write(album / "empty.png", make_pixels())
    (album / "odd, name.png").write_bytes(b"")
    names = ("blurred.png", "empty.png", "odd, name.png", "P0/1.png")
    code, out, err = familiar("identify", *[f"album/{name}" for name in names])
    rows = list(csv.reader(io.StringIO(out)))
    assert rows[0][:4] == ["album/blurred.png", "rejected:blurred", "", "1"]
    assert rows[1] == ["album/empty.png", "rejected:no face", ""]
    assert rows[2][:2] == ["album/P0/1.png", "P0"] and len(rows) == 3
    assert code == 5 and "odd, name.png: expected a picture, found an empty file" in err


def test_identify_as_json_explains_itself(familiar: Familiar, album: Path) -> None:
    familiar("enroll", "P0", "album/P0")
    _, out, err = familiar("identify", "--json", "album/P0/0.png", "album/stranger.png")
    known, stranger = (json.loads(line) for line in out.splitlines())
    assert known["person"] == known["candidate"] == "P0" and known["score"] >= known["threshold"]
    assert known["margin"] is None and known["runner_up"] is None and 0.9 < known["confidence"] < 1
    assert stranger["person"] is None and stranger["candidate"] == "P0" and len(stranger["xyxy"]) == 4
    assert set(known) >= {"path", "rejected", "quality", "similarity", "template_id"}
    assert "strangers support" in err


def test_running_daemon_is_asked_and_its_answers_are_the_same(familiar: Familiar, album: Path) -> None:
    config = load_config()
    with open_people(config, enrolling=True) as owner:
        asked = []

        def answer(command: str, arguments: dict[str, object], payload: bytes) -> dict[str, object]:
            asked.append((command, bool(payload)))
            return owner.call(command, arguments, payload)

        with ControlServer(Path("control.sock"), answer):
            socket = ("--set", "control.socket=control.sock")
            code, out, _ = familiar("enroll", "P0", "album/P0", *socket)
            assert code == 0 and "P0: 3 enrolled; 3 photos known" in out
            assert familiar("people", "list", "--json", *socket)[1] == familiar("people", "list", "--json")[1]
            assert familiar("people", "forget", "nobody here", "--yes", *socket)[0] == 4
    # Each photo goes over the socket once.
    expected = [("enroll.look", True)] * 3 + [("enroll", False)] * 3
    others = ("people.show", "people.check", "people.list", "people.forget")
    assert asked == expected + [(command, False) for command in others]


def test_more_photos_than_are_kept_in_mind_are_enrolled_all(
    familiar: Familiar, album: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_runtime.enrolment.photo._MOST_LOOKS", 1)
    code, out, _ = familiar("enroll", "P0", "album/P0")
    assert code == 0 and "P0: 3 enrolled; 3 photos known" in out


def test_options_may_stand_before_and_after_the_action(familiar: Familiar, tmp_path: Path) -> None:
    (tmp_path / "wrong.toml").write_text("[nonsense]\n")
    for arguments in (("--config", "wrong.toml", "list"), ("list", "--config", "wrong.toml")):
        code, _, err = familiar("people", *arguments)
        assert code == 3 and "unknown section 'nonsense'" in err


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("DELETE FROM meta_copy; UPDATE meta SET code_size = 64", "familiar repair"),
        ("UPDATE meta SET code_size = 64", "P0"),
        ("UPDATE person SET dates = x'00'", "(unreadable date)"),
    ],
)
def test_what_was_altered_is_not_believed(
    familiar: Familiar, album: Path, tmp_path: Path, change: str, says: str
) -> None:
    familiar("enroll", "P0", "album/P0")
    (gallery,) = tmp_path.rglob("gallery.db")
    with contextlib.closing(sqlite3.connect(gallery)) as connection, connection:
        connection.executescript(change)
    for command in (("people", "list"), ("people", "show", "P0")):
        code, out, err = familiar(*command)
        assert says in out + err and code in (0, GalleryError.exit_code)
