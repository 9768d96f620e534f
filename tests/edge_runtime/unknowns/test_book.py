"""What lies on the disk of strangers: sealed, gone when forgotten, and never in the daemon's way."""

from __future__ import annotations

import dataclasses
import sqlite3
import stat
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from edge_runtime.errors import InputError, UnknownsError
from edge_runtime.unknowns.book import reseal
from edge_runtime.unknowns.file import Kind
from edge_runtime.unknowns.keeper import UnknownsKeeper
from tests.edge_runtime.unknowns.made import CONFIG, KEY, KIND, SIZE, book, code, sighting
from tests.waiting import wait_for

CROP = b"\xff\xd8 a face nobody else has \xff\xd9" * 20


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "strangers.db"


def bytes_of(path: Path) -> bytes:
    return b"".join(file.read_bytes() for file in path.parent.glob("strangers.db*"))


def test_without_a_stranger_no_file_is_made(path: Path) -> None:
    with book(path) as empty:
        assert empty.strangers() == []
        empty.forget([])
        empty.write()
    assert not path.exists()
    with pytest.raises(InputError), book(path) as empty:
        empty.forget(["abcdef"])


def test_strangers_outlive_a_restart_with_their_views_and_pictures(path: Path) -> None:
    with book(path) as kept:
        for number in range(3):
            kept.remember(sighting(code(0, 0.1 * number), 1000.0 * number, 1.0 + number, CROP + bytes([number])))
        kept.remember(sighting(code(1), 5000.0))
        before = kept.strangers()
    with book(path) as again:
        found = again.strangers()
        assert [dataclasses.replace(one, views=()) for one in found] == [
            dataclasses.replace(one, views=()) for one in before
        ]
        for one, other in zip(found, before, strict=True):
            assert [view.embedding.tolist() for view in one.views] == [view.embedding.tolist() for view in other.views]
            assert [view.weight for view in one.views] == [view.weight for view in other.views]
        assert sorted(again.crops(found[1].stranger_id).values()) == [CROP + bytes([n]) for n in range(3)]
        assert again.crops(found[0].stranger_id) == {}
        assert again.recognise(code(0), 9000.0).visits == 4


def test_nothing_that_tells_who_it_is_can_be_read_and_only_the_owner_may(path: Path) -> None:
    with book(path) as kept:
        kept.remember(sighting(code(3, 0.2), crop=CROP))
        kept.write()
        raw = bytes_of(path)
        assert CROP[:20] not in raw and code(3, 0.2).tobytes()[8:16] not in raw
        for file in path.parent.glob("strangers.db*"):
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
    path.chmod(0o644)
    with pytest.raises(UnknownsError, match="chmod 600"):
        book(path)


def test_forgetting_leaves_no_byte_behind(path: Path) -> None:
    with book(path) as kept:
        gone = kept.remember(sighting(code(0), crop=CROP))
        stays = kept.remember(sighting(code(1), crop=CROP))
        assert gone is not None and stays is not None
        kept.write()
        with closing(sqlite3.connect(path)) as database:
            rows = database.execute("SELECT stranger_id, code, crop FROM view").fetchall()
        sealed = {stranger: (made, crop) for stranger, made, crop in rows}
        assert all(part in bytes_of(path) for part in sealed[gone.stranger_id])
        path.with_name("strangers.db.aside-1").write_bytes(b"an older one")
        assert [one.stranger_id for one in kept.forget([gone.stranger_id])] == [gone.stranger_id]
        left = bytes_of(path)
        assert not any(part in left for part in sealed[gone.stranger_id])
        assert gone.stranger_id.encode() not in left and b"an older one" not in left
        assert all(part in left for part in sealed[stays.stranger_id])


def test_who_could_not_be_deleted_at_once_is_deleted_by_the_next_write(path: Path) -> None:
    with book(path) as kept:
        kept.remember(sighting(code(0), crop=CROP))
        kept.remember(sighting(code(1), crop=CROP))
        kept.write()
        with closing(sqlite3.connect(path)) as database:
            stranger, sealed = database.execute("SELECT stranger_id, code FROM view").fetchone()
        with closing(sqlite3.connect(path)) as database:
            database.execute("CREATE TRIGGER t BEFORE DELETE ON stranger BEGIN SELECT RAISE(ABORT, 'stuck'); END")
        with pytest.raises(UnknownsError, match="stuck"):
            kept.forget([stranger])
        assert sealed in bytes_of(path) and len(kept.strangers()) == 1
        with closing(sqlite3.connect(path)) as database:
            database.execute("DROP TRIGGER t")
        kept.write()
        assert sealed not in bytes_of(path) and stranger.encode() not in bytes_of(path)


def test_two_that_grow_together_keep_their_pictures(path: Path) -> None:
    with book(path) as kept:
        kept.remember(sighting(code(0), crop=CROP + b"0"))
        kept.remember(sighting(code(0, 1.0), 1000.0, crop=CROP + b"1"))
        kept.write()
        kept.remember(sighting(code(0, 0.45), 2000.0, crop=CROP + b"2"))
    with book(path) as again:
        (one,) = again.strangers()
        assert sorted(again.crops(one.stranger_id).values()) == [CROP + n for n in (b"0", b"1", b"2")]


def test_values_cannot_be_moved_from_one_stranger_to_another(path: Path) -> None:
    with book(path) as kept:
        for person in range(2):
            kept.remember(sighting(code(person)))
    database = sqlite3.connect(path)
    (one, first), (other, second) = database.execute("SELECT id, code FROM view").fetchall()
    database.executemany("UPDATE view SET code = ? WHERE id = ?", [(second, one), (first, other)])
    database.commit()
    database.close()
    with book(path) as again:
        assert again.strangers() == []
        assert again.damage is not None and "2 rows" in again.damage


def test_another_encoder_empties_the_file(path: Path) -> None:
    with book(path) as kept:
        kept.remember(sighting(code(0), crop=CROP))
    other = Kind("c" * 64, "b" * 64, SIZE)
    with book(path, kind=other) as again:
        assert again.strangers() == []
        again.remember(sighting(code(1)))
    with book(path, kind=other) as again:
        assert len(again.strangers()) == 1


@pytest.mark.parametrize("harm", ["no database", "cut", "another key", "newer"])
def test_a_file_that_cannot_be_used_is_set_aside_and_a_new_one_begun(path: Path, harm: str) -> None:
    with book(path) as kept:
        kept.remember(sighting(code(0), crop=CROP))
    key = KEY
    if harm == "no database":
        path.write_bytes(b"something else entirely, and long enough to be no empty file" * 20)
    elif harm == "cut":
        path.write_bytes(path.read_bytes()[:6000])
    elif harm == "another key":
        key = bytes(32)
    else:
        database = sqlite3.connect(path)
        database.execute("PRAGMA user_version = 99")
        database.close()
    with book(path, key) as again:
        assert again.strangers() == []
        assert path.with_name("strangers.db.aside-1").exists()
        again.remember(sighting(code(1)))
    with book(path, key) as again:
        assert len(again.strangers()) == 1


def test_a_file_broken_while_it_is_open_is_made_anew_from_memory(path: Path) -> None:
    with book(path) as kept:
        kept.remember(sighting(code(0)))
        kept.write()
        for file in path.parent.glob("strangers.db*"):
            file.write_bytes(b"no database at all" * 1000)
        kept.remember(sighting(code(1)))
        kept.write()
    with book(path) as again:
        assert len(again.strangers()) == 2


def test_a_file_deleted_by_hand_is_forgotten(path: Path) -> None:
    with book(path) as kept:
        kept.remember(sighting(code(0)))
        kept.write()
        for file in path.parent.glob("strangers.db*"):
            file.unlink()
        kept.write()
        assert kept.strangers() == [] and not path.exists()


def test_a_new_device_key_takes_strangers_with_it(path: Path) -> None:
    with book(path) as kept:
        kept.remember(sighting(code(0), crop=CROP))
    before = bytes_of(path)
    reseal(path, KEY, bytes(32), CONFIG)
    with book(path, bytes(32)) as again:
        (one,) = again.strangers()
        assert list(again.crops(one.stranger_id).values()) == [CROP]
    with closing(sqlite3.connect(path)) as database:
        sealed = database.execute("SELECT code, crop FROM view").fetchone()
    assert not any(part in before for part in sealed)
    reseal(path.with_name("none.db"), KEY, bytes(32), CONFIG)


def test_who_was_not_seen_for_too_long_is_deleted(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with book(path) as kept:
        for person in range(2):
            kept.remember(sighting(code(person)))
        ignored = kept.strangers()[0].stranger_id
        kept.ignore(ignored, True)
    now_s = time.time()
    days = 86_400.0
    for later, left in ((6.0, 2), (12.0, 2), (18.0, 1), (24.0, 1)):
        monkeypatch.setattr("edge_runtime.unknowns.book.time.time", lambda later=later: now_s + later * days)
        with book(path) as again:
            assert len(again.strangers()) == left, later
    assert [one.stranger_id for one in again.strangers()] == [ignored]


def test_a_disk_that_fails_is_told_and_tried_again(path: Path) -> None:
    told: list[str | None] = []
    folder = path.parent / "state"
    folder.write_text("no folder")
    keeper = UnknownsKeeper(book(folder / "strangers.db"), told.append, write_every_s=0.01)
    seen = keeper.remember(sighting(code(0)), "abcdef")
    assert seen is not None and seen.stranger_id == "abcdef"
    wait_for(lambda: told and told[-1] is not None)
    folder.unlink()
    wait_for(lambda: told[-1] is None)
    keeper.close()
    with book(folder / "strangers.db") as again:
        assert [one.stranger_id for one in again.strangers()] == ["abcdef"]


def test_looking_somebody_up_does_not_wait_for_the_disk(path: Path) -> None:
    with book(path) as kept:
        kept.remember(sighting(code(0)))
        kept.write()
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        kept.remember(sighting(code(1)))
        writing = threading.Thread(target=kept.write)
        writing.start()
        writing.join(0.3)
        assert kept.recognise(code(1), 0.0).visits == 1
        assert kept.remember(sighting(code(2))) is not None
        assert writing.is_alive()
        other.rollback()
        writing.join(20)
    with book(path) as again:
        assert len(again.strangers()) == 3


def test_while_the_gallery_is_out_of_use_nobody_is_taken_for_a_stranger(path: Path) -> None:
    knows = [True]
    keeper = UnknownsKeeper(book(path), lambda reason: None, lambda: knows[0], write_every_s=0.01)
    assert keeper.recognise(code(0), 0.0) is not None
    knows[0] = False
    assert keeper.recognise(code(0), 0.0) is None
    assert keeper.remember(sighting(code(0)), "abcdef") is None
    keeper.close()
    assert KIND.embedding_size == SIZE and not path.exists()
