"""The gallery: what was confirmed is there, nothing readable lies on disk, and what does not fit is refused."""

from __future__ import annotations

import sqlite3
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_runtime.errors import GalleryError, InputError
from edge_runtime.gallery.directory import STRANGER
from edge_runtime.gallery.store import Gallery
from edge_runtime.types import Floats

SIZE = 16


def code(seed: int) -> Floats:
    values = np.random.default_rng(seed).normal(size=SIZE).astype(np.float32)
    return np.asarray(values / np.linalg.norm(values), np.float32)


def open_gallery(folder: Path, **other: Any) -> Gallery:
    values = {"encoder_hash": "e" * 64, "preprocessing_hash": "p" * 64, "embedding_size": SIZE, "bundle_name": "first"}
    return Gallery.open(folder / "state/gallery.db", folder / "conf/device.key", **(values | other))


def raw(folder: Path) -> bytes:
    """Every byte SQLite keeps of the gallery."""
    return b"".join(path.read_bytes() for path in sorted((folder / "state").iterdir()) if path.suffix != ".db-shm")


def test_new_gallery_is_empty_and_private(tmp_path: Path) -> None:
    with open_gallery(tmp_path) as gallery:
        assert gallery.people() == []
        templates = gallery.templates()
        assert templates.names == () and templates.embeddings.shape == (0, SIZE)
        assert templates.person_embeddings().shape == (0, SIZE)
        gallery.add("Anna", code(0), 1.0, "a.jpg")
        for path in (tmp_path / "state").iterdir():
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
        assert len(list((tmp_path / "state").iterdir())) == 3


def test_a_making_that_was_cut_short_is_done_again(tmp_path: Path) -> None:
    path = tmp_path / "state/gallery.db"
    with open_gallery(tmp_path):
        pass
    path.unlink()
    path.touch(0o600)  # as a full disk leaves it
    with pytest.raises(GalleryError, match="found none; make it with"):
        Gallery.open_existing(path, tmp_path / "conf/device.key")
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")  # SQLite's header is there, and no table
    connection.close()
    assert path.stat().st_size > 0
    with pytest.raises(GalleryError, match="found none; make it with"):
        Gallery.open_existing(path, tmp_path / "conf/device.key")
    with open_gallery(tmp_path) as gallery:
        gallery.add("Anna", code(0), 1.0, "a.jpg")
        assert [person.name for person in gallery.people()] == ["Anna"]


def test_templates_come_back_as_they_were_added(tmp_path: Path) -> None:
    with open_gallery(tmp_path) as gallery:
        ids = [
            gallery.add(name, code(seed), 1.0 + seed, f"{seed}.jpg") for seed, name in enumerate(("Bob", "Anna", "Bob"))
        ]
    with open_gallery(tmp_path) as gallery:
        templates = gallery.templates()
        assert templates.names == ("Bob", "Anna")
        assert templates.person_index.tolist() == [0, 0, 1]
        assert templates.ids.tolist() == [ids[0], ids[2], ids[1]]
        assert np.allclose(templates.embeddings, np.stack([code(0), code(2), code(1)]), atol=1e-6)
        assert templates.weights.tolist() == [1.0, 3.0, 2.0]
        assert [(p.name, p.templates) for p in gallery.people()] == [("Bob", 2), ("Anna", 1)]
        assert [(r.source, r.weight) for r in gallery.records("bob")] == [("0.jpg", 1.0), ("2.jpg", 3.0)]


def test_average_is_weighted_and_of_unit_length(tmp_path: Path) -> None:
    with open_gallery(tmp_path) as gallery:
        gallery.add("Anna", code(0), 3.0, "0")
        gallery.add("Anna", code(1), 1.0, "1")
        expected = 3 * code(0) + code(1)
        assert np.allclose(gallery.templates().person_embeddings()[0], expected / np.linalg.norm(expected), atol=1e-6)


def test_another_writing_is_the_same_person(tmp_path: Path) -> None:
    with open_gallery(tmp_path) as gallery:
        gallery.add("Zo\u00eb", code(0), 1.0, "0")
        gallery.add(" zoe\u0308", code(1), 1.0, "1")
        assert [(p.name, p.templates) for p in gallery.people()] == [("Zo\u00eb", 2)]


def test_same_photo_is_recognised_for_its_person_alone(tmp_path: Path) -> None:
    photo = bytes(range(32))
    with open_gallery(tmp_path) as gallery:
        assert gallery.has_photo("Anna", photo) is None
        first = gallery.add("Anna", code(0), 1.0, "0", photo)
        assert gallery.add("anna", code(0), 1.0, "0", photo) == first == gallery.has_photo("Anna", photo)
        assert gallery.has_photo("Bob", photo) is None
        assert gallery.add("Bob", code(0), 1.0, "0", photo) != first
        assert [p.templates for p in gallery.people()] == [1, 1]
        assert photo not in raw(tmp_path)


def test_names_sources_and_codes_are_nowhere_on_disk(tmp_path: Path) -> None:
    with open_gallery(tmp_path) as gallery:
        gallery.add("Wolfeschlegel", code(0), 1.0, "holiday-snapshot.jpg")
        for secret in (b"Wolfeschlegel", b"holiday-snapshot", code(0).tobytes(), code(0).tobytes()[8:24]):
            assert secret not in raw(tmp_path)


def test_forget_leaves_no_byte_and_no_name(tmp_path: Path) -> None:
    with open_gallery(tmp_path) as gallery:
        gallery.add("Anna", code(0), 1.0, "0")
        gallery.add("Bob", code(1), 1.0, "1")
        connection = sqlite3.connect(gallery.path)
        sealed = [
            value
            for query in ("SELECT sealed_key, name FROM person", "SELECT code, source FROM template")
            for value in connection.execute(f"{query} ORDER BY rowid LIMIT 1").fetchone()
        ]
        connection.close()
        assert all(value in raw(tmp_path) for value in sealed)
        forgotten = gallery.forget("anna")
        assert (forgotten.name, forgotten.templates) == ("Anna", 1)
        assert not any(value in raw(tmp_path) for value in sealed)
        assert [p.name for p in gallery.people()] == ["Bob"]
        assert gallery.templates().names == ("Bob",)
        actions = [(action, person) for _, action, person in gallery.audit()]
        assert actions[0] == ("added", forgotten.person_id) and actions[-1] == ("forgotten", forgotten.person_id)


def test_template_ids_are_never_used_again(tmp_path: Path) -> None:
    with open_gallery(tmp_path) as gallery:
        first = gallery.add("Anna", code(0), 1.0, "0")
        gallery.forget("Anna")
        assert gallery.add("Anna", code(0), 1.0, "0") > first


def test_rename_keeps_the_person(tmp_path: Path) -> None:
    with open_gallery(tmp_path) as gallery:
        gallery.add("Anna", code(0), 1.0, "0")
        gallery.add("Bob", code(1), 1.0, "1")
        before = gallery.people()[0]
        assert gallery.rename("anna", "ANNA").name == "ANNA"
        assert gallery.rename("ANNA", "Carla").person_id == before.person_id
        assert gallery.templates().names == ("Carla", "Bob")
        with pytest.raises(InputError, match="somebody else"):
            gallery.rename("Carla", "bob")
        with pytest.raises(InputError, match="did you mean 'Carla'"):
            gallery.rename("Karla", "Dora")
        assert [p.name for p in gallery.people()] == ["Carla", "Bob"]


@pytest.mark.parametrize(
    ("vector", "weight"),
    [(np.zeros(SIZE), 1.0), (2 * code(0), 1.0), (code(0)[:-1], 1.0), (code(0) * np.nan, 1.0), (code(0), 0.0)],
)
def test_unusable_code_or_weight_changes_nothing(tmp_path: Path, vector: Floats, weight: float) -> None:
    with open_gallery(tmp_path) as gallery:
        with pytest.raises(InputError):
            gallery.add("Anna", vector, weight, "0")
        assert gallery.people() == []


@pytest.mark.parametrize(
    "other", [{"encoder_hash": "x" * 64}, {"preprocessing_hash": "x" * 64}, {"embedding_size": 32}]
)
def test_codes_of_another_bundle_are_refused(tmp_path: Path, other: dict[str, Any]) -> None:
    with open_gallery(tmp_path) as gallery:
        gallery.add("Anna", code(0), 1.0, "0")
    with pytest.raises(GalleryError, match=r"'second'.*'first'.*people reembed") as caught:
        open_gallery(tmp_path, bundle_name="second", **other)
    assert "\n" not in str(caught.value)
    with Gallery.open_existing(tmp_path / "state/gallery.db", tmp_path / "conf/device.key") as gallery:
        gallery.forget("Anna")
    # Nobody is left whose codes could be mistaken.
    with open_gallery(tmp_path, bundle_name="second", **other) as gallery:
        gallery.add("Bob", np.eye(gallery.embedding_size, dtype=np.float32)[0], 1.0, "0")
    with open_gallery(tmp_path, bundle_name="second", **other) as gallery:
        assert [p.name for p in gallery.people()] == ["Bob"]


def test_version_tells_of_changes_here_and_elsewhere(tmp_path: Path) -> None:
    with open_gallery(tmp_path) as here, open_gallery(tmp_path) as elsewhere:
        seen = [here.version]
        assert here.version == seen[0]
        here.add("Anna", code(0), 1.0, "0")
        seen.append(here.version)
        elsewhere.add("Bob", code(1), 1.0, "1")
        seen.append(here.version)
        assert len(set(seen)) == 3
        assert here.templates().names == ("Anna", "Bob")


def test_several_threads_and_connections_lose_nothing(tmp_path: Path) -> None:
    with open_gallery(tmp_path) as one, open_gallery(tmp_path) as two, ThreadPoolExecutor(4) as pool:
        work = [(gallery, f"P{i % 3}", i) for i in range(12) for gallery in (one, two)]
        ids = list(pool.map(lambda w: w[0].add(w[1], code(w[2]), 1.0, str(w[2])), work))
        assert len(set(ids)) == 24
        assert sorted((p.name, p.templates) for p in one.people()) == [("P0", 8), ("P1", 8), ("P2", 8)]


def test_file_that_others_may_read_is_refused_with_the_mend(tmp_path: Path) -> None:
    open_gallery(tmp_path).close()
    path = tmp_path / "state/gallery.db"
    path.chmod(0o640)
    with pytest.raises(GalleryError, match=f"chmod 600 {path}"):
        open_gallery(tmp_path)


def test_another_device_key_is_refused(tmp_path: Path) -> None:
    open_gallery(tmp_path).close()
    (tmp_path / "conf/device.key").write_bytes(bytes(32))
    with pytest.raises(GalleryError, match="device key that made this gallery"):
        open_gallery(tmp_path)
    (tmp_path / "conf/device.key").unlink()
    with pytest.raises(GalleryError, match="found nothing there"):
        open_gallery(tmp_path)
    assert not (tmp_path / "conf/device.key").exists()


@pytest.mark.parametrize("damage", ["garbage", "cut", "zeros", "foreign", "newer"])
def test_damaged_or_foreign_file_is_refused_and_left_alone(tmp_path: Path, damage: str) -> None:
    with open_gallery(tmp_path) as gallery:
        for number in range(40):
            gallery.add("Anna", code(number), 1.0, str(number))
    path = tmp_path / "state/gallery.db"
    content = path.read_bytes()
    if damage == "garbage":
        path.write_bytes(b"not a database at all " * 400)
    elif damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "zeros":
        path.write_bytes(content[:4096] + bytes(len(content) - 4096))
    else:
        connection = sqlite3.connect(path)
        connection.execute("PRAGMA application_id = 1" if damage == "foreign" else "PRAGMA user_version = 99")
        connection.commit()
        connection.close()
    before = path.read_bytes()
    with pytest.raises(GalleryError) as caught:
        open_gallery(tmp_path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)
    if damage == "newer":
        assert "upgrade" in str(caught.value)
    assert path.read_bytes() == before


def test_swapped_rows_are_noticed(tmp_path: Path) -> None:
    with open_gallery(tmp_path) as gallery:
        gallery.add("Anna", code(0), 1.0, "0")
        gallery.add("Anna", code(1), 1.0, "1")
        connection = sqlite3.connect(gallery.path)
        connection.execute("UPDATE template SET code = (SELECT code FROM template WHERE id = 1) WHERE id = 2")
        connection.commit()
        connection.close()
        assert gallery.templates().ids.tolist() == [1]


def test_gallery_that_is_not_there_is_not_made_unasked(tmp_path: Path) -> None:
    with pytest.raises(GalleryError, match="familiar enroll"):
        open_gallery(tmp_path, create=False)
    assert not list(tmp_path.iterdir())


def test_file_left_by_a_crash_before_its_first_commit_is_filled(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state/gallery.db").touch(0o600)
    with open_gallery(tmp_path) as gallery:
        assert gallery.people() == []


def test_the_directory_knows_who_is_who_and_who_is_forgotten(tmp_path: Path) -> None:
    with open_gallery(tmp_path) as gallery:
        assert (gallery.directory().names, gallery.directory().forgotten) == ({}, frozenset())
        for number, name in enumerate(("Anna", "Ben", "Cleo")):
            gallery.add(name, code(number), 1.0, "a.jpg")
        before = gallery.directory()
        anna, ben, cleo = (before.ids[name] for name in ("Anna", "Ben", "Cleo"))
        gallery.rename("Anna", "Dora")
        gallery.forget("Ben")
        gallery.note("Cleo", expires_s=time.time() + 0.01)
        time.sleep(0.02)
        gallery.forget_expired()
        after = gallery.directory()
        assert after.names == {anna: "Dora"}
        assert after.forgotten == {ben, cleo}
        assert after.crop_keys == {key: before.crop_keys[key] for key in (anna, STRANGER)}
        assert len(set(before.crop_keys.values())) == 4
        gallery.rekey()
        again = gallery.directory()
        assert not set(again.crop_keys.values()) & set(before.crop_keys.values())


def test_what_another_program_still_reads_goes_when_it_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_runtime.storage.sqlite.BUSY_S", 0.1)
    with open_gallery(tmp_path) as gallery:
        gallery.add("Anna", code(0), 1.0, "a.jpg")
        path = tmp_path / "state/gallery.db"
        reader = sqlite3.connect(path, isolation_level=None)
        reader.execute("BEGIN")
        (sealed,) = reader.execute("SELECT sealed_key FROM person").fetchone()

        def anywhere() -> bool:
            return any(bytes(sealed) in file.read_bytes() for file in path.parent.glob("gallery.db*"))

        gallery.forget("Anna")
        assert gallery.remains and anywhere()
        assert gallery.version and gallery.remains
        reader.close()
        assert gallery.version and not gallery.remains and not anywhere()
