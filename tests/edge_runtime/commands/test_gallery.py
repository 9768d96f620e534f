"""``gallery`` and what is new in ``enroll`` and ``people``, as a person or a script calls them."""

from __future__ import annotations

import datetime
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.builders import draw_face
from tests.edge_runtime.commands.test_people import album, write  # noqa: F401
from tests.edge_runtime.conftest import Familiar


def test_backup_put_back_is_the_gallery_again(familiar: Familiar, album: Path, tmp_path: Path) -> None:  # noqa: F811
    familiar("enroll", "P0", "album/P0")
    code, out, err = familiar("gallery", "backup", "copy.db")
    assert (code, out, err) == (0, "copy.db: 1 people\n", "")
    familiar("people", "forget", "P0", "--yes")
    for path in (tmp_path / "state/familiar").glob("gallery.db*"):
        path.unlink()
    shutil.copy("copy.db", tmp_path / "state/familiar/gallery.db")
    assert "P0" in familiar("people", "list")[1]
    code, _, err = familiar("gallery", "backup", str(tmp_path / "state/familiar/gallery.db"))
    assert code == 4 and "lives by" in err


def test_rekey_keeps_everybody_and_ends_old_backups(familiar: Familiar, album: Path, tmp_path: Path) -> None:  # noqa: F811
    familiar("enroll", "P0", "album/P0")
    familiar("gallery", "backup", "copy.db")
    key = f"gallery.key_file={_key(tmp_path)}"
    before = json.loads(familiar("gallery", "show", "--json")[1])
    code, out, _ = familiar("gallery", "rekey")
    assert code == 0 and "the device key is new" in out and "no longer open" in out
    after = json.loads(familiar("gallery", "show", "--json")[1])
    assert after["fingerprint"] != before["fingerprint"] and after["audit"][-1]["action"] == "rekeyed"
    assert familiar("identify", "album/P0/0.png")[1].split(",")[1] == "P0"
    code, _, err = familiar("people", "list", "--set", "gallery.path=copy.db", "--set", key)
    assert code == 8 and "device key that made this gallery" in err


def _key(folder: Path) -> Path:
    return folder / "conf/familiar/device.key"


def test_a_lost_key_is_told_and_an_export_mends_it(
    familiar: Familiar,
    album: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FAMILIAR_PASSPHRASE", "correct horse")
    familiar("enroll", "P0", "album/P0", "--consent", "said yes", "--expires", "2099-12-31")
    code, out, err = familiar("gallery", "export", "people.out")
    assert (code, err) == (0, "") and "1 people, signed by" in out
    _key(tmp_path).unlink()
    code, _, err = familiar("people", "list")
    assert code == 8 and "put the key of this gallery back" in err
    for path in (tmp_path / "state/familiar").glob("gallery.db*"):
        path.unlink()
    code, out, _ = familiar("gallery", "import", "people.out")
    assert code == 0 and "3 photos added, 0 known already" in out
    person = json.loads(familiar("people", "show", "P0", "--json")[1])
    assert person["consent"] == "said yes" and datetime.datetime.fromtimestamp(person["expires"]).year == 2100
    assert familiar("identify", "album/P0/0.png")[1].split(",")[1] == "P0"
    assert familiar("gallery", "import", "people.out")[0] == 4
    assert "0 photos added, 3 known" in familiar("gallery", "import", "people.out", "--merge")[1]
    monkeypatch.setenv("FAMILIAR_PASSPHRASE", "wrong horse")
    code, _, err = familiar("gallery", "import", "people.out", "--merge")
    assert code == 4 and err.count("\n") == 1 and "passphrase does not open" in err
    monkeypatch.delenv("FAMILIAR_PASSPHRASE")
    assert familiar("gallery", "export", "people.out")[0] == 2


def test_a_key_beside_the_gallery_is_refused(familiar: Familiar, album: Path, tmp_path: Path) -> None:  # noqa: F811
    inside = tmp_path / "state/familiar/device.key"
    code, _, err = familiar("enroll", "P0", "album/P0", "--set", f"gallery.key_file={inside}")
    assert code == 8 and "outside the gallery's folder" in err and not inside.exists()


def test_the_majority_of_a_folder_is_right_whatever_its_order(familiar: Familiar, album: Path) -> None:  # noqa: F811
    write(album / "P0/00-wrong.png", draw_face(3, 130))
    code, out, _ = familiar("enroll", "P0", "album/P0")
    lines = out.splitlines()
    assert code == 0 and "0.png: enrolled" in lines[0]
    wrong = next(line for line in lines if "00-wrong" in line)
    assert "does not look like the other 3 photos of this name" in wrong
    assert "P0: 3 enrolled, 1 refused" in lines[-1]
    assert familiar("people", "check")[1] == "nothing to look at\n"


def test_the_same_face_under_two_names_is_told_and_force_is_on_record(familiar: Familiar, album: Path) -> None:  # noqa: F811
    familiar("enroll", "P0", "album/P0")
    code, out, err = familiar("enroll", "Alias", "album/P0/0.png")
    assert code == 10 and "the same photo is enrolled as P0" in out
    write(album / "again.png", draw_face(0, 145, 7))
    code, out, _ = familiar("enroll", "Alias", "album/again.png")
    assert code == 10 and "looks like P0" in out
    code, out, err = familiar("enroll", "Alias", "album/again.png", "--force")
    assert code == 0 and "enrolled by force: looks like P0" in out
    assert "look alike" in err and "a name needs a margin of" in err
    assert "forced: looks like P0" in familiar("people", "show", "Alias")[1]
    audit = json.loads(familiar("gallery", "show", "--json")[1])["audit"]
    assert "forced" in [line["action"] for line in audit]
    kinds = {finding["kind"] for finding in json.loads(familiar("people", "check", "--json")[1])}
    assert {"forced", "lookalike", "single"} <= kinds


def test_poor_photos_say_what_would_do_and_are_drawn(familiar: Familiar, album: Path) -> None:  # noqa: F811
    write(album / "blurred.png", np.asarray(cv2.GaussianBlur(draw_face(0, 100), (0, 0), 4), np.uint8))
    write(album / "small.png", draw_face(0, 36))
    code, out, err = familiar("enroll", "P0", "album/blurred.png", "album/small.png", "--refused", "refused.png")
    assert code == 10 and "hold still" in out and "come closer" in out
    assert "expected at least one picture to enrol, found none among 2: 1 x blurred, 1 x small" in err
    sheet = np.asarray(Image.open("refused.png"))
    assert sheet.shape[2] == 3 and sheet.shape[1] > 1100
    code, out, _ = familiar("enroll", "P0", "album/blurred.png", "--force")
    assert code == 0 and "enrolled by force: blurred" in out


def test_notes_drops_and_their_mistakes(familiar: Familiar, album: Path) -> None:  # noqa: F811
    familiar("enroll", "P0", "album/P0")
    code, out, _ = familiar("people", "note", "P0", "--consent", "agreed by letter", "--expires", "2099-06-30")
    assert (code, out) == (0, "P0: agreed by letter; until 2099-06-30\n")
    assert "until 2099-06-30" in familiar("people", "list")[1]
    assert "agreed to: agreed by letter" in familiar("people", "show", "P0")[1]
    out = familiar("people", "note", "P0", "--consent", "-", "--expires", "never")[1]
    assert out == "P0: no consent noted; for good\n"
    record = json.loads(familiar("people", "show", "P0", "--json")[1])["records"][0]
    assert "2 photos left" in familiar("people", "drop", "P0", str(record["template_id"]))[1]
    for arguments, code, says in (
        (("people", "note", "P0"), 2, "received neither"),
        (("people", "note", "P0", "--expires", "soon"), 2, "2027-01-31"),
        (("people", "note", "P0", "--expires", "1999-01-01"), 2, "past"),
        (("enroll", "P1", "album/P1", "--expires", "1999-01-01"), 2, "nothing was changed"),
        (("people", "drop", "P0", "one"), 4, "number of a photo"),
        (("people", "drop", "P0", "999"), 4, "no photo of P0"),
        (("gallery", "import", "nothing.out"), 4, "cannot read it"),
    ):
        found, _, err = familiar(*arguments)
        assert found == code and err.count("\n") == 1 and says in err, arguments


def test_nothing_a_device_lives_by_is_written_over(familiar: Familiar, album: Path, tmp_path: Path) -> None:  # noqa: F811
    familiar("enroll", "P0", "album/P0")
    state, key = tmp_path / "state" / "familiar", tmp_path / "conf" / "familiar" / "device.key"
    before = (state / "gallery.db").read_bytes(), key.read_bytes()
    for arguments in (
        ("gallery", "export", str(state / "gallery.db")),
        ("gallery", "export", str(key)),
        ("gallery", "backup", str(state / "events.db")),
        ("gallery", "backup", "state/familiar/gallery.db-wal"),
        ("calibrate", "--plot", str(state / "gallery.db")),
        ("enroll", "P0", "album/P0", "--refused", str(key)),
        ("strangers", "show", "3fa2c1", "--out", str(state / "gallery.db")),
        ("embed", "album", "--out", str(state / "gallery.db")),
    ):
        code, _, err = familiar(*arguments)
        assert code == 4 and err.count("\n") == 1 and "lives by" in err, arguments
    assert ((state / "gallery.db").read_bytes(), key.read_bytes()) == before
