"""Two people made one, and two again: nothing is lost, nothing is mixed, and forgotten means gone."""

from __future__ import annotations

import dataclasses
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from edge_runtime.errors import GalleryError, InputError, MissingError
from edge_runtime.gallery import file, tables
from edge_runtime.gallery.repair import repair
from edge_runtime.gallery.store import Gallery
from edge_runtime.gallery.tables import GALLERY
from edge_runtime.storage.keys import KeySource
from tests.edge_runtime.gallery.test_store import SIZE, code, open_gallery, raw
from tests.edge_runtime.gallery.test_tombstones import put_back
from tests.gallery_workload import make_older

PHOTO = b"p" * 32


def fill(gallery: Gallery) -> None:
    """Ann with two photos, Bo with a note, an expiry, a photo known by its file and one that was forced, and Cleo."""
    for seed in (0, 1):
        gallery.add("Ann", code(seed), 1.0, f"ann-{seed}.jpg")
    gallery.add("Bo", code(2), 2.0, "bo-2.jpg", PHOTO)
    gallery.add("Bo", code(3), 3.0, "bo-3.jpg", forced="small")
    gallery.note("Bo", "by word", 32503680000.0)
    gallery.add("Cleo", code(4), 1.0, "cleo.jpg")


def sources(gallery: Gallery, name: str) -> list[str]:
    return [record.source for record in gallery.records(name)]


def everything(gallery: Gallery) -> tuple[object, ...]:
    """All that a gallery tells of people, photos included."""
    templates = gallery.templates()
    told = [(person, gallery.records(person.name), gallery.negatives(person.name)) for person in gallery.people()]
    arrays = [templates.embeddings.tolist(), templates.weights.tolist(), templates.ids.tolist()]
    directory = gallery.directory()
    return told, templates.names, templates.person_index.tolist(), arrays, directory.names, dict(directory.crop_keys)


def test_a_merge_and_its_undoing_leave_everything_as_it_was(tmp_path: Path) -> None:
    with open_gallery(tmp_path) as gallery:
        fill(gallery)
        gallery.not_this("Bo", code(9), "event 1", b"v" * 32)
        before, bo = everything(gallery), gallery.person("Bo")
        merged = gallery.merge("bo", "ann")
        assert (merged.name, merged.templates, merged.consent, merged.expires) == ("Ann", 4, "", None)
        (part,) = merged.merged
        assert (part.name, part.templates, part.expires) == ("Bo", 2, bo.expires)
        assert [person.name for person in gallery.people()] == ["Ann", "Cleo"]
        assert sources(gallery, "Ann") == ["ann-0.jpg", "ann-1.jpg", "bo-2.jpg", "bo-3.jpg"]
        templates = gallery.templates()
        assert templates.names == ("Ann", "Cleo") and templates.person_index.tolist() == [0, 0, 0, 0, 1]
        assert [negative.source for negative in gallery.negatives("Ann")] == ["event 1"]
        assert gallery.corrected([(merged.person_id, b"v" * 32), (bo.person_id, b"v" * 32)]) == [True, False]
        assert gallery.has_photo("Ann", PHOTO) == gallery.add("Ann", code(2), 1.0, "again.jpg", PHOTO)
    with open_gallery(tmp_path) as gallery:
        assert gallery.person("Ann").templates == 4
        assert gallery.unmerge("BO") == bo
        assert everything(gallery) == before
        assert [action for _, action, _ in gallery.audit()][-2:] == ["merged", "unmerged"]
        assert not gallery.damage()


def test_events_of_somebody_merged_are_the_other_ones(tmp_path: Path) -> None:
    with open_gallery(tmp_path) as gallery:
        fill(gallery)
        before = gallery.directory()
        ann, bo = before.ids["Ann"], before.ids["Bo"]
        gallery.merge("Bo", "Ann")
        after = gallery.directory()
        assert after.name_of(bo) == "Ann" == after.name_of(ann) and after.listed(bo) == ann
        assert after.ids["Ann"] == ann and "Bo" not in after.ids
        assert after.crop_keys == before.crop_keys, "pictures beside events still open"
        under_way = after.after(before)
        assert under_way.ids["Bo"] == bo, "an event under way may still have the former name"
        gallery.unmerge("Bo")
        assert gallery.directory().after(under_way).name_of(bo) == "Bo"


def test_who_was_merged_is_named_in_every_refusal(tmp_path: Path) -> None:
    with open_gallery(tmp_path) as gallery:
        fill(gallery)
        with pytest.raises(InputError, match="somebody else"):
            gallery.merge("Ann", "ann")
        with pytest.raises(MissingError):
            gallery.merge("Nobody here", "Ann")
        with pytest.raises(InputError, match="they were not"):
            gallery.unmerge("Bo")
        gallery.merge("Bo", "Ann")
        for attempt in (
            lambda: gallery.person("Bo"),
            lambda: gallery.forget("Bo"),
            lambda: gallery.merge("Bo", "Cleo"),
            lambda: gallery.merge("Cleo", "Bo"),
            lambda: gallery.rename("Cleo", "bo"),
            lambda: gallery.add("BO", code(7), 1.0, "x.jpg"),
        ):
            with pytest.raises(InputError, match="merged into 'Ann'; familiar people unmerge 'Bo'") as refused:
                attempt()
            assert "\n" not in str(refused.value)
        assert [(person.name, person.templates) for person in gallery.people()] == [("Ann", 4), ("Cleo", 1)]


def test_merges_of_merges_come_apart_one_by_one(tmp_path: Path) -> None:
    with open_gallery(tmp_path) as gallery:
        fill(gallery)
        gallery.merge("Cleo", "Bo")
        with_cleo = gallery.person("Bo")
        gallery.merge("Bo", "Ann")
        assert {part.name for part in gallery.person("Ann").merged} == {"Bo", "Cleo"}
        assert gallery.templates().names == ("Ann",)
        assert gallery.unmerge("Bo") == with_cleo
        gallery.unmerge("Cleo")
        gallery.merge("Ann", "Bo")
        assert gallery.person("Bo").templates == 4 and gallery.person("Bo").consent == "by word"


def test_what_is_enrolled_meanwhile_stays_and_each_keeps_a_photo(tmp_path: Path) -> None:
    with open_gallery(tmp_path) as gallery:
        fill(gallery)
        two, three = (record.template_id for record in gallery.records("Bo"))
        gallery.merge("Bo", "Ann")
        gallery.add("Ann", code(5), 1.0, "new.jpg")
        gallery.rename("Ann", "Anna")
        assert gallery.drop("Anna", two).templates == 4
        with pytest.raises(InputError, match=r"Bo: this is the last photo.*unmerge"):
            gallery.drop("Anna", three)
        assert gallery.unmerge("Bo").templates == 1
        assert sources(gallery, "Bo") == ["bo-3.jpg"]
        assert sources(gallery, "Anna") == ["ann-0.jpg", "ann-1.jpg", "new.jpg"]


def test_a_view_that_was_not_the_one_and_is_the_others_counts_no_more(tmp_path: Path) -> None:
    with open_gallery(tmp_path) as gallery:
        fill(gallery)
        gallery.not_this("Ann", code(3), "event 1", b"1" * 32)  # it was Bo
        gallery.not_this("Ann", code(9), "event 2", b"2" * 32)
        assert len(gallery.templates().negatives) == 2
        gallery.merge("Bo", "Ann")
        assert np.allclose(gallery.templates().negatives, [code(9)], atol=1e-6)
        assert gallery.not_this("Ann", code(9), "event 2", b"2" * 32) in {
            one.negative_id for one in gallery.negatives("Ann")
        }
        assert gallery.take_back(b"2" * 32) == (["Ann"], [])
        gallery.unmerge("Bo")
        assert np.allclose(gallery.templates().negatives, [code(3)], atol=1e-6)


def test_forgetting_leaves_no_byte_of_either(tmp_path: Path) -> None:
    with open_gallery(tmp_path) as gallery:
        fill(gallery)
        gallery.merge("Bo", "Ann")
        gallery.backup(tmp_path / "copy.db")
        with closing(sqlite3.connect(gallery.path)) as connection:
            gone = "person_id NOT IN (SELECT person_id FROM template WHERE id = 5)"
            sealed = [
                value
                for query in (
                    f"SELECT sealed_key, name, dates FROM person WHERE {gone.replace('person_id', 'id', 1)}",
                    f"SELECT code, source, added FROM template WHERE {gone}",
                    "SELECT into_id FROM merged",
                )
                for row in connection.execute(query)
                for value in row
            ]
        assert len(sealed) == 2 * 3 + 4 * 3 + 1 and all(value in raw(tmp_path) for value in sealed)
        ids = {gallery.person("Ann").person_id, gallery.person("Ann").merged[0].person_id}
        assert gallery.forget("Ann").templates == 4
        assert not any(value in raw(tmp_path) for value in sealed)
        assert gallery.directory().forgotten == ids and [one.name for one in gallery.people()] == ["Cleo"]
    put_back(tmp_path, tmp_path / "copy.db")
    with open_gallery(tmp_path) as gallery:
        assert [one.name for one in gallery.people()] == ["Cleo"] and gallery.removed_again == 2


def test_a_copy_of_the_merged_gallery_brings_only_the_forgotten_one_not_back(tmp_path: Path) -> None:
    with open_gallery(tmp_path) as gallery:
        fill(gallery)
        gallery.merge("Bo", "Ann")
        gallery.backup(tmp_path / "copy.db")
        gallery.unmerge("Bo")
        gallery.forget("Ann")
    put_back(tmp_path, tmp_path / "copy.db")
    with open_gallery(tmp_path) as gallery:
        assert [one.name for one in gallery.people()] == ["Bo", "Cleo"]
        assert sources(gallery, "Bo") == ["bo-2.jpg", "bo-3.jpg"]
        assert gallery.merge("Bo", "Cleo").templates == 3


@pytest.mark.parametrize(("first", "left"), [("Bo", ["Ann", "Cleo"]), ("Ann", ["Cleo"])])
def test_each_photo_goes_on_the_day_that_was_agreed(
    tmp_path: Path, first: str, left: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_gallery(tmp_path) as gallery:
        fill(gallery)
        now_s = time.time()
        gallery.note(first, expires_s=now_s + 60)
        gallery.merge("Bo", "Ann")
        monkeypatch.setattr(time, "time", lambda: now_s + 61)
        assert len(gallery.forget_expired()) == (1 if first == "Bo" else 2)
        assert [one.name for one in gallery.people()] == left
        if first == "Bo":
            assert gallery.person("Ann").merged == () and sources(gallery, "Ann") == ["ann-0.jpg", "ann-1.jpg"]


def test_a_rekey_keeps_merges(tmp_path: Path) -> None:
    with open_gallery(tmp_path) as gallery:
        fill(gallery)
        bo = gallery.person("Bo")
        gallery.merge("Bo", "Ann")
        with closing(sqlite3.connect(gallery.path)) as connection:
            (sealed,) = connection.execute("SELECT into_id FROM merged").fetchone()
        gallery.rekey()
        assert sealed not in raw(tmp_path)
        assert gallery.person("Ann").templates == 4
        assert dataclasses.replace(gallery.unmerge("Bo"), templates=bo.templates) == bo


def test_people_leave_and_come_as_they_were_merged(tmp_path: Path) -> None:
    with open_gallery(tmp_path / "one") as one, open_gallery(tmp_path / "two") as two:
        fill(one)
        one.merge("Cleo", "Bo")
        one.merge("Bo", "Ann")
        moved = one.moved(["Ann"])
        assert two.take_moved(moved, merge=False) == (5, 0)
        assert [person.name for person in two.people()] == ["Ann"] and two.person("Ann").templates == 5
        assert two.take_moved(moved, merge=True) == (0, 5), "all are known"
        assert [part.name for part in two.person("Ann").merged] == ["Bo", "Cleo"]
        bo = two.unmerge("Bo")
        assert (bo.templates, bo.consent, bo.expires) == (3, "by word", 32503680000.0)
        assert two.take_moved(moved, merge=True) == (0, 5)
        assert [person.name for person in two.people()] == ["Ann", "Bo"], "who is here already stays as they are"
        two.forget("Bo")
        with pytest.raises(InputError, match=r"'Bo', 'Cleo'.*--forgotten"):
            two.take_moved(moved, merge=True)


def test_a_file_of_people_merged_in_a_circle_makes_no_circle(tmp_path: Path) -> None:
    with open_gallery(tmp_path / "one") as one, open_gallery(tmp_path / "two") as two:
        fill(one)
        ann, bo, cleo = one.moved(["Ann", "Bo", "Cleo"])
        circle = ((ann, bo), (bo, cleo), (cleo, ann))
        two.take_moved(tuple(dataclasses.replace(a, into=b.person_id) for a, b in circle), merge=False)
        assert len(two.people()) == 1 and two.people()[0].templates == 5
        two.take_moved((dataclasses.replace(ann, person_id="d" * 32, name="Dora", into="e" * 32),), merge=False)
        assert two.person("Dora").templates == 2


def test_a_damaged_link_costs_the_merge_alone_and_repair_says_so(tmp_path: Path) -> None:
    with open_gallery(tmp_path) as gallery:
        fill(gallery)
        gallery.merge("Bo", "Ann")
        gallery.merge("Cleo", "Ann")
        with closing(sqlite3.connect(gallery.path)) as connection:
            bo = next(part.person_id for part in gallery.person("Ann").merged if part.name == "Bo")
            connection.execute("UPDATE merged SET into_id = x'00' WHERE person_id = ?", (bo,))
            connection.commit()
        assert [one.name for one in gallery.people()] == ["Ann", "Bo"]
        assert gallery.damage().values == 1 and not gallery.damage().photos
    result = repair(tmp_path / "state/gallery.db", KeySource.of(tmp_path / "conf/device.key"))
    assert [line for line in result.lines if "Bo: whom they were merged into is lost" in line]
    with open_gallery(tmp_path) as gallery:
        assert not gallery.damage()
        assert [(one.name, one.templates) for one in gallery.people()] == [("Ann", 3), ("Bo", 2)]


SCHEMA_5 = tuple(statement for statement in GALLERY.tables if "CREATE TABLE merged" not in statement)


def older(folder: Path) -> None:
    """A gallery as the version before merges made it."""
    with open_gallery(folder) as gallery:
        fill(gallery)
    make_older(folder / "state/gallery.db")


def test_a_gallery_of_before_is_brought_to_this_form_and_kept_beside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    older(tmp_path)
    path = tmp_path / "state/gallery.db"
    with open_gallery(tmp_path) as gallery:
        assert gallery.merge("Bo", "Ann").templates == 4
        assert path.with_name("gallery.db.before-6").is_file()
        with closing(sqlite3.connect(path)) as new, closing(sqlite3.connect(":memory:")) as fresh:
            fresh.execute(tables._MERGED.replace("REFERENCES person (id) ON DELETE CASCADE", ""))
            columns = "SELECT name, type, \"notnull\", pk FROM pragma_table_info('merged')"
            assert new.execute(columns).fetchall() == fresh.execute(columns).fetchall()
            assert new.execute("PRAGMA user_version").fetchone() == (6,)
    monkeypatch.setattr(file, "GALLERY", dataclasses.replace(GALLERY, schema=5, tables=SCHEMA_5, steps={}))
    with pytest.raises(GalleryError, match="newer than 5") as refused:
        open_gallery(tmp_path)
    assert "\n" not in str(refused.value)


def test_a_kill_in_the_middle_of_the_change_of_form_leaves_either(tmp_path: Path) -> None:
    older(tmp_path)
    program = (
        "import os, sys, sqlite3, dataclasses\n"
        "from edge_runtime.gallery import file\n"
        "from edge_runtime.gallery.store import Gallery\n"
        "from edge_runtime.gallery.tables import GALLERY, _MERGED\n"
        "def half(connection):\n"
        "    connection.execute(_MERGED)\n"
        "    os.kill(os.getpid(), 9)\n"
        "file.GALLERY = dataclasses.replace(GALLERY, steps={5: half})\n"
        "Gallery.open_existing(sys.argv[1], sys.argv[2])\n"
    )
    places = tmp_path / "state/gallery.db", tmp_path / "conf/device.key"
    done = subprocess.run([sys.executable, "-c", program, *map(str, places)], check=False)
    assert done.returncode == -9
    with closing(sqlite3.connect(places[0])) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (5,)
    with open_gallery(tmp_path) as gallery:
        assert [(one.name, one.templates) for one in gallery.people()] == [("Ann", 2), ("Bo", 2), ("Cleo", 1)]
        assert gallery.merge("Bo", "Ann").templates == 4
        assert gallery.embedding_size == SIZE
