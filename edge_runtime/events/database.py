"""The log's file: what it is, what is read of it, and what was set aside."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from edge_runtime.errors import EventLogError
from edge_runtime.events.record import PLAIN_COLUMNS, is_sound
from edge_runtime.storage.database import BrokenError, Database, Description, asides, open_to_read
from edge_runtime.storage.files import with_sides
from edge_runtime.storage.keys import row_mac
from edge_runtime.storage.ownership import what_helps
from edge_runtime.storage.salvage import salvage
from edge_runtime.storage.sqlite import connect, delete_whole

REPAIR = "familiar repair"
"""The command that takes back what is good of a log that was set aside."""


def _with_faces(connection: sqlite3.Connection) -> None:
    connection.execute("ALTER TABLE event ADD COLUMN face BLOB")


def _with_footage(connection: sqlite3.Connection) -> None:
    connection.execute("ALTER TABLE event ADD COLUMN footage TEXT")


LOG = Description(
    what="the log of events",
    application_id=0x46414D45,  # "FAME", so that `file` and we know what it is
    schema=4,
    tables=(
        "CREATE TABLE meta (id INTEGER PRIMARY KEY CHECK (id = 1), clock_s REAL NOT NULL, wall_s REAL,"
        " lost INTEGER NOT NULL, clean INTEGER NOT NULL, rid_of TEXT, mac BLOB NOT NULL) STRICT",
        "CREATE TABLE event (event_id INTEGER PRIMARY KEY AUTOINCREMENT, clock_s REAL NOT NULL, at_s REAL NOT NULL,"
        " kind TEXT NOT NULL, camera TEXT NOT NULL, track_id TEXT, template_id INTEGER, person_id TEXT,"
        " candidate_id TEXT, runner_up_id TEXT, body TEXT NOT NULL, crop BLOB, face BLOB, footage TEXT,"
        " mac BLOB NOT NULL) STRICT",
        "CREATE TABLE sink (name TEXT PRIMARY KEY, position INTEGER NOT NULL, skipped INTEGER NOT NULL,"
        " mac BLOB NOT NULL) STRICT",
        # No index: every one would be a page more for each commit to write, and what would use it is rare.
    ),
    error=EventLogError,
    steps={2: _with_faces, 3: _with_footage},
    options=("auto_vacuum = INCREMENTAL", "cache_size = -512", "journal_size_limit = 4194304"),
)

_MAGIC = b"SQLite format 3\0"
_CHUNK = 1 << 20
_MARK = b'"first_seen":'
"""Stands in every event, and hardly in a file that was never a log."""
META = ("clock_s", "wall_s", "lost", "clean", "rid_of")
SINK = ("name", "position", "skipped")


def open_log(path: Path, newest: int = 0) -> Database:
    """The log for the one who writes; it is made if it is missing.

    Every commit is synced (``synchronous = FULL``): what a sink has seen must survive a power cut.

    Args:
        path: of the log, mode 0600.
        newest: a new log's first event gets the next number.

    Raises:
        EventLogError: readable by others.
        BrokenError, sqlite3.Error, OSError: see ``Database``.
    """

    def fill(connection: sqlite3.Connection) -> None:
        put(connection, "meta", {"id": 1, "clock_s": 0.0, "wall_s": None, "lost": 0, "clean": 1, "rid_of": None})
        connection.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('event', ?)", (newest,))

    return Database(path, LOG, fill)


def put(connection: sqlite3.Connection, table: str, row: Mapping[str, Any]) -> None:
    """Write a row of ``meta`` or ``sink``, in the place of the one there was."""
    values = {**row, "mac": _mac(table, row)}
    marks = ", ".join(f":{name}" for name in values)
    connection.execute(f"INSERT OR REPLACE INTO {table} ({', '.join(values)}) VALUES ({marks})", values)


def rows_of(connection: sqlite3.Connection, table: str) -> list[dict[str, Any]]:
    """The sound rows of ``meta`` or ``sink``."""
    rows = [dict(row) for row in connection.execute(f"SELECT * FROM {table}").fetchall()]
    return [row for row in rows if row["mac"] == _mac(table, row)]


def _mac(table: str, row: Mapping[str, Any]) -> bytes:
    return row_mac(b"", table, *(row[name] for name in (META if table == "meta" else SINK)))


def unsound(connection: sqlite3.Connection) -> list[int]:
    """Numbers of the events that are not as they were written."""
    rows = connection.execute(f"SELECT {', '.join(PLAIN_COLUMNS)} FROM event")
    return [row["event_id"] for row in rows if not is_sound(row)]


def damaged_rows(connection: sqlite3.Connection) -> int:
    """How many rows are not as they were written."""
    count = len(unsound(connection))
    for table in ("meta", "sink"):
        (kept,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
        count += kept - len(rows_of(connection, table))
    return count


def open_reading(path: Path) -> sqlite3.Connection:
    """A connection that changes nothing.

    Raises:
        EventLogError: no log there, or one readable by others, damaged, of another version or not to be opened.
    """
    try:
        return open_to_read(path, LOG)
    except FileNotFoundError as error:
        raise EventLogError(f"{path}: expected the log of events, found none; familiar run makes it") from error
    except BrokenError as error:
        raise EventLogError(
            f"{path}: expected the log of events, found {error}; the next familiar run sets it aside"
        ) from error
    except (sqlite3.Error, OSError) as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: Exception) -> EventLogError:
    """What is said of a log that SQLite or the file system keeps from being read."""
    if path.exists() and not os.access(path, os.R_OK | os.W_OK):
        return EventLogError(
            f"{path}: expected a log of events that is yours, found: {error}; {what_helps(path, 'log of events')}"
        )
    return EventLogError(
        f"{path}: expected a sound log of events that is yours to read, found: {error}; the next familiar run sets a "
        f"damaged one aside, and {REPAIR} takes back what is good"
    )


def delete_aside(path: Path, forgotten: Iterable[str], every: bool) -> None:
    """Delete logs that were set aside, as they may hold events of a person forgotten; files of others stay.

    Args:
        path: of the log.
        forgotten: ids of people; a file that holds one of them is a log, however damaged.
        every: delete every log, as a damaged one may tell of people by ids that no search finds.
    """
    ids = [person_id.encode() for person_id in forgotten]
    for file in asides(path):
        if (every and is_ours(file)) or any(_mentions(each, ids) for each in with_sides(file)):
            delete_whole(file)


def _mentions(file: Path, words: list[bytes]) -> bool:
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
    """The number of the newest event of a log that may be damaged, as far as it can be told; else 0."""
    if not is_ours(path):
        return 0
    with suppress(sqlite3.Error, OSError, UnicodeDecodeError, LookupError):  # its very columns may be damaged
        connection = connect(path, read_only=True)
        try:
            return newest_number(connection)
        finally:
            connection.close()
    with suppress(sqlite3.Error, OSError, BrokenError):
        return max((row["event_id"] for row in salvage(path, LOG).tables["event"] if is_sound(row)), default=0)
    return 0


MOST_NUMBERS = 1 << 53
"""No log comes to so many events: a number beyond was damaged."""


def newest_number(connection: sqlite3.Connection) -> int:
    """The number of the newest event ever stored; of what says so, the highest that can be."""
    found = [0, *(row["position"] for row in rows_of(connection, "sink"))]
    for query in ("SELECT seq FROM sqlite_sequence WHERE name = 'event'", "SELECT max(event_id) FROM event"):
        found += [row[0] for row in connection.execute(query).fetchall()]
    return max(number for number in found if isinstance(number, int) and number < MOST_NUMBERS)


def is_ours(path: Path) -> bool:
    """Whether a file is a log of events, or was one before it was damaged."""
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        header = stream.read(72)
    sound = header.startswith(_MAGIC)
    return (sound and header[68:72] == LOG.application_id.to_bytes(4, "big")) or _mentions(path, [_MARK])
