"""The gallery's file over its life: older versions, a new key, copies, and what they tell without the key."""

from __future__ import annotations

import os
import sqlite3
import stat
import time
from pathlib import Path

import numpy as np
import pytest

from edge_runtime.errors import GalleryError, InputError
from edge_runtime.gallery.store import Gallery
from edge_runtime.gallery.templates import Damage
from edge_runtime.storage import keys
from edge_runtime.storage.keys import KeySource, waiting_key
from tests.edge_runtime.gallery.test_store import SIZE, code, open_gallery, raw


def test_forget_reaches_the_galleries_that_lie_beside_it(tmp_path: Path) -> None:
    with open_gallery(tmp_path) as gallery:
        gallery.add("Anna", code(0), 1.0, "a.jpg")
        gallery.add("Bob", code(1), 1.0, "b.jpg")
        for kind in ("before-9", "of-0123", "aside-1"):
            gallery.backup(tmp_path / f"state/gallery.db.{kind}")
        gallery.forget("Bob")
        assert not [
            path for path in (tmp_path / "state").iterdir() if path.suffix.startswith((".before", ".of", ".as"))
        ]
        assert [person.name for person in gallery.people()] == ["Anna"]


def test_rekey_changes_every_sealed_byte_and_no_value(tmp_path: Path) -> None:
    with open_gallery(tmp_path) as gallery:
        gallery.add("Anna", code(0), 2.0, "a.jpg", b"p" * 32, forced="small")
        gallery.note("Anna", "until the move")
        before, key = gallery.templates(), (tmp_path / "conf/device.key").read_bytes()
        connection = sqlite3.connect(gallery.path)
        old = [v for row in connection.execute("SELECT code, source, forced FROM template") for v in row]
        old += [v for row in connection.execute("SELECT sealed_key, name, consent FROM person") for v in row]
        assert gallery.rekey() is True
        assert not any(value in raw(tmp_path) for value in old)
        connection.close()
        assert (tmp_path / "conf/device.key").read_bytes() != key
    assert sorted(path.name for path in (tmp_path / "conf").iterdir()) == ["device.key"]
    with open_gallery(tmp_path) as gallery:
        after = gallery.templates()
        assert after.names == before.names and np.allclose(after.embeddings, before.embeddings, atol=1e-5)
        assert gallery.people()[0].consent == "until the move" and gallery.records("Anna")[0].forced == "small"
        assert gallery.has_photo("Anna", b"p" * 32) is not None
        assert gallery.audit()[-1][1] == "rekeyed"


@pytest.mark.parametrize("moment", ["before the commit", "before the key is in place"])
def test_a_rekey_cut_short_opens_with_the_key_that_fits(
    tmp_path: Path, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_gallery(tmp_path) as gallery:
        gallery.add("Anna", code(0), 1.0, "a.jpg")
    gallery = open_gallery(tmp_path)
    old = (tmp_path / "conf/device.key").read_bytes()

    def cut(*arguments: object) -> None:
        raise KeyboardInterrupt

    if moment == "before the commit":
        written = keys.put_waiting

        def write_and_cut(path: Path, key: bytes) -> None:
            written(path, key)
            cut()

        monkeypatch.setattr("edge_runtime.gallery.file.put_waiting", write_and_cut)
    else:
        monkeypatch.setattr("edge_runtime.gallery.file.take_waiting", cut)
    with pytest.raises(KeyboardInterrupt):
        gallery.rekey()
    gallery.close()
    monkeypatch.undo()
    assert (tmp_path / "conf/device.key").read_bytes() == old
    assert waiting_key(tmp_path / "conf/device.key").is_file()
    with open_gallery(tmp_path) as again:
        assert again.templates().names == ("Anna",)
        assert again.rekey() and again.templates().names == ("Anna",)
    with open_gallery(tmp_path) as again:
        assert again.templates().names == ("Anna",)
    assert not waiting_key(tmp_path / "conf/device.key").exists()


def test_a_new_key_that_was_cut_short_is_in_nobodys_way(tmp_path: Path) -> None:
    with open_gallery(tmp_path) as gallery:
        gallery.add("Anna", code(0), 1.0, "a.jpg")
    waiting = waiting_key(tmp_path / "conf/device.key")
    waiting.touch(0o600)  # the name outlived the power cut, the bytes did not
    with open_gallery(tmp_path) as gallery:
        assert gallery.templates().names == ("Anna",)
        assert gallery.rekey() and not waiting.exists()
    waiting.touch(0o600)
    (tmp_path / "conf/device.key").write_bytes(bytes(32))
    with pytest.raises(GalleryError, match="device key that made this gallery"):
        open_gallery(tmp_path)


def test_backups_open_with_the_same_key_alone(tmp_path: Path) -> None:
    with open_gallery(tmp_path) as gallery:
        gallery.add("Anna", code(0), 1.0, "a.jpg")
        gallery.backup(tmp_path / "copy.db")
        gallery.add("Bob", code(1), 1.0, "b.jpg")
        assert stat.S_IMODE((tmp_path / "copy.db").stat().st_mode) == 0o600
        with Gallery.open_existing(tmp_path / "copy.db", tmp_path / "conf/device.key") as copy:
            assert copy.templates().names == ("Anna",)
        gallery.rekey()
        with pytest.raises(GalleryError, match="device key that made this gallery"):
            Gallery.open_existing(tmp_path / "copy.db", tmp_path / "conf/device.key")
        with pytest.raises(InputError, match="cannot be written"):
            gallery.backup(tmp_path / "nowhere/copy.db")


def test_key_from_the_environment_or_a_credential(tmp_path: Path) -> None:
    key = bytes(range(32))
    (tmp_path / "credentials").mkdir()
    (tmp_path / "credentials/familiar-device-key").write_text(key.hex() + "\n")
    file = tmp_path / "conf/device.key"
    from_variable = KeySource.find(file, False, {"FAMILIAR_DEVICE_KEY": key.hex()})
    from_credential = KeySource.find(file, False, {"CREDENTIALS_DIRECTORY": str(tmp_path / "credentials")})
    assert from_variable.load() == from_credential.load(create=True) == key and not file.exists()
    assert KeySource.find(file, True, {"FAMILIAR_DEVICE_KEY": key.hex()}).path == file
    assert KeySource.find(file, False, {}).load(create=True) == file.read_bytes()
    path = tmp_path / "state/gallery.db"
    with Gallery.open(path, from_variable, "e" * 64, "p" * 64, SIZE, "first") as gallery:
        gallery.add("Anna", code(0), 1.0, "a.jpg")
        assert gallery.rekey() is False
    with Gallery.open_existing(path, from_credential) as gallery:
        assert gallery.templates().names == ("Anna",)
    with pytest.raises(GalleryError, match="openssl rand -hex 32"):
        KeySource.find(file, False, {"FAMILIAR_DEVICE_KEY": "too short"}).load()


def test_whoever_expires_is_forgotten_and_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_gallery(tmp_path) as gallery:
        for name in ("Anna", "Bob"):
            gallery.add(name, code(0), 1.0, "a.jpg")
        until = time.time() + 3600
        assert gallery.note("anna", "yes, for a month", until).expires == until
        assert gallery.note("anna").consent == "yes, for a month"
        version = gallery.version
        monkeypatch.setattr(time, "time", lambda: until + 1)
        assert gallery.version != version
        assert gallery.templates().names == ("Bob",)
        assert [action for _, action, _ in gallery.audit()][-1] == "expired"
        with pytest.raises(InputError, match="past"):
            gallery.note("Bob", expires_s=until)
        with pytest.raises(InputError, match="2000 characters"):
            gallery.note("Bob", "x" * 2001)


def test_dropping_a_photo_leaves_the_others_and_never_nothing(tmp_path: Path) -> None:
    with open_gallery(tmp_path) as gallery:
        ids = [gallery.add("Anna", code(n), 1.0, f"{n}.jpg") for n in range(2)]
        bobs = gallery.add("Bob", code(5), 1.0, "b.jpg")
        with pytest.raises(InputError, match="no photo of Anna"):
            gallery.drop("Anna", bobs)
        assert gallery.drop("anna", ids[0]).templates == 1
        assert [record.template_id for record in gallery.records("Anna")] == [ids[1]]
        with pytest.raises(InputError, match="last photo"):
            gallery.drop("Anna", ids[1])


def test_rows_of_another_gallery_do_not_open_even_with_the_same_key(tmp_path: Path) -> None:
    with open_gallery(tmp_path) as gallery:
        gallery.add("Anna", code(0), 1.0, "a.jpg")
    other = tmp_path / "state/other.db"
    key = tmp_path / "conf/device.key"
    with Gallery.open(other, key, "e" * 64, "p" * 64, SIZE, "first") as target:
        connection = sqlite3.connect(other)
        connection.execute(f"ATTACH '{tmp_path / 'state/gallery.db'}' AS source")
        connection.execute("INSERT INTO person SELECT * FROM source.person")
        connection.execute("INSERT INTO template SELECT * FROM source.template")
        connection.commit()
        connection.close()
        assert target.templates().names == () and target.people() == []
        assert target.damage().people == 1


def test_a_row_moved_to_another_person_is_not_used(tmp_path: Path) -> None:
    with open_gallery(tmp_path) as gallery:
        gallery.add("Anna", code(0), 1.0, "a.jpg")
        gallery.add("Bob", code(1), 1.0, "b.jpg")
        connection = sqlite3.connect(gallery.path)
        connection.execute("UPDATE template SET person_id = (SELECT person_id FROM template WHERE id = 2) WHERE id = 1")
        connection.commit()
        connection.close()
        assert gallery.templates().ids.tolist() == [2]
        assert gallery.damage() == Damage(photos=1)


def test_rekey_keeps_the_mode(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        with open_gallery(tmp_path) as gallery:
            gallery.rekey()
            assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "state").iterdir()} == {0o600}
            assert stat.S_IMODE((tmp_path / "conf/device.key").stat().st_mode) == 0o600
    finally:
        os.umask(old)
