"""``familiar repair`` saves every row that is good, says what is lost, and leaves alone what is sound."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_runtime.events.reader import EventReader
from edge_runtime.events.store import EventStore
from edge_runtime.gallery.directory import Directory
from edge_runtime.gallery.store import Gallery
from edge_runtime.storage.database import asides
from tests.builders import ROOT, make_event
from tests.edge_runtime.gallery.test_store import SIZE, code
from tests.edge_runtime.unknowns.made import book, sighting
from tests.edge_runtime.unknowns.made import code as stranger_code

PEOPLE = ("Anna", "Bob", "Cleo", "Dora", "Emil")
PHOTOS = 40
WHO = Directory()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with a gallery of five people with forty photos each."""
    with open_gallery(tmp_path) as gallery:
        for number in range(PHOTOS):
            for person, name in enumerate(PEOPLE):
                gallery.add(name, code(1000 * person + number), 1.0, f"{name} {number}.jpg")
        gallery.note("Anna", "yes", 4e9)
    return tmp_path


def open_gallery(home: Path) -> Gallery:
    places = home / "state/gallery.db", home / "conf/device.key"
    return Gallery.open(*places, "e" * 64, "p" * 64, SIZE, "first")


def familiar(home: Path, *words: str) -> tuple[int, str, str]:
    settings = [f"gallery.path={home / 'state/gallery.db'}", f"gallery.key_file={home / 'conf/device.key'}"]
    options = [part for setting in settings for part in ("--set", setting)]
    done = subprocess.run(
        [sys.executable, "-m", "edge_runtime", *words, *options],
        env=os.environ | {"PYTHONPATH": str(ROOT), "FAMILIAR_RUN_DIR": str(home)},
        capture_output=True,
        text=True,
        timeout=120,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout, done.stderr


def repaired(home: Path) -> list[dict[str, Any]]:
    returned, out, err = familiar(home, "repair", "--json")
    assert (returned, err) == (0, "")
    return list(json.loads(out))


def change(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(statement)
        connection.commit()


def check_people(home: Path, lost: dict[str, set[str]] | None = None) -> None:
    """Everything that is there is as it was written, and nothing is missing but what is named."""
    with open_gallery(home) as gallery:
        for person, name in enumerate(PEOPLE):
            wanted = {f"{name} {number}.jpg" for number in range(PHOTOS)} - (lost or {}).get(name, set())
            assert {record.source for record in gallery.records(name)} == wanted
            numbers = [int(record.source.split()[1][:-4]) for record in gallery.records(name)]
            found = gallery.templates()
            own = found.embeddings[found.person_index == found.names.index(name)]
            assert np.allclose(own, [code(1000 * person + number) for number in numbers], atol=1e-6)


def test_nothing_there_and_nothing_damaged(tmp_path: Path, home: Path) -> None:
    assert familiar(tmp_path / "empty", "repair")[:2] == (0, "there is nothing yet that could be damaged\n")
    before = (home / "state/gallery.db").read_bytes()
    assert familiar(home, "repair")[:2] == (0, f"{home / 'state/gallery.db'}: sound\n")
    assert (home / "state/gallery.db").read_bytes() == before


def test_a_damaged_row_costs_its_photo_and_repair_says_whose(home: Path) -> None:
    path = home / "state/gallery.db"
    change(path, "UPDATE template SET code = x'00' WHERE id = 7")  # Bob 1.jpg
    check_people(home, {"Bob": {"Bob 1.jpg"}})
    (found,) = repaired(home)
    assert found["kept"] == {"people": 5, "photos": 199} and found["lost"]["photos"] == 1
    assert found["lines"] == ["Bob: 1 photos are lost; enrol some again"]
    check_people(home, {"Bob": {"Bob 1.jpg"}})
    assert repaired(home)[0]["fault"] is None
    with open_gallery(home) as gallery:
        assert not gallery.damage()
        assert gallery.person("Anna").expires == 4e9 and gallery.person("Anna").consent == "yes"
        assert gallery.add("Anna", code(9), 1.0, "later") > 200  # no number comes twice
        assert [path.name for path in asides(path)] == ["gallery.db.aside-1"]
        gallery.forget("Bob")
        assert asides(path) == []


@pytest.mark.parametrize("table", ["meta", "meta_copy"])
def test_one_of_the_first_rows_may_be_damaged(home: Path, table: str) -> None:
    change(home / "state/gallery.db", f"UPDATE {table} SET mac = x'00'")
    check_people(home)
    with open_gallery(home) as gallery:
        assert gallery.damage().values == 1
    assert repaired(home)[0]["kept"] == {"people": 5, "photos": 200}
    check_people(home)


def test_a_note_or_date_that_is_lost_costs_nobody_a_name(home: Path) -> None:
    change(home / "state/gallery.db", "UPDATE person SET dates = x'00', consent = x'00'")
    check_people(home)
    returned, out, _ = familiar(home, "people", "list")
    assert returned == 0 and out.count("since (unreadable date)") == 5
    (found,) = repaired(home)
    assert found["lost"]["values"] == 6 or found["lost"]["values"] == 10
    assert any("familiar people note" in line for line in found["lines"])
    check_people(home)


def roots(path: Path) -> dict[str, int]:
    with closing(sqlite3.connect(path)) as connection:
        return dict(connection.execute("SELECT name, rootpage FROM sqlite_master").fetchall())


def test_a_page_that_leads_to_others_costs_no_row(home: Path) -> None:
    path = home / "state/gallery.db"
    data = bytearray(path.read_bytes())
    root = roots(path)["template"]
    data[(root - 1) * 4096 : root * 4096] = bytes(4096)
    path.write_bytes(bytes(data))
    returned, _, err = familiar(home, "people", "list")
    assert returned == 8 and "familiar repair" in err
    (found,) = repaired(home)
    assert found["kept"] == {"people": 5, "photos": 200} and found["fault"]
    check_people(home)


def test_a_header_that_is_gone_costs_no_row(home: Path) -> None:
    path = home / "state/gallery.db"
    data = path.read_bytes()
    path.write_bytes(bytes(100) + data[100:])
    assert repaired(home)[0]["kept"] == {"people": 5, "photos": 200}
    check_people(home)


def test_an_index_that_knows_other_rows_is_made_again(home: Path) -> None:
    path = home / "state/gallery.db"
    number = next(number for name, number in roots(path).items() if name.startswith("sqlite_autoindex_person"))
    data = bytearray(path.read_bytes())
    data[number * 4096 - 3] ^= 1  # within the last id: the page itself stays well-formed
    path.write_bytes(bytes(data))
    returned, _, err = familiar(home, "people", "list")
    assert returned == 8 and "familiar repair" in err
    assert repaired(home)[0]["kept"] == {"people": 5, "photos": 200}
    check_people(home)


def test_what_tells_nothing_any_more_is_said_so_and_left(home: Path) -> None:
    path = home / "state/gallery.db"
    path.write_bytes(b"\x07" * 50_000)
    returned, _, err = familiar(home, "repair")
    assert returned == 8 and "backup" in err and err.count("\n") == 1
    assert path.read_bytes() == b"\x07" * 50_000


def make_log(home: Path) -> Path:
    path = home / "state/events.db"
    path.parent.mkdir(mode=0o700, exist_ok=True)
    with EventStore(path) as store:
        store.commit([(make_event(number), WHO) for number in range(500)], frozenset(), (1.0, None), {}, 0)
    return path


def kept_events(path: Path) -> dict[int, float]:
    with EventReader(path) as reader:
        found = [record.event(WHO) for record in reader.after(0, 10**6)]
    return {event.event_id or 0: event.captured_s for event in found if event is not None}


def _row(path: Path) -> None:
    change(path, "UPDATE event SET body = replace(body, '\"', '') WHERE event_id = 250")


def _page(path: Path) -> None:
    data = bytearray(path.read_bytes())
    root = roots(path)["event"]
    data[(root - 1) * 4096 : root * 4096] = b"\xff" * 4096
    path.write_bytes(bytes(data))


@pytest.mark.parametrize(("spoil", "lost"), [(_row, {250}), (_page, set())])
def test_a_log_keeps_every_event_that_is_good(tmp_path: Path, spoil: Callable[[Path], None], lost: set[int]) -> None:
    path = make_log(tmp_path)
    spoil(path)
    (found,) = repaired(tmp_path)
    assert found["kept"] == {"events": 500 - len(lost)}
    assert kept_events(path) == {number: number - 1.0 for number in range(1, 501) if number not in lost}
    assert asides(path) == [] and repaired(tmp_path)[0]["fault"] is None


def test_a_log_that_was_set_aside_is_taken_back_without_the_forgotten(home: Path) -> None:
    path = home / "state/events.db"
    with open_gallery(home) as gallery:
        who = gallery.directory()
    with EventStore(path) as store:
        events = [make_event(n, kind="identified", person=name, candidate=name) for n, name in enumerate(PEOPLE)]
        store.commit([(event, who) for event in events], frozenset(), (1.0, None), {}, 0)
    path.replace(path.with_name("events.db.aside-1"))
    with EventStore(path, newest=5) as store:
        store.commit([(make_event(9), WHO)], frozenset(), (2.0, None), {}, 0)
    with open_gallery(home) as gallery:
        gallery.forget("Bob")
    assert repaired(home)[1]["kept"] == {"events": 5}
    assert kept_events(path) == {1: 0.0, 3: 2.0, 4: 3.0, 5: 4.0, 6: 9.0}


def test_strangers_are_taken_back_from_a_file_that_was_set_aside(home: Path) -> None:
    key = (home / "conf/device.key").read_bytes()
    path = home / "state/strangers.db"
    with book(path, key) as kept:
        for person in range(5):
            kept.remember(sighting(stranger_code(person), crop=b"picture of %d" % person))
    before = {one.stranger_id: one.views[0].embedding.tolist() for one in kept.strangers()}
    data = bytearray(path.read_bytes())
    root = roots(path)["sqlite_autoindex_view_1"]
    data[(root - 1) * 4096 : root * 4096] = bytes(4096)
    path.write_bytes(bytes(data))
    with book(path, key) as again:
        assert again.strangers() == [] and again.damage is not None and "familiar repair" in again.damage
    change_one = "UPDATE stranger SET visits = 99 WHERE rowid = 1"
    assert repaired(home)[1]["kept"] == {"strangers": 5}
    with book(path, key) as again:
        found = again.strangers()
        assert {one.stranger_id: one.views[0].embedding.tolist() for one in found} == before
        assert sorted(again.crops(found[0].stranger_id).values())[0].startswith(b"picture of")
    change(path, change_one)
    with book(path, key) as again:
        assert len(again.strangers()) == 4 and again.damage is not None
    assert repaired(home)[1]["kept"] == {"strangers": 4}
    with book(path, key) as again:
        assert again.damage is None


def test_nothing_is_repaired_under_a_program_that_uses_it(home: Path) -> None:
    from edge_runtime.storage.exclusive_lock import exclusive_lock

    with exclusive_lock(home / "state/gallery.db", "daemon"):
        returned, _, err = familiar(home, "repair")
    assert returned == 16 and "systemctl stop familiar" in err
