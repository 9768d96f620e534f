"""The log's file: made whole or not at all, checked when it is opened, set aside when it cannot be used."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from itertools import count
from pathlib import Path

from edge_runtime.errors import EventLogError
from edge_runtime.storage.files import with_sides
from edge_runtime.storage.sqlite import (
    check_all_private,
    has_tables,
    is_damage,
    make_blank,
    make_tables,
    move_whole,
    transaction,
)

SCHEMA = 1
UPGRADES: dict[int, tuple[str, ...]] = {}
"""What makes a log of schema N one of N + 1."""

_APPLICATION_ID = 0x46414D45  # "FAME", so that `file` and we know what it is
_MAGIC = b"SQLite format 3\0"
_BUSY_S = 10.0
_CHUNK = 1 << 20
_WHAT = "the log of events"
_TABLES = (
    "CREATE TABLE meta (id INTEGER PRIMARY KEY CHECK (id = 1), clock_s REAL NOT NULL, wall_s REAL,"
    " lost INTEGER NOT NULL, clean INTEGER NOT NULL, rid_of TEXT) STRICT",
    "CREATE TABLE event (event_id INTEGER PRIMARY KEY AUTOINCREMENT, clock_s REAL NOT NULL, at_s REAL NOT NULL,"
    " kind TEXT NOT NULL, camera TEXT NOT NULL, track_id TEXT, template_id INTEGER, person_id TEXT,"
    " candidate_id TEXT, runner_up_id TEXT, body TEXT NOT NULL, crop BLOB) STRICT",
    "CREATE TABLE sink (name TEXT PRIMARY KEY, position INTEGER NOT NULL, skipped INTEGER NOT NULL) STRICT",
    "INSERT INTO meta (id, clock_s, wall_s, lost, clean) VALUES (1, 0, NULL, 0, 1)",
)
# No index: every one would be a page more for each commit to write, and what would use it is rare.


class BrokenLogError(Exception):
    """The file cannot be used and has to be set aside; the text says what was found instead of a sound log."""


def connect(path: Path, newest: int = 0) -> sqlite3.Connection:
    """A connection for the one who writes; a log is made if it is missing.

    Every commit is synced (``synchronous = FULL``): what a sink has seen must survive a power cut.

    Args:
        path: of the log, mode 0600.
        newest: a new log's first event gets the next number.

    Raises:
        EventLogError: readable by others.
        BrokenLogError: damaged, cut short, of a newer version, or no log at all.
        sqlite3.Error, OSError: the disk is full, read-only or gone, or the file is held by another program.
    """
    check_all_private(path, _WHAT, EventLogError)
    if not path.exists():
        make_blank(path)
    connection = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
    try:
        connection.row_factory = sqlite3.Row
        _check_kind(connection)  # before anything is changed: it may be somebody else's
        for pragma in (
            "auto_vacuum = INCREMENTAL",
            "synchronous = FULL",
            "secure_delete = ON",
            "temp_store = MEMORY",
            "cache_size = -512",
            "journal_size_limit = 4194304",
        ):
            connection.execute(f"PRAGMA {pragma}")
        connection.execute("PRAGMA journal_mode = WAL").fetchall()
        _prepare(path, connection, newest)
    except BaseException as error:
        connection.close()
        if is_damage(error):
            raise BrokenLogError(str(error)) from error
        raise
    return connection


def connect_to_read(path: Path) -> sqlite3.Connection:
    """A connection that changes nothing.

    Raises:
        EventLogError: no log there, or one readable by others, damaged, of another version or not to be opened.
    """
    check_all_private(path, _WHAT, EventLogError)
    if not path.is_file():
        raise EventLogError(f"{path}: expected the log of events, found none; familiar run makes it")
    connection = None
    try:
        connection = _read_only(path)
        connection.row_factory = sqlite3.Row
        kind, version = (connection.execute(f"PRAGMA {p}").fetchone()[0] for p in ("application_id", "user_version"))
    except sqlite3.Error as error:
        if connection is not None:
            connection.close()
        raise EventLogError(
            f"{path}: expected a log of events, SQLite says: {error}; check that it is yours to read; "
            "a damaged one is set aside by the next familiar run"
        ) from error
    if (kind, version) != (_APPLICATION_ID, SCHEMA):
        connection.close()
        raise EventLogError(
            f"{path}: expected a log of events of version {SCHEMA}, found something else; the next familiar run "
            "brings it up to date or sets it aside"
        )
    return connection


def damage(path: Path) -> str | None:
    """What is wrong with a log, every page of which is read; None: nothing.

    Raises:
        sqlite3.Error: it cannot be read at all.
    """
    connection = _read_only(path)  # one that is open already would look at what it remembers
    try:
        found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
        found = str(error)
    finally:
        connection.close()
    return None if found == "ok" else " ".join(found.split())


def set_aside(path: Path) -> Path:
    """Rename a log that cannot be used, with what belongs to it; returns its new name."""
    names = (path.with_name(f"{path.name}.aside-{number}") for number in count(1))
    target = next(name for name in names if not any(file.exists() for file in with_sides(name)))
    move_whole(path, target)
    return target


def delete_aside(path: Path, forgotten: Iterable[str], every: bool) -> None:
    """Delete logs that were set aside, as they may hold events of a person forgotten; files of others stay.

    Args:
        path: of the log.
        forgotten: ids of people; a file that holds one of them is a log, however damaged.
        every: delete every log, as one that can still be read may hold ids where a search of its bytes finds nothing.
    """
    ids = [person_id.encode() for person_id in forgotten]
    for file in path.parent.glob(f"{path.name}.aside-*"):
        if not file.suffix.removeprefix(".aside-").isdigit():
            continue
        if any(_mentions(each, ids) for each in with_sides(file)) or (every and _is_ours(file)):
            for each in with_sides(file):
                each.unlink(missing_ok=True)


def _mentions(file: Path, words: Sequence[bytes]) -> bool:
    """Whether any of ``words`` stands in a file's bytes."""
    overlap = max(map(len, words), default=0)
    if not overlap or not file.is_file():
        return False
    with file.open("rb") as stream:
        kept = b""
        while chunk := stream.read(_CHUNK):
            if any(word in kept + chunk for word in words):
                return True
            kept = chunk[-overlap:]
    return False


def newest_in(path: Path) -> int:
    """The number of the newest event of a log that may be damaged, as far as it can be read; else 0."""
    try:
        connection = _read_only(path)
        try:
            row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'event'").fetchone()
        finally:
            connection.close()
        return int(row[0]) if _is_ours(path) and row else 0
    except (sqlite3.Error, OSError, ValueError, TypeError):
        return 0


def _read_only(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=_BUSY_S)


def _check_kind(connection: sqlite3.Connection) -> None:
    if not has_tables(connection):
        return
    if connection.execute("PRAGMA application_id").fetchone()[0] != _APPLICATION_ID:
        raise BrokenLogError("another SQLite database")
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA:
        raise BrokenLogError(f"a log of version {version}, newer than {SCHEMA}")


def _prepare(path: Path, connection: sqlite3.Connection, newest: int) -> None:
    with transaction(connection, write=True):
        if not has_tables(connection):
            make_tables(connection, _TABLES, _APPLICATION_ID, SCHEMA)
            connection.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('event', ?)", (newest,))
            return
    for older in range(connection.execute("PRAGMA user_version").fetchone()[0], SCHEMA):
        with transaction(connection, write=True):
            for statement in UPGRADES[older]:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {older + 1}")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    pages, page_size = (connection.execute(f"PRAGMA {p}").fetchone()[0] for p in ("page_count", "page_size"))
    if path.stat().st_size < pages * page_size:
        raise BrokenLogError(f"a file cut short ({path.stat().st_size} of {pages * page_size} bytes)")


def _is_ours(path: Path) -> bool:
    with path.open("rb") as stream:
        header = stream.read(72)
    return header.startswith(_MAGIC) and header[68:72] == _APPLICATION_ID.to_bytes(4, "big")
