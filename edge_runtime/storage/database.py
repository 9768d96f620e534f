"""SQLite files that lose nothing: said once what one is, then made, opened, checked, brought up to date and set aside.

Gallery, log of events and file of strangers are described here with the same few words and opened in the same way.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from itertools import count
from pathlib import Path
from typing import Literal

from edge_runtime.errors import FamiliarError
from edge_runtime.storage.files import is_still, sync_folder, with_sides
from edge_runtime.storage.sqlite import (
    check_all_private,
    connect,
    copy,
    delete_whole,
    has_tables,
    is_damage,
    make_blank,
    move_whole,
    pragma,
    transaction,
)

Step = Callable[[sqlite3.Connection], None]
Fault = Literal["damaged", "foreign", "newer", "older"]

SMALL_BYTES = 16_000_000
"""Up to this size every page and index is read whenever a database is opened; a device does it in a second."""
_EVERY = ("synchronous = FULL", "foreign_keys = ON", "secure_delete = ON", "temp_store = MEMORY")
"""Commits survive a power cut, and deletions overwrite. Nothing decrypted gets into the cache or temporary data."""


@dataclass(frozen=True)
class Description:
    """What a database is.

    Attributes:
        what: for messages, with its article.
        application_id: tells it from all other SQLite files.
        schema: the version of its tables.
        tables: the statements that make them.
        error: the kind of error where others may read it.
        options: pragmas beside those of every database.
        steps: what makes one of schema N one of N + 1, by N; each is one transaction.
        keeps_copy: a copy of an older one stays beside it (``older_copies``).
    """

    what: str
    application_id: int
    schema: int
    tables: tuple[str, ...]
    error: type[FamiliarError]
    options: tuple[str, ...] = ()
    steps: Mapping[int, Step] = field(default_factory=dict)
    keeps_copy: bool = False


class BrokenError(Exception):
    """A file cannot be used as it is; the text says what was found.

    Attributes:
        fault: whether it is damaged, or something else altogether.
    """

    def __init__(self, found: str, fault: Fault = "damaged") -> None:
        super().__init__(found)
        self.fault = fault


class Database:
    """An open database; one connection.

    Attributes:
        path: of its file.
        connection: in autocommit mode.
    """

    def __init__(self, path: Path, description: Description, fill: Step | None = None) -> None:
        """Open it, or make it if it is missing; an older one is brought up to date.

        Nothing is changed in a file that is not sound, or something else.

        Args:
            path: of its file, mode 0600.
            description: what it must be.
            fill: puts the first rows into a new one, in the transaction that makes it; None: there must be one.

        Raises:
            FamiliarError: of the description's kind; others may read it.
            BrokenError: damaged, of another version that is not known, or something else altogether.
            FileNotFoundError: it is missing or empty, and is not to be made.
            sqlite3.Error, OSError: the disk is full, read-only or gone, or the file is held by another program.
        """
        _finish_replacing(path)
        check_all_private(path, description.what, description.error)
        if not path.exists():
            if fill is None:
                raise FileNotFoundError(f"{path}: expected {description.what}, found none")
            make_blank(path)
        self.path = path
        self._description = description
        self.connection = connect(path)
        try:
            self._prepare(fill)
            self._opened = path.stat()
        except BaseException as error:
            self.connection.close()
            if is_damage(error):
                raise BrokenError(str(error)) from error
            raise

    @property
    def in_place(self) -> bool:
        """Whether the file opened is still the one of that name."""
        return is_still(self.path, self._opened)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """One moment of the database; joins a transaction that is open."""
        with transaction(self.connection, write=False):
            yield self.connection

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """All or nothing, on disk for good when the block ends; joins a transaction that is open."""
        with transaction(self.connection, write=True):
            yield self.connection

    def close(self) -> None:
        """Let go of the file; may be called again."""
        self.connection.close()

    def _prepare(self, fill: Step | None) -> None:
        connection, wanted = self.connection, self._description
        is_new = not has_tables(connection)
        if is_new and fill is None:
            raise FileNotFoundError(f"{self.path}: expected {wanted.what}, found an empty file")
        if not is_new:  # before anything is changed: it may be somebody else's
            _check_kind(connection, wanted)
            if pragma(connection, "user_version") == wanted.schema:
                _check_layout(connection, wanted)
            if self.path.stat().st_size <= SMALL_BYTES and (found := damage(connection)) is not None:
                raise BrokenError(found)
        for option in (*wanted.options, *_EVERY):
            connection.execute(f"PRAGMA {option}")
        connection.execute("PRAGMA journal_mode = WAL").fetchall()
        if is_new:
            self._make(fill)
        else:
            self._upgrade()
            self._check_length()

    def _make(self, fill: Step | None) -> None:
        wanted = self._description
        with self.writing() as connection:
            if has_tables(connection):  # another process was first
                return
            for statement in wanted.tables:
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {wanted.application_id}")
            connection.execute(f"PRAGMA user_version = {wanted.schema}")
            if fill is not None:
                fill(connection)

    def _upgrade(self) -> None:
        connection, wanted = self.connection, self._description
        version = pragma(connection, "user_version")
        if version == wanted.schema:
            return
        if wanted.keeps_copy:
            copy(connection, self.path.with_name(f"{self.path.name}.before-{wanted.schema}"))
        for older in range(version, wanted.schema):
            with self.writing():
                if pragma(connection, "user_version") == older:  # no other process was first
                    wanted.steps[older](connection)
                    connection.execute(f"PRAGMA user_version = {older + 1}")

    def _check_length(self) -> None:
        """Notice at once that a large file was cut short, whose pages nobody has read yet."""
        if self.path.stat().st_size <= SMALL_BYTES:
            return
        self.connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        whole = pragma(self.connection, "page_count") * pragma(self.connection, "page_size")
        sides = sum(file.stat().st_size for file in with_sides(self.path)[:2] if file.exists())
        if sides < whole:
            raise BrokenError(f"a file cut short ({sides} of {whole} bytes)")


def open_to_read(path: Path, description: Description) -> sqlite3.Connection:
    """A connection that changes nothing.

    Raises:
        FamiliarError: of the description's kind; others may read it.
        BrokenError: damaged, of another version, or something else altogether.
        FileNotFoundError: it is missing or empty.
        sqlite3.Error, OSError: it cannot be opened.
    """
    check_all_private(path, description.what, description.error)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: expected {description.what}, found none")
    connection = connect(path, read_only=True)
    try:
        if not has_tables(connection):
            raise FileNotFoundError(f"{path}: expected {description.what}, found an empty file")
        _check_kind(connection, description)
        if pragma(connection, "user_version") != description.schema:
            raise BrokenError("an older version", "older")
        _check_layout(connection, description)
    except BaseException as error:
        connection.close()
        if is_damage(error):
            raise BrokenError(str(error)) from error
        raise
    return connection


def damage(connection: sqlite3.Connection) -> str | None:
    """What is wrong with a database, every page and index of which is read; None: nothing.

    Raises:
        sqlite3.Error: it cannot be read at all.
    """
    try:
        found = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        if not is_damage(error):
            raise
        found = str(error)
    return None if found == "ok" else " ".join(str(found).split())


def damage_of(path: Path, description: Description | None = None) -> str | None:
    """The same of a file, by a connection of its own: one that is open already would look at what it remembers.

    Args:
        path: of the file.
        description: what its tables must be, if it is of this version; None: they are not compared.

    Raises:
        sqlite3.Error: it cannot be read at all.
    """
    try:
        connection = connect(path, read_only=True)
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        if not is_damage(error):
            raise
        return str(error)
    try:
        found = damage(connection)
        if found is None and description is not None and pragma(connection, "user_version") == description.schema:
            found = _layout_fault(connection, description)
        return found
    finally:
        connection.close()


def is_blank(path: Path) -> bool:
    """Whether nothing is there, or a file in which making a database was cut short by a full disk or a power cut.

    Raises:
        BrokenError: it is no database.
        sqlite3.Error, OSError: it cannot be opened.
    """
    _finish_replacing(path)
    if not path.exists() or path.stat().st_size == 0:
        return True
    connection = connect(path)
    try:
        return not has_tables(connection)
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        if is_damage(error):
            raise BrokenError(str(error)) from error
        raise
    finally:
        connection.close()


def set_aside(path: Path) -> Path:
    """Rename a database that cannot be used, with what belongs to it; returns its new name."""
    names = (path.with_name(f"{path.name}.aside-{number}") for number in count(1))
    target = next(name for name in names if not any(file.exists() for file in with_sides(name)))
    move_whole(path, target)
    return target


def asides(path: Path) -> list[Path]:
    """What was set aside of a database, the oldest first."""
    found = {file for file in path.parent.glob(f"{path.name}.aside-*") if file.suffix.removeprefix(".aside-").isdigit()}
    return sorted(found, key=lambda file: int(file.suffix.removeprefix(".aside-")))


def older_copies(path: Path) -> list[Path]:
    """What migrations, changes of the encoder and repairs cut short have left of a database beside it."""
    found = [file for kind in ("before", "of") for file in path.parent.glob(f"{path.name}.{kind}-*")]
    return sorted(found) + [draft for draft in (_draft(path),) if draft.exists()]


@contextmanager
def replacing_database(path: Path) -> Iterator[Path]:
    """Give a path at which to make a database that takes the place of ``path``, for who alone uses that.

    When the block ends well, the old one is set aside. After a power cut either of them is there: where the new one was
    ready, the next opening finishes it.
    """
    draft = _draft(path)
    delete_whole(draft)
    try:
        yield draft
        replace_whole(path, draft)
    finally:
        delete_whole(draft)


def replace_whole(path: Path, draft: Path, kept: Path | None = None) -> None:
    """Let a database that is closed take another one's place, for who alone uses both; see ``replacing_database``.

    Args:
        path: of the old one.
        draft: the new one, beside it.
        kept: where the old one goes; None: it is set aside.
    """
    draft.replace(_ready(path))  # closed, so that all of it is in the one file
    sync_folder(path.parent)
    _finish_replacing(path, kept)


def _finish_replacing(path: Path, kept: Path | None = None) -> None:
    """Let a database that is ready take its place."""
    ready = _ready(path)
    if ready.exists():
        if path.exists() and kept is not None:
            move_whole(path, kept)
        elif path.exists():
            set_aside(path)
        move_whole(ready, path)


def is_there(path: Path) -> bool:
    """Whether a database is in its place, or ready to take it."""
    return path.exists() or _ready(path).exists()


def _draft(path: Path) -> Path:
    return path.with_name(f".{path.name}.draft")


def _ready(path: Path) -> Path:
    return path.with_name(f".{path.name}.ready")


@cache
def layout(tables: tuple[str, ...]) -> dict[str, tuple[tuple[str, str, bool, bool], ...]]:
    """(name, kind, whether NULL is refused, whether it is of the key) of the columns that statements make, by table.

    SQLite's own table of the numbers given is among them, if there is one.
    """
    connection = sqlite3.connect(":memory:")
    try:
        for statement in tables:
            connection.execute(statement)
        names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: _columns(connection, name) for name in names}
    finally:
        connection.close()


def _columns(connection: sqlite3.Connection, table: str) -> tuple[tuple[str, str, bool, bool], ...]:
    rows = connection.execute(f"PRAGMA table_info({table})").fetchall()
    return tuple((name, kind, bool(required), bool(key)) for _, name, kind, required, _, key in rows)


def _layout_fault(connection: sqlite3.Connection, wanted: Description) -> str | None:
    """What of the tables is not as described, though SQLite takes it; None: nothing. Columns may have been added."""
    tables = layout(wanted.tables)
    for table, columns in tables.items():
        if not set(columns) <= set(_columns(connection, table)):
            return f"table {table} with other columns than it was made with"
        parents = {row[2] for row in connection.execute(f"PRAGMA foreign_key_list({table})").fetchall()}
        if not parents <= tables.keys():
            return f"table {table} with another parent than it was made with"
    return None


def _check_layout(connection: sqlite3.Connection, wanted: Description) -> None:
    if (found := _layout_fault(connection, wanted)) is not None:
        raise BrokenError(found)


def _check_kind(connection: sqlite3.Connection, wanted: Description) -> None:
    if pragma(connection, "application_id") != wanted.application_id:
        raise BrokenError("another SQLite database", "foreign")
    version = pragma(connection, "user_version")
    if version > wanted.schema:
        raise BrokenError(f"{wanted.what} of version {version}, newer than {wanted.schema}", "newer")
    if version < min(wanted.steps, default=wanted.schema):
        raise BrokenError(f"{wanted.what} of version {version}, older than any that can be read", "older")
