"""What SQLite says and does, in the words of this project: transactions, copies, files that belong together."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge_runtime.errors import FamiliarError
from edge_runtime.storage.files import give_to_owner, replacing, sync_folder, with_sides
from edge_runtime.storage.keys import check_private

BUSY_S = 10.0
"""How long another program is waited for."""


def connect(path: Path, read_only: bool = False) -> sqlite3.Connection:
    """A connection in autocommit mode, for any thread; rows have names.

    Text that is no UTF-8, as damage leaves it, is read with replacement characters: what is done about it is decided
    by who reads the row.

    Raises:
        sqlite3.Error: it cannot be opened.
    """
    place = f"{path.absolute().as_uri()}?mode=ro" if read_only else str(path)
    connection = sqlite3.connect(
        place, uri=read_only, timeout=BUSY_S, isolation_level=None, check_same_thread=False
    )  # fmt: skip
    connection.row_factory = sqlite3.Row
    connection.text_factory = lambda data: data.decode(errors="replace")
    return connection


@contextmanager
def transaction(connection: sqlite3.Connection, write: bool) -> Iterator[None]:
    """One transaction, joined if one is already open; rolled back on any exception."""
    if connection.in_transaction:
        yield
        return
    connection.execute("BEGIN IMMEDIATE" if write else "BEGIN")
    try:
        yield
    except BaseException:
        connection.rollback()
        raise
    connection.commit()


def scrub(connection: sqlite3.Connection, wait: bool = True) -> bool:
    """Empty the write-ahead log, so that what was deleted is nowhere any more.

    Args:
        connection: to the database.
        wait: for other programs, as long as the connection does.

    Returns:
        False where another program still reads.
    """
    if not wait:
        connection.execute("PRAGMA busy_timeout = 0")
    try:
        return not connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    finally:
        if not wait:
            connection.execute(f"PRAGMA busy_timeout = {int(BUSY_S * 1000)}")


def pragma(connection: sqlite3.Connection, name: str) -> int:
    """The value of a pragma that is a number."""
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])


def has_tables(connection: sqlite3.Connection) -> bool:
    """Whether anything was made in a database."""
    return bool(connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])


def is_busy(error: BaseException | None) -> bool:
    """Whether an error of SQLite's means that another program holds the file, which itself is sound."""
    return _code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def is_full(error: BaseException | None) -> bool:
    """Whether an error of SQLite's means that the disk takes no more, or fails."""
    return _code(error) in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)


def is_damage(error: BaseException | None) -> bool:
    """Whether an error of SQLite's means that the file itself is not sound.

    A message of SQLite's that quotes a damaged schema may be no text, which Python says instead of it.
    """
    return isinstance(error, UnicodeDecodeError) or _code(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _code(error: BaseException | None) -> int:
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def check_all_private(path: Path, what: str, kind: type[FamiliarError]) -> None:
    """Refuse a database of which anything may be touched by anybody but its owner; it need not be there.

    Raises:
        FamiliarError: of this ``kind``; a mode is wider than 0600.
        OSError: it cannot be looked at.
    """
    for file in with_sides(path):
        if file.exists():
            check_private(file, what, kind)


def make_blank(path: Path) -> None:
    """Make an empty file for a database, its owner's alone; on disk for good when this returns."""
    for side in with_sides(path)[1:]:
        side.unlink(missing_ok=True)  # of one that was deleted: SQLite would play it
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    give_to_owner(path)
    sync_folder(path.parent)


def move_whole(path: Path, target: Path) -> None:
    """Let a database, with what SQLite keeps beside it, take another name and the place of one that has it."""
    for source, place in zip(with_sides(path), with_sides(target), strict=True):
        if source.exists():
            source.replace(place)
        else:
            place.unlink(missing_ok=True)
    sync_folder(path.parent)


def delete_whole(path: Path) -> None:
    """Delete a database with what SQLite keeps beside it; it need not be there."""
    for file in with_sides(path):
        file.unlink(missing_ok=True)


def copy(connection: sqlite3.Connection, target: Path) -> None:
    """Write a whole copy of a database as one file, mode 0600, while others may go on using it.

    Args:
        connection: to the database.
        target: takes the place of what is there; on disk for good when this returns.

    Raises:
        InputError, sqlite3.Error: it cannot be written.
    """
    with replacing(target, 0o600, make_folder=False) as draft:
        into = sqlite3.connect(draft)
        try:
            connection.backup(into)
            into.execute("PRAGMA journal_mode = DELETE").fetchall()
        finally:
            into.close()
