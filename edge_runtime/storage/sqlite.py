"""The gallery's file: made whole or not at all, checked when it is opened, its errors in one line each."""

from __future__ import annotations

import os
import secrets
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edge_runtime.errors import FamiliarError, GalleryError
from edge_runtime.storage.files import sync_folder, with_sides
from edge_runtime.storage.keys import check_private

SCHEMA = 2
_APPLICATION_ID = 0x46414D49  # "FAMI", so that `file` and we know what it is
_BUSY_S = 10.0
_DAMAGED = "it is left as it is; put a backup in its place, or move it away and enrol again"

_TABLES = (
    "CREATE TABLE meta (id INTEGER PRIMARY KEY CHECK (id = 1), encoder_hash TEXT NOT NULL,"
    " preprocessing_hash TEXT NOT NULL, code_size INTEGER NOT NULL, bundle_name TEXT NOT NULL,"
    " created_s REAL NOT NULL, key_check BLOB NOT NULL, gallery_id TEXT NOT NULL DEFAULT '',"
    " rotation BLOB NOT NULL DEFAULT x'') STRICT",
    "CREATE TABLE person (id TEXT PRIMARY KEY, sealed_key BLOB NOT NULL, name BLOB NOT NULL,"
    " added_s REAL NOT NULL, consent BLOB, expires_s REAL) STRICT",
    "CREATE TABLE template (id INTEGER PRIMARY KEY AUTOINCREMENT,"
    " person_id TEXT NOT NULL REFERENCES person (id) ON DELETE CASCADE, code BLOB NOT NULL,"
    " source BLOB NOT NULL, photo_mac BLOB, crop BLOB, added_s REAL NOT NULL, forced BLOB,"
    " UNIQUE (person_id, photo_mac)) STRICT",
    "CREATE TABLE audit (id INTEGER PRIMARY KEY, at_s REAL NOT NULL, action TEXT NOT NULL,"
    " person_id TEXT NOT NULL) STRICT",
)


FROM_1 = (
    "ALTER TABLE meta ADD COLUMN gallery_id TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE meta ADD COLUMN rotation BLOB NOT NULL DEFAULT x''",
    "ALTER TABLE person ADD COLUMN consent BLOB",
    "ALTER TABLE person ADD COLUMN expires_s REAL",
    "ALTER TABLE template ADD COLUMN forced BLOB",
)
"""What schema 2 adds to 1; see ``migration``."""


def scrub(connection: sqlite3.Connection) -> bool:
    """Empty the write-ahead log, so that what was deleted is nowhere any more.

    It waits for other programs as long as the connection does, and is False where one of them still reads.
    """
    return not connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn what SQLite and the file system say into one line with the fix."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            fix = f"another program has held it for {_BUSY_S:.0f} s; stop that one or try again"
        elif code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
            fix = "make room on the disk and check that it is sound; what was confirmed before is kept"
        elif is_damage(error):
            fix = _DAMAGED
        else:
            fix = "check that the file and its folder are yours to write"
        raise GalleryError(f"{path}: expected a sound gallery, SQLite says: {error}; {fix}") from error
    except OSError as error:
        raise GalleryError(
            f"{path}: the gallery cannot be opened or made ({error.strerror}); "
            "run as the user whose gallery it is, or set [gallery] path"
        ) from error


def is_busy(error: BaseException) -> bool:
    """Whether an error of :func:`explained` says that another program holds the gallery, which itself is sound."""
    code = getattr(error.__cause__, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def is_damage(error: BaseException) -> bool:
    """Whether an error of SQLite's means that the file itself is not sound."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def check_all_private(path: Path, what: str, kind: type[FamiliarError] = GalleryError) -> None:
    """Refuse a database of which anything may be touched by anybody but its owner; none is fine.

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
    sync_folder(path.parent)


def move_whole(path: Path, target: Path) -> None:
    """Let a database, with what SQLite keeps beside it, take another name and the place of one that has it."""
    for source, place in zip(with_sides(path), with_sides(target), strict=True):
        if source.exists():
            source.replace(place)
        else:
            place.unlink(missing_ok=True)
    sync_folder(path.parent)


def connect(path: Path) -> sqlite3.Connection:
    """A connection whose commits survive a power cut and whose deletions overwrite.

    Raises:
        GalleryError: readable by others, or not to be opened.
    """
    with explained(path):
        check_all_private(path, "a gallery")
        connection = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
        try:
            connection.row_factory = sqlite3.Row
            # The size of the cache and of temporary data stay SQLite's own; nothing decrypted ever gets there.
            for pragma in ("synchronous = FULL", "foreign_keys = ON", "secure_delete = ON", "temp_store = MEMORY"):
                connection.execute(f"PRAGMA {pragma}")
            connection.execute("PRAGMA journal_mode = WAL").fetchall()
        except BaseException:
            connection.close()
            raise
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


def create(path: Path, meta: dict[str, Any]) -> None:
    """Make a gallery with this ``meta`` row in one transaction; nothing happens if another process was first.

    Raises:
        GalleryError: the file cannot be made.
    """
    with explained(path):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        connection = connect(path)
        try:
            with transaction(connection, write=True):
                if has_tables(connection):
                    return
                make_tables(connection, _TABLES, _APPLICATION_ID, SCHEMA)
                names = ", ".join(meta)
                marks = ", ".join(f":{name}" for name in meta)
                connection.execute(f"INSERT INTO meta ({names}) VALUES ({marks})", meta)
        finally:
            connection.close()


def make_tables(connection: sqlite3.Connection, statements: Iterable[str], kind: int, schema: int) -> None:
    """Fill an empty database, in a transaction of the caller's.

    Args:
        connection: to the database.
        statements: that make its tables.
        kind: its application id, so that nothing else is taken for it.
        schema: the version of its tables.
    """
    for statement in statements:
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {kind}")
    connection.execute(f"PRAGMA user_version = {schema}")


def is_blank(path: Path) -> bool:
    """Whether nothing is there, or a file in which making a gallery was cut short by a full disk or a power cut.

    Raises:
        GalleryError: readable by others, not to be opened, or no database.
    """
    with explained(path):
        if not path.exists() or path.stat().st_size == 0:
            return True
        connection = connect(path)
        try:
            return not has_tables(connection)
        finally:
            connection.close()


def has_tables(connection: sqlite3.Connection) -> bool:
    """Whether anything was made in a database."""
    return bool(connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])


def read_meta(path: Path, connection: sqlite3.Connection) -> sqlite3.Row:
    """The ``meta`` row of a sound gallery of this version.

    Raises:
        GalleryError: damaged, not a gallery, or of a newer version.
    """
    with explained(path):
        found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise GalleryError(
                f"{path}: expected a sound gallery, found it damaged ({' '.join(found.split())}); {_DAMAGED}"
            )
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        kind = connection.execute("PRAGMA application_id").fetchone()[0]
        if not has_tables(connection):
            raise GalleryError(f"{path}: expected a gallery, found none; make it with: familiar enroll NAME PHOTO")
        if kind != _APPLICATION_ID:
            raise GalleryError(f"{path}: expected a gallery, found another SQLite database; set [gallery] path")
        if version > SCHEMA:
            raise GalleryError(
                f"{path}: expected a gallery of version {SCHEMA} or older, found {version}; upgrade familiar-edge"
            )
        row: sqlite3.Row | None = connection.execute("SELECT * FROM meta").fetchone()
        if row is None:
            raise GalleryError(f"{path}: expected the encoder's hashes, found none; put a backup in its place")
        return row


def copy(connection: sqlite3.Connection, target: Path) -> None:
    """Write a whole copy of a gallery as one file, mode 0600, while others may go on using it.

    Args:
        connection: to the gallery.
        target: takes the place of what is there; on disk for good when this returns.

    Raises:
        GalleryError: it cannot be written.
    """
    draft = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
    with explained(target):
        try:
            os.close(os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
            into = sqlite3.connect(draft)
            try:
                connection.backup(into)
                into.execute("PRAGMA journal_mode = DELETE").fetchall()
            finally:
                into.close()
            with draft.open("rb") as stream:
                os.fsync(stream.fileno())
            draft.replace(target)
            sync_folder(target.absolute().parent)
        finally:
            draft.unlink(missing_ok=True)
