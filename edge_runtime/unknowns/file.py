"""The strangers' file: SQLite beside the gallery, embeddings and crops sealed, what was deleted overwritten.

Values are sealed with a key made of the device key and of a random number of this file, each bound to its kind, its
view, its stranger and the encoder. It is opened whole or not at all; whoever opens it decides what becomes of a
broken one.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import sqlite3
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_runtime.errors import UnknownsError
from edge_runtime.storage.files import is_still, with_sides
from edge_runtime.storage.keys import seal, unseal
from edge_runtime.storage.sqlite import (
    check_all_private,
    has_tables,
    is_damage,
    make_blank,
    make_tables,
    move_whole,
    transaction,
)
from edge_runtime.system.closing import Closing
from edge_runtime.unknowns.crowd import Unknown, UnknownView

SCHEMA = 1
_APPLICATION_ID = 0x46414D53  # "FAMS", so that `file` and we know what it is
_BUSY_S = 10.0
_TABLES = (
    "CREATE TABLE meta (id INTEGER PRIMARY KEY CHECK (id = 1), file_id TEXT NOT NULL, key_check BLOB NOT NULL,"
    " encoder_hash TEXT NOT NULL, preprocessing_hash TEXT NOT NULL, code_size INTEGER NOT NULL,"
    " clock_s REAL NOT NULL, wall_s REAL) STRICT",
    "CREATE TABLE stranger (id TEXT PRIMARY KEY, visits INTEGER NOT NULL, first_s REAL NOT NULL, last_s REAL NOT NULL,"
    " clock_s REAL NOT NULL, ignored INTEGER NOT NULL, cameras TEXT NOT NULL) STRICT",
    "CREATE TABLE view (id TEXT PRIMARY KEY, stranger_id TEXT NOT NULL REFERENCES stranger (id) ON DELETE CASCADE,"
    " code BLOB NOT NULL, crop BLOB, at_s REAL NOT NULL, camera TEXT NOT NULL) STRICT",
)


class BrokenUnknownsError(Exception):
    """The file cannot be used and has to be set aside; the text says what was found instead of a sound one."""


@dataclass(frozen=True, slots=True)
class Kind:
    """Whose embeddings a file holds.

    Attributes:
        encoder_hash: sha256 of the encoder's file.
        preprocessing_hash: sha256 of everything between a picture and the encoder.
        embedding_size: D.
    """

    encoder_hash: str
    preprocessing_hash: str
    embedding_size: int


@dataclass(frozen=True, slots=True)
class _Seal:
    """A file's own key, made of the device key and of a random number of the file.

    Attributes:
        file_id: that number, hex.
        key: 32 bytes.
    """

    file_id: str
    key: bytes

    @classmethod
    def of(cls, device_key: bytes, file_id: str) -> _Seal:
        return cls(file_id, hmac.digest(device_key, b"strangers/" + file_id.encode(), hashlib.sha256))

    @classmethod
    def new(cls, device_key: bytes) -> _Seal:
        return cls.of(device_key, secrets.token_hex(16))

    def close(self, plain: bytes, place: str) -> bytes:
        return seal(self.key, plain, f"{place}/{self.file_id}")

    def open(self, sealed: bytes, place: str) -> bytes:
        try:
            return unseal(self.key, sealed, f"{place}/{self.file_id}")
        except ValueError as error:
            raise BrokenUnknownsError("an altered value") from error

    def check(self) -> bytes:
        """A proof of the key, for the file."""
        return self.close(b"familiar", "stranger/check")

    def fits(self, key_check: bytes) -> bool:
        """Whether that proof was made with this key."""
        try:
            self.open(key_check, "stranger/check")
        except BrokenUnknownsError:
            return False
        return True


class UnknownsFile(Closing):
    """An open file; for one thread at a time. Everything raises ``sqlite3.Error`` where the disk or the file fails.

    Attributes:
        path: of the database.
        kind: of the embeddings.
        clock_s, wall_s: of the last write, see ``LogClock``.
    """

    kind: Kind
    _seal_of: _Seal

    def __init__(self, path: Path, device_key: bytes, kind: Kind | None) -> None:
        """Open it, or make it if it is missing.

        Args:
            path: of the file, mode 0600.
            device_key: 32 bytes.
            kind: of the embeddings that a new file is to hold; None: there is one.

        Raises:
            StrangersError: readable by others, or missing.
            BrokenStrangersError: damaged, of a newer version, sealed with another key, or no such file at all.
            sqlite3.Error, OSError: the disk is full, read-only or gone, or the file is held by another program.
        """
        self.path = path
        check_all_private(path, "the strangers' file", UnknownsError)
        if not path.exists():
            if kind is None:
                raise UnknownsError(f"{path}: expected remembered strangers, found none; set [strangers] remember")
            make_blank(path)
        self.clock_s: float = 0.0
        self.wall_s: float | None = None
        self._connection = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
        try:
            self._connection.row_factory = sqlite3.Row
            self._prepare(device_key, kind)
            self._opened = path.stat()
        except BaseException as error:
            self._connection.close()
            if is_damage(error):
                raise BrokenUnknownsError(str(error)) from error
            raise

    @property
    def in_place(self) -> bool:
        """Whether the file opened is still the one of that name."""
        return is_still(self.path, self._opened)

    def strangers(self) -> list[Unknown]:
        """Everybody in it.

        Raises:
            BrokenStrangersError: a value was altered.
        """
        with transaction(self._connection, write=False):
            views: dict[str, list[UnknownView]] = {}
            for row in self._connection.execute("SELECT * FROM view ORDER BY at_s, rowid").fetchall():
                numbers = np.frombuffer(self._open(row, "code"), "<f4").astype(np.float32)
                view = UnknownView(row["id"], numbers[1:], float(numbers[0]), row["at_s"], row["camera"])
                views.setdefault(row["stranger_id"], []).append(view)
            return [
                Unknown(
                    row["id"],
                    row["visits"],
                    row["first_s"],
                    row["last_s"],
                    row["clock_s"],
                    tuple(json.loads(row["cameras"])),
                    bool(row["ignored"]),
                    tuple(views[row["id"]]),
                )
                for row in self._connection.execute("SELECT * FROM stranger").fetchall()
                if row["id"] in views
            ]

    def crops(self, stranger_id: str) -> dict[str, bytes]:
        """The JPEGs kept of a stranger's views, by view id.

        Raises:
            BrokenStrangersError: a value was altered.
        """
        rows = self._connection.execute(
            "SELECT * FROM view WHERE stranger_id = ? AND crop IS NOT NULL", (stranger_id,)
        ).fetchall()
        return {row["id"]: self._open(row, "crop") for row in rows}

    def write(
        self,
        strangers: Mapping[str, Unknown | None],
        crops: Mapping[str, bytes],
        clock: tuple[float, float | None],
    ) -> None:
        """Store how it is with some strangers now, in one transaction; on disk for good when this returns.

        Args:
            strangers: by id; None: deleted.
            crops: JPEGs of views that are new here, by view id.
            clock: ``clock_s`` and ``wall_s``.
        """
        with transaction(self._connection, write=True):
            for stranger in strangers.values():
                if stranger is not None:
                    self._put(stranger, crops)
            # Last, for views of theirs may have gone to others.
            gone = [(stranger_id,) for stranger_id, stranger in strangers.items() if stranger is None]
            self._connection.executemany("DELETE FROM stranger WHERE id = ?", gone)
            self._connection.execute("UPDATE meta SET clock_s = ?, wall_s = ?", clock)
        self.clock_s, self.wall_s = clock[0], clock[1]

    def become(self, kind: Kind) -> int:
        """Delete everybody: their embeddings are of another encoder than those to come; returns how many there were."""
        with transaction(self._connection, write=True):
            count = int(self._connection.execute("SELECT count(*) FROM stranger").fetchone()[0])
            self._connection.execute("DELETE FROM stranger")
            self._connection.execute(
                "UPDATE meta SET encoder_hash = ?, preprocessing_hash = ?, code_size = ?",
                (kind.encoder_hash, kind.preprocessing_hash, kind.embedding_size),
            )
        self.kind = kind
        self.clean()
        return count

    def reseal(self, device_key: bytes) -> None:
        """Seal everything anew with another device key, or with the same one and another number of this file.

        Raises:
            BrokenStrangersError: a value was altered.
        """
        old, new = self._seal_of, _Seal.new(device_key)
        with transaction(self._connection, write=True):
            for row in self._connection.execute("SELECT * FROM view").fetchall():
                sealed = [
                    row[name] and new.close(old.open(row[name], self._place(name, row)), self._place(name, row))
                    for name in ("code", "crop")
                ]
                self._connection.execute("UPDATE view SET code = ?, crop = ? WHERE id = ?", (*sealed, row["id"]))
            self._connection.execute("UPDATE meta SET file_id = ?, key_check = ?", (new.file_id, new.check()))
        self._seal_of = new
        self.clean()

    def clean(self) -> None:
        """Leave nothing behind in the write-ahead log that was deleted."""
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def close(self) -> None:
        """Let go of the file; may be called again."""
        self._connection.close()

    def _put(self, stranger: Unknown, crops: Mapping[str, bytes]) -> None:
        key = stranger.stranger_id
        self._connection.execute(
            "INSERT INTO stranger (id, visits, first_s, last_s, clock_s, ignored, cameras) VALUES (?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (id) DO UPDATE SET visits = excluded.visits, first_s = excluded.first_s,"
            " last_s = excluded.last_s, clock_s = excluded.clock_s, ignored = excluded.ignored,"
            " cameras = excluded.cameras",
            (
                key,
                stranger.visits,
                stranger.first_s,
                stranger.last_s,
                stranger.clock_s,
                stranger.ignored,
                json.dumps(stranger.cameras),
            ),
        )
        rows = self._connection.execute("SELECT id FROM view WHERE stranger_id = ?", (key,)).fetchall()
        gone = {row["id"] for row in rows} - {view.view_id for view in stranger.views}
        self._connection.executemany("DELETE FROM view WHERE id = ?", [(view_id,) for view_id in gone])
        for view in stranger.views:
            row = self._connection.execute("SELECT * FROM view WHERE id = ?", (view.view_id,)).fetchone()
            if row is not None and row["stranger_id"] == key:
                continue
            # A view that went from one stranger to another is sealed for its new place.
            crop = crops.get(view.view_id) or (row and row["crop"] and self._open(row, "crop"))
            place = {"id": view.view_id, "stranger_id": key}
            embedding = np.concatenate([[view.weight], view.embedding]).astype("<f4").tobytes()
            self._connection.execute(
                "INSERT OR REPLACE INTO view (id, stranger_id, code, crop, at_s, camera) VALUES (?, ?, ?, ?, ?, ?)",
                (
                    view.view_id,
                    key,
                    self._seal_of.close(embedding, self._place("code", place)),
                    crop and self._seal_of.close(crop, self._place("crop", place)),
                    view.at_s,
                    view.camera,
                ),
            )

    def _prepare(self, device_key: bytes, kind: Kind | None) -> None:
        execute = self._connection.execute
        is_new = not has_tables(self._connection)
        if not is_new:
            if execute("PRAGMA application_id").fetchone()[0] != _APPLICATION_ID:
                raise BrokenUnknownsError("another SQLite database")
            if (version := execute("PRAGMA user_version").fetchone()[0]) > SCHEMA:
                raise BrokenUnknownsError(f"a file of version {version}, newer than {SCHEMA}")
            if (found := execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
                raise BrokenUnknownsError(" ".join(found.split()))
        for pragma in ("synchronous = FULL", "foreign_keys = ON", "secure_delete = ON", "temp_store = MEMORY"):
            execute(f"PRAGMA {pragma}")
        execute("PRAGMA journal_mode = WAL").fetchall()
        if is_new:
            if kind is None:
                raise UnknownsError(f"{self.path}: expected remembered strangers, found an empty file; delete it")
            self._make(device_key, kind)
        meta = execute("SELECT * FROM meta").fetchone()
        if meta is None:
            raise BrokenUnknownsError("a file without its own first row")
        self._seal_of = _Seal.of(device_key, meta["file_id"])
        self.kind = Kind(meta["encoder_hash"], meta["preprocessing_hash"], meta["code_size"])
        self.clock_s = meta["clock_s"]
        self.wall_s = meta["wall_s"]
        if not self._seal_of.fits(meta["key_check"]):
            raise BrokenUnknownsError("one sealed with another device key")

    def _make(self, device_key: bytes, kind: Kind) -> None:
        with transaction(self._connection, write=True):
            make_tables(self._connection, _TABLES, _APPLICATION_ID, SCHEMA)
            seal_of = _Seal.new(device_key)
            self._connection.execute(
                "INSERT INTO meta VALUES (1, ?, ?, ?, ?, ?, 0, NULL)",
                (
                    seal_of.file_id,
                    seal_of.check(),
                    kind.encoder_hash,
                    kind.preprocessing_hash,
                    kind.embedding_size,
                ),
            )

    def _open(self, row: sqlite3.Row, kind: str) -> bytes:
        return self._seal_of.open(row[kind], self._place(kind, row))

    def _place(self, kind: str, row: sqlite3.Row | Mapping[str, str]) -> str:
        """What a value is bound to."""
        return f"stranger/{kind}/{row['id']}/{row['stranger_id']}/{self.kind.encoder_hash}"


def set_aside(path: Path) -> Path:
    """Rename a file that cannot be used, with what belongs to it, over any set aside before; returns its new name."""
    target = path.with_name(f"{path.name}.aside")
    move_whole(path, target)
    return target


def delete_aside(path: Path, older_than_days: float = 0.0) -> None:
    """Delete a file that was set aside, for it may hold somebody forgotten, or out of date."""
    aside = path.with_name(f"{path.name}.aside")
    if aside.exists() and time.time() - aside.stat().st_mtime >= older_than_days * 86_400:
        for file in with_sides(aside):
            file.unlink(missing_ok=True)
