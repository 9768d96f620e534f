"""A database is said once and opened in one way: made whole, checked, brought up to date, set aside, never altered
before it is known to be ours.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from edge_runtime.errors import GalleryError
from edge_runtime.storage.database import (
    BrokenError,
    Database,
    Description,
    asides,
    damage_of,
    is_there,
    older_copies,
    open_to_read,
    replacing_database,
    set_aside,
)
from edge_runtime.storage.exclusive_lock import exclusive_lock
from edge_runtime.storage.sqlite import has_tables, scrub

CAKES = Description(
    what="a book of cakes",
    application_id=0x43414B45,
    schema=3,
    tables=("CREATE TABLE cake (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, eggs INTEGER NOT NULL) STRICT",),
    error=GalleryError,
    keeps_copy=True,
)


def first(connection: sqlite3.Connection) -> None:
    connection.execute("INSERT INTO cake VALUES (1, 'Linz', 2)")


def rename_butter(connection: sqlite3.Connection) -> None:
    connection.execute("ALTER TABLE cake RENAME COLUMN butter TO eggs")


def count_eggs(connection: sqlite3.Connection) -> None:
    connection.execute("UPDATE cake SET eggs = eggs / 50")


STEPS = {1: rename_butter, 2: count_eggs}


def make_oldest(path: Path) -> None:
    """The same book as the first version wrote it."""
    tables = (CAKES.tables[0].replace("eggs", "butter"),)
    old = replace(CAKES, schema=1, tables=tables)
    Database(path, old, lambda connection: connection.execute("INSERT INTO cake VALUES (1, 'Linz', 100)")).close()


def cakes(path: Path, description: Description = CAKES) -> list[tuple[object, ...]]:
    database = Database(path, description)
    with closing(database), database.reading() as connection:
        return [tuple(row) for row in connection.execute("SELECT * FROM cake")]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state/cakes.db"


def test_it_is_made_whole_and_private_and_only_if_that_is_wanted(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Database(path, CAKES)
    assert not path.exists()
    Database(path, CAKES, first).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    Database(path, CAKES, first).close()  # there is one: nothing is filled in again
    assert cakes(path) == [(1, "Linz", 2)]


def test_a_making_that_fails_leaves_a_file_that_is_made_later(path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        Database(path, CAKES, lambda connection: 1 / 0)
    with closing(sqlite3.connect(path)) as connection:
        assert not has_tables(connection)
    with pytest.raises(FileNotFoundError, match="empty"):
        Database(path, CAKES)
    Database(path, CAKES, first).close()
    assert cakes(path) == [(1, "Linz", 2)]


def test_an_older_one_goes_through_every_step_and_a_copy_stays(path: Path) -> None:
    make_oldest(path)
    assert cakes(path, replace(CAKES, steps=STEPS)) == [(1, "Linz", 2)]
    (copy,) = older_copies(path)
    assert copy.name == "cakes.db.before-3" and stat.S_IMODE(copy.stat().st_mode) == 0o600
    with closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("SELECT butter FROM cake").fetchall() == [(100,)]
    copy.unlink()
    assert cakes(path, replace(CAKES, steps=STEPS)) == [(1, "Linz", 2)]
    assert older_copies(path) == []


def test_a_step_that_fails_leaves_the_version_before_it_and_is_taken_again(path: Path) -> None:
    make_oldest(path)

    def fail(connection: sqlite3.Connection) -> None:
        count_eggs(connection)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Database(path, replace(CAKES, steps={1: rename_butter, 2: fail}))
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (2,)
        assert connection.execute("SELECT eggs FROM cake").fetchall() == [(100,)]
    assert cakes(path, replace(CAKES, steps=STEPS)) == [(1, "Linz", 2)]


def garbage(path: Path) -> None:
    path.write_bytes(b"no database at all " * 1000)


def foreign(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA application_id = 1")


def newer(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 4")


def too_old(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 2")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-4096])


def without_index_entry(path: Path) -> None:
    """The unique index knows another name than the table: no page is malformed."""
    data = bytearray(path.read_bytes())
    at = data.rindex(b"Linz")
    assert data.count(b"Linz") == 2
    data[at] ^= 4
    path.write_bytes(bytes(data))


def with_another_column(path: Path) -> None:
    """A bit of the statement that made the table: SQLite takes it for a table with another column."""
    data = path.read_bytes()
    path.write_bytes(data.replace(b"eggs INTEGER", b"eggr INTEGER"))


def with_a_statement_that_is_no_text(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data.replace(b"eggs INTEGER", b"\xd2\xff\xff\xff NTEGER"[:12]))


@pytest.mark.parametrize(
    ("spoil", "fault"),
    [
        (garbage, "damaged"),
        (with_another_column, "damaged"),
        (with_a_statement_that_is_no_text, "damaged"),
        (cut, "damaged"),
        (without_index_entry, "damaged"),
        (foreign, "foreign"),
        (newer, "newer"),
        (too_old, "older"),
    ],
)
def test_what_cannot_be_used_says_why_and_is_left_as_it_is(
    path: Path, spoil: Callable[[Path], None], fault: str
) -> None:
    Database(path, CAKES, first).close()
    spoil(path)
    before = path.read_bytes()
    with pytest.raises(BrokenError) as caught:
        Database(path, CAKES, first)
    assert caught.value.fault == fault
    if spoil not in (cut, without_index_entry):  # who only reads does not look through
        with pytest.raises(BrokenError):
            open_to_read(path, CAKES)
    assert path.read_bytes() == before
    assert (damage_of(path, CAKES) is not None) == (fault == "damaged")


def test_one_that_others_may_read_is_refused(path: Path) -> None:
    Database(path, CAKES, first).close()
    path.chmod(0o640)
    with pytest.raises(GalleryError, match=f"chmod 600 {path}"):
        Database(path, CAKES)


def test_text_that_is_no_text_any_more_can_still_be_read(path: Path) -> None:
    Database(path, CAKES, first).close()
    data = path.read_bytes()
    path.write_bytes(data.replace(b"Linz", b"L\xffnz"))
    assert cakes(path) == [(1, "L\ufffdnz", 2)]


def test_files_set_aside_never_take_each_others_place(path: Path) -> None:
    for number in range(11):
        Database(path, CAKES, first).close()
        assert set_aside(path).name == f"cakes.db.aside-{number + 1}"
    path.with_name("cakes.db.aside-x").touch()
    assert [file.name for file in asides(path)] == [f"cakes.db.aside-{number + 1}" for number in range(11)]


def test_what_was_deleted_is_gone_unless_somebody_reads_it(path: Path) -> None:
    database = Database(path, CAKES, first)
    with closing(database), closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN")
        other.execute("SELECT * FROM cake").fetchall()
        with database.writing() as connection:
            connection.execute("DELETE FROM cake")
        assert not scrub(database.connection, wait=False)
        other.execute("COMMIT")
        assert scrub(database.connection)
        assert not any(b"Linz" in file.read_bytes() for file in path.parent.iterdir())


def test_one_takes_anothers_place_whenever_the_power_is_cut(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from edge_runtime.storage import database

    def cut(*arguments: object) -> None:
        raise KeyboardInterrupt

    for name in ("sync_folder", "set_aside", "move_whole"):
        for file in path.parent.glob("*"):
            file.unlink()
        Database(path, CAKES, first).close()
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt), replacing_database(path) as draft:
            Database(
                draft, CAKES, lambda connection: connection.execute("INSERT INTO cake VALUES (2, 'Sacher', 6)")
            ).close()
            patch.setattr(database, name, cut)
        assert is_there(path)
        assert cakes(path) == [(2, "Sacher", 6)]
        (aside,) = asides(path)
        assert cakes(aside) == [(1, "Linz", 2)]
        assert not list(path.parent.glob(".*"))


def test_a_making_that_fails_replaces_nothing(path: Path) -> None:
    Database(path, CAKES, first).close()
    with pytest.raises(ZeroDivisionError), replacing_database(path) as draft:
        Database(draft, CAKES, first).close()
        raise ZeroDivisionError
    assert cakes(path) == [(1, "Linz", 2)] and not list(path.parent.glob(".*"))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to make files for others")
def test_what_root_makes_belongs_to_the_folders_owner(path: Path) -> None:
    path.parent.mkdir()
    os.chown(path.parent, 4711, 4712)
    Database(path, CAKES, first).close()
    with replacing_database(path) as draft:
        Database(draft, CAKES, first).close()
    with exclusive_lock(path, "test"):
        assert {(file.stat().st_uid, file.stat().st_gid) for file in path.parent.iterdir()} == {(4711, 4712)}
