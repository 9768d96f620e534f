"""After a change of encoder, people come back by the photos they were enrolled with, and nobody is lost unasked."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from edge_runtime.bundle.manifest import MANIFEST
from edge_runtime.config import load_config
from edge_runtime.control.server import ControlServer
from edge_runtime.errors import GalleryError
from edge_runtime.faces.chain import open_chain
from edge_runtime.gallery.opening import open_directory, open_gallery
from edge_runtime.storage.keys import CREDENTIAL, KEY_VARIABLE, KeySource
from tests.builders import draw_face, make_bundle, make_pixels
from tests.edge_runtime.conftest import Familiar


@pytest.fixture
def familiar(familiar: Familiar, tmp_path: Path) -> Familiar:
    """Runs a command where Ann and Ben are enrolled from ``album``."""
    for name, person in (("ann1", 0), ("ann2", 0), ("ben", 1)):
        folder = tmp_path / "album" / name
        folder.mkdir(parents=True)
        Image.fromarray(draw_face(person, 160, background=int(name[-1] == "2"))).save(folder / f"{name}.png")
    Image.fromarray(make_pixels()).save(tmp_path / "album" / "landscape.png")
    assert familiar("enroll", "Ann", "album/ann1/ann1.png", "album/ann2/ann2.png")[0] == 0
    assert familiar("enroll", "Ben", "album/ben/ben.png", "--force")[0] == 0
    return familiar


@pytest.fixture
def other(tmp_path: Path, familiar: Familiar, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Another bundle, whose codes do not compare with the first one's, in use now."""
    bundle = make_bundle(tmp_path / "second").path
    document = json.loads((bundle / MANIFEST).read_text())
    document["encoder"]["mean"] = [100.0]
    (bundle / MANIFEST).write_text(json.dumps(document))
    monkeypatch.setenv("FAMILIAR_BUNDLE_PATH", str(bundle))
    return bundle


def test_codes_of_another_encoder_are_never_compared_before(other: Path) -> None:
    config = load_config()
    with open_chain(config) as chain, pytest.raises(GalleryError, match="expected embeddings of the bundle in use"):
        open_gallery(config, chain)


def test_people_come_back_by_their_photos_whatever_they_are_called_now(
    other: Path, familiar: Familiar, tmp_path: Path
) -> None:
    shutil.move(tmp_path / "album" / "ann1" / "ann1.png", tmp_path / "album" / "holiday.png")
    assert familiar("people", "note", "Ann", "--consent", "may open the door", "--expires", "2999-01-01")[0] == 0
    before = open_directory(load_config())
    code, out, _ = familiar("people", "reembed", "--photos", "album")
    assert open_directory(load_config()).names == before.names  # the log of events knows them still
    assert code == 0 and "Ann: 2 photos encoded again" in out and "Ben: 1 photo encoded again" in out
    config = load_config()
    with open_chain(config) as chain, open_gallery(config, chain) as gallery:
        assert [(p.name, p.templates) for p in gallery.people()] == [("Ann", 2), ("Ben", 1)]
        assert [Path(r.source).name for r in gallery.records("Ann")] == ["ann2.png", "ann1.png"]
        ann, ben = gallery.people()
        assert ann.consent == "may open the door" and ann.expires is not None and ben.consent == ""
        assert gallery.records("Ben")[0].forced
    code, out, _ = familiar("identify", "album/ben/ben.png")
    assert code == 0 and "Ben" in out
    kept = list((tmp_path / "state" / "familiar").glob("gallery.db.of-*"))
    assert len(kept) == 1 and kept[0].stat().st_mode & 0o077 == 0
    assert not list((tmp_path / "state" / "familiar").glob(".gallery*"))
    # Whoever is forgotten is so in the old gallery too.
    assert familiar("people", "forget", "Ann", "--yes")[0] == 0
    assert not list((tmp_path / "state" / "familiar").glob("gallery.db.of-*"))


def test_who_was_merged_stays_so_and_can_be_taken_apart(other: Path, familiar: Familiar) -> None:
    assert familiar("people", "merge", "Ben", "Ann")[0] == 0
    before = open_directory(load_config())
    assert familiar("people", "reembed", "--photos", "album")[0] == 0
    after = open_directory(load_config())
    assert (after.names, after.merged) == (before.names, before.merged) and after.merged
    (ann,) = json.loads(familiar("people", "list", "--json")[1])
    assert (ann["templates"], ann["merged"][0]["templates"]) == (3, 1)
    assert familiar("people", "unmerge", "Ben")[1] == "Ben is somebody of their own again, with 1 photo\n"


@pytest.mark.parametrize("kind", ["variable", "credential"])
def test_the_device_key_comes_from_where_every_command_takes_it(
    kind: str, other: Path, familiar: Familiar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (file,) = (tmp_path / "conf").rglob("device.key")
    if kind == "variable":
        monkeypatch.setenv(KEY_VARIABLE, KeySource.of(file).load().hex())
        file.unlink()
    else:
        folder = tmp_path / "credentials"
        folder.mkdir()
        file.rename(folder / CREDENTIAL)
        monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))
    code, out, err = familiar("people", "reembed", "--photos", "album")
    assert code == 0 and "Ann: 2 photos encoded again" in out, err
    assert familiar("people", "list")[0] == 0 and not file.exists()


def test_nobody_is_lost_unasked(other: Path, familiar: Familiar, tmp_path: Path) -> None:
    database = tmp_path / "state" / "familiar" / "gallery.db"
    before = database.read_bytes()
    code, out, err = familiar("people", "reembed", "--photos", "album/ann1")
    assert code == 1 and "Ben has no kept picture" in out and "Ann: 1 photo encoded again, 1 not" in out
    assert "nothing was changed" in err and database.read_bytes() == before
    assert not list(database.parent.glob("*.of-*")) and not list(database.parent.glob(".gallery*"))
    code, out, _ = familiar("people", "reembed", "--photos", "album/ann1", "--yes", "--json")
    document = json.loads(out)
    assert code == 0 and document["made"] == {"Ann": 1, "Ben": 0} and document["to_enrol_again"] == ["Ben"]
    code, out, _ = familiar("people", "list")
    assert "Ann" in out and "Ben" not in out


def test_kept_pictures_serve_where_no_photo_is_shown(
    familiar: Familiar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Ann and Ben were enrolled without pictures; what is kept begins here.
    monkeypatch.setenv("FAMILIAR_GALLERY_KEEP_CROPS", "true")
    Image.fromarray(draw_face(2, 400)).save(tmp_path / "cid.png")
    assert familiar("enroll", "Cid", "cid.png", "--force")[0] == 0
    assert "(picture kept)" in familiar("people", "show", "Cid")[1]
    assert "(picture kept)" not in familiar("people", "show", "Ann")[1]
    raw = (tmp_path / "state" / "familiar" / "gallery.db").read_bytes()
    assert b"JFIF" not in raw and b"\xff\xd8\xff" not in raw
    code, out, _ = familiar("people", "reembed", "--yes", "--json")
    assert code == 0 and json.loads(out) is None  # of this bundle already
    second = make_bundle(tmp_path / "second").path
    document = json.loads((second / MANIFEST).read_text())
    document["encoder"]["mean"] = [100.0]
    (second / MANIFEST).write_text(json.dumps(document))
    monkeypatch.setenv("FAMILIAR_BUNDLE_PATH", str(second))
    code, out, _ = familiar("people", "reembed", "--yes", "--json")
    document = json.loads(out)
    assert code == 0 and document["made"] == {"Ann": 0, "Ben": 0, "Cid": 1}
    assert sorted(document["missing"]) == ["Ann", "Ben"]
    code, out, _ = familiar("identify", "cid.png")
    assert code == 0 and "Cid" in out
    # The photo is still known, and its picture is still kept for the next time.
    code, out, _ = familiar("enroll", "Cid", "cid.png")
    assert code == 0 and "already" in out
    assert "(picture kept)" in familiar("people", "show", "Cid")[1]


def test_without_photos_everybody_must_be_enrolled_again(other: Path, familiar: Familiar) -> None:
    code, out, _ = familiar("people", "reembed")
    assert code == 1 and "Ann has no kept picture" in out and "Ben has no kept picture" in out


def test_nothing_to_do_is_said(familiar: Familiar) -> None:
    code, out, _ = familiar("people", "reembed", "--photos", "album")
    assert code == 0 and "nothing was changed" in out


def test_a_running_daemon_is_not_pulled_from_under(other: Path, familiar: Familiar, tmp_path: Path) -> None:
    socket = tmp_path / "s.sock"
    with ControlServer(socket, lambda *_: {}):
        code, _, err = familiar("people", "reembed", "--set", f"control.socket={socket}")
    assert code == 11 and "stop it first" in err and err.count("\n") == 1


def test_no_gallery_is_one_line(tmp_path: Path, familiar: Familiar) -> None:
    code, _, err = familiar("people", "reembed", "--set", f"gallery.path={tmp_path / 'none.db'}")
    assert code == 4 and err.count("\n") == 1
