"""Who was forgotten stays so: an older copy of the gallery, or an older export, brings nobody back unnoticed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from edge_runtime.errors import DeviceKeyError, GalleryError, InputError
from edge_runtime.gallery.store import Gallery
from edge_runtime.gallery.tombstones import Tombstones
from edge_runtime.storage.files import with_sides
from tests.edge_runtime.gallery.test_store import code, open_gallery

KEY = bytes(range(32))


def names(gallery: Gallery) -> list[str]:
    return [person.name for person in gallery.people()]


def put_back(folder: Path, copy: Path) -> None:
    """Put a copy in the gallery's place, as somebody who restores a backup does."""
    path = folder / "state/gallery.db"
    for file in with_sides(path):
        file.unlink(missing_ok=True)
    shutil.copy(copy, path)
    path.chmod(0o600)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of a gallery of Anna and Bob, of whom Bob was forgotten since."""
    with open_gallery(tmp_path) as gallery:
        gallery.add("Anna", code(0), 1.0, "a.jpg")
        gallery.add("Bob", code(1), 1.0, "b.jpg")
        gallery.backup(tmp_path / "copy.db")
        gallery.forget("Bob")
    return tmp_path / "copy.db"


def test_nobody_is_forgotten_before_somebody_is(tmp_path: Path) -> None:
    stones = Tombstones(tmp_path / "gallery.db", KEY)
    stones.add([])
    assert "a" * 32 not in stones and not stones.path.exists()


def test_an_older_copy_brings_nobody_back_and_it_is_said(
    tmp_path: Path, copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put_back(tmp_path, copy)
    for removed in (1, 0):
        with open_gallery(tmp_path) as gallery:
            assert names(gallery) == ["Anna"] and gallery.removed_again == removed
            assert len(gallery.directory().forgotten) == 1
    assert "1 people who had been forgotten were in this gallery" in capsys.readouterr().err


def test_tombstones_outlive_a_rekey_and_the_copy_that_is_sealed_anew(tmp_path: Path) -> None:
    with open_gallery(tmp_path) as gallery:
        for number, name in enumerate(("Anna", "Bob", "Cleo")):
            gallery.add(name, code(number), 1.0, "a.jpg")
        gallery.forget("Bob")
        gallery.rekey()
        gallery.backup(tmp_path / "copy.db")
        gallery.forget("Cleo")
        gallery.rekey()
    with pytest.raises(DeviceKeyError):
        put_back(tmp_path, tmp_path / "copy.db")
        open_gallery(tmp_path)
    (line,) = (tmp_path / "state/gallery.db.forgotten").read_text().split("key ")[1:]
    key = (tmp_path / "conf/device.key").read_bytes()
    assert line and len(Tombstones(tmp_path / "state/gallery.db", key)._marks) == 2


def test_the_same_name_may_be_enrolled_again_by_will(tmp_path: Path, copy: Path) -> None:
    with open_gallery(tmp_path) as gallery:
        gallery.add("Bob", code(1), 1.0, "b.jpg")
        mine = gallery.person("Bob").person_id
    with open_gallery(tmp_path) as gallery:
        assert names(gallery) == ["Anna", "Bob"] and gallery.removed_again == 0
        gallery.backup(tmp_path / "later.db")
    put_back(tmp_path, copy)
    with open_gallery(tmp_path) as gallery:
        assert names(gallery) == ["Anna"]
    put_back(tmp_path, tmp_path / "later.db")
    with open_gallery(tmp_path) as gallery:
        assert gallery.person("Bob").person_id == mine


def test_whoever_expired_does_not_come_back_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    with open_gallery(tmp_path) as gallery:
        gallery.add("Anna", code(0), 1.0, "a.jpg")
        gallery.backup(tmp_path / "copy.db")
        gallery.note("Anna", expires_s=time.time() + 60)
        now_s = time.time()
        monkeypatch.setattr(time, "time", lambda: now_s + 61)
        assert len(gallery.forget_expired()) == 1
    put_back(tmp_path, tmp_path / "copy.db")
    with open_gallery(tmp_path) as gallery:
        assert names(gallery) == []


def test_a_forgetting_that_was_cut_short_is_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_gallery(tmp_path) as gallery:
        gallery.add("Anna", code(0), 1.0, "a.jpg")
        with monkeypatch.context() as patch:

            def cut(*arguments: object) -> None:
                raise KeyboardInterrupt

            patch.setattr(gallery._rows, "delete", cut)
            with pytest.raises(KeyboardInterrupt):
                gallery.forget("Anna")
        assert names(gallery) == ["Anna"]
    with open_gallery(tmp_path) as gallery:
        assert names(gallery) == []


def test_a_lost_or_damaged_file_is_made_again_of_the_audit(tmp_path: Path, copy: Path) -> None:
    stones = tmp_path / "state/gallery.db.forgotten"
    for spoil in (stones.unlink, lambda: stones.write_text("key 00\n" + "0" * 64 + "\n")):
        spoil()
        with open_gallery(tmp_path) as gallery:
            assert not gallery.damage()
            assert names(gallery) == ["Anna"]
        here = (tmp_path / "state/gallery.db").read_bytes()
        put_back(tmp_path, copy)
        with open_gallery(tmp_path) as gallery:
            assert names(gallery) == ["Anna"] and gallery.removed_again == 1
        (tmp_path / "state/gallery.db").write_bytes(here)


def test_nothing_can_be_told_from_the_file(tmp_path: Path, copy: Path) -> None:
    with Gallery.open_existing(copy, tmp_path / "conf/device.key") as older:
        gone = older.person("Bob").person_id
    text = (tmp_path / "state/gallery.db.forgotten").read_text()
    assert gone not in text and "Bob" not in text
    assert (tmp_path / "state/gallery.db.forgotten").stat().st_mode & 0o777 == 0o600


def test_nobody_is_forgotten_halfway_where_the_tombstone_cannot_be_written(tmp_path: Path) -> None:
    with open_gallery(tmp_path) as gallery:
        gallery.add("Anna", code(0), 1.0, "a.jpg")
        (tmp_path / "state/gallery.db.forgotten").mkdir()
        with pytest.raises(GalleryError, match=r"gallery\.db\.forgotten"):
            gallery.forget("Anna")
        assert names(gallery) == ["Anna"]


def test_an_export_of_before_is_refused_unless_it_is_meant(tmp_path: Path) -> None:
    with open_gallery(tmp_path) as gallery:
        gallery.add("Anna", code(0), 1.0, "a.jpg")
        gallery.add("Bob", code(1), 1.0, "b.jpg")
        exported = gallery.moved(["Anna", "Bob"])
        gallery.forget("Bob")
        gallery.forget("Anna")
        gallery.add("Anna", code(0), 1.0, "a.jpg")
        with pytest.raises(InputError, match=r"'Bob'.*--forgotten"):
            gallery.take_moved(exported, merge=True)
        assert names(gallery) == ["Anna"]
        gallery.take_moved(exported, merge=True, again=True)
        assert names(gallery) == ["Anna", "Bob"]
    with open_gallery(tmp_path) as gallery:
        assert names(gallery) == ["Anna", "Bob"]


def test_another_device_knows_whom_it_has_forgotten(tmp_path: Path) -> None:
    with open_gallery(tmp_path / "one") as one, open_gallery(tmp_path / "two") as two:
        one.add("Anna", code(0), 1.0, "a.jpg")
        exported = one.moved(["Anna"])
        two.take_moved(exported, merge=False)
        assert two.person("Anna").person_id == one.person("Anna").person_id
        two.forget("Anna")
        with pytest.raises(InputError, match="--forgotten"):
            two.take_moved(exported, merge=False)
