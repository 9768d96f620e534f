"""The strangers' file: SQLite beside the gallery, embeddings and crops sealed, what was deleted overwritten.

Values are sealed with a key made of the device key and of a random number of this file, each bound to its kind, its
view, its stranger and the encoder. It is opened whole or not at all; whoever opens it decides what becomes of a
broken one.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from edge_runtime.errors import UnknownsError
from edge_runtime.storage.database import BrokenError, Database, Description, asides, open_to_read
from edge_runtime.storage.sqlite import delete_whole, scrub
from edge_runtime.system.closing import Closing
from edge_runtime.unknowns.crowd import Unknown, UnknownView
from edge_runtime.unknowns.sealing import FileSeal, place

META = ("meta", "meta_copy")
"""Twice the same row, on pages of their own: without it nothing else could be read."""
_META = (
    "CREATE TABLE {} (id INTEGER PRIMARY KEY CHECK (id = 1), file_id TEXT NOT NULL,"
    " key_check BLOB NOT NULL, encoder_hash TEXT NOT NULL, preprocessing_hash TEXT NOT NULL,"
    " code_size INTEGER NOT NULL, clock_s REAL NOT NULL, wall_s REAL, mac BLOB NOT NULL) STRICT"
)
UNKNOWNS = Description(
    what="the file of strangers",
    application_id=0x46414D53,  # "FAMS", so that `file` and we know what it is
    schema=2,
    tables=(
        *map(_META.format, META),
        "CREATE TABLE stranger (id TEXT PRIMARY KEY, visits INTEGER NOT NULL, first_s REAL NOT NULL,"
        " last_s REAL NOT NULL, clock_s REAL NOT NULL, ignored INTEGER NOT NULL, cameras TEXT NOT NULL,"
        " mac BLOB NOT NULL) STRICT",
        "CREATE TABLE view (id TEXT PRIMARY KEY, stranger_id TEXT NOT NULL REFERENCES stranger (id) ON DELETE CASCADE,"
        " code BLOB NOT NULL, crop BLOB, at_s REAL NOT NULL, camera TEXT NOT NULL, mac BLOB NOT NULL) STRICT",
    ),
    error=UnknownsError,
)


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


class UnknownsFile(Closing):
    """An open file; for one thread at a time. Everything raises ``sqlite3.Error`` where the disk or the file fails.

    A row that is not as it was written is passed over: it costs its view or stranger, nothing else.

    Attributes:
        path: of the database.
        kind: of the embeddings.
        clock_s, wall_s: of the last write, see ``LogClock``.
        in_place: whether the file opened is still the one of that name.
    """

    def __init__(self, path: Path, device_key: bytes, kind: Kind | None) -> None:
        """Open it, or make it if it is missing.

        Args:
            path: of the file, mode 0600.
            device_key: 32 bytes.
            kind: of the embeddings that a new file is to hold; None: there is one.

        Raises:
            UnknownsError: readable by others, or missing.
            BrokenError: damaged, of a newer version, sealed with another key, or no such file at all.
            sqlite3.Error, OSError: the disk is full, read-only or gone, or the file is held by another program.
        """
        self.path = path
        fill = None if kind is None else partial(_fill, sealing=FileSeal.new(device_key), kind=kind)
        try:
            self._database = Database(path, UNKNOWNS, fill)
        except FileNotFoundError as error:
            raise UnknownsError(
                f"{path}: expected remembered strangers, found none; set [strangers] remember"
            ) from error
        self._connection = self._database.connection
        try:
            self._seal, meta = open_meta(_read_metas(self._connection), device_key)
        except BaseException:
            self.close()
            raise
        self.kind = Kind(meta["encoder_hash"], meta["preprocessing_hash"], meta["code_size"])
        self.clock_s: float = meta["clock_s"]
        self.wall_s: float | None = meta["wall_s"]

    @property
    def in_place(self) -> bool:
        return self._database.in_place

    @property
    def damaged(self) -> int:
        """How many rows are not as they were written; each is looked at."""
        return damaged_rows(self._connection, self._seal, self.kind.encoder_hash)

    def strangers(self) -> list[Unknown]:
        """Everybody in it."""
        views: dict[str, list[UnknownView]] = {}
        with self._database.reading():
            for row in self._connection.execute("SELECT * FROM view ORDER BY at_s, rowid").fetchall():
                if (view := view_of(row, self._seal, self.kind)) is not None:
                    views.setdefault(row["stranger_id"], []).append(view)
            rows = self._connection.execute("SELECT * FROM stranger").fetchall()
        return [
            unknown_of(row, views[row["id"]])
            for row in rows
            if row["id"] in views and self._seal.is_sound("stranger", row)
        ]

    def crops(self, stranger_id: str) -> dict[str, bytes]:
        """The JPEGs kept of a stranger's views, by view id."""
        rows = self._connection.execute(
            "SELECT * FROM view WHERE stranger_id = ? AND crop IS NOT NULL", (stranger_id,)
        ).fetchall()
        opened = {row["id"]: self._read(row, "crop") for row in rows}
        return {view_id: crop for view_id, crop in opened.items() if crop is not None}

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
        with self._database.writing():
            for stranger in strangers.values():
                if stranger is not None:
                    self._put(stranger, crops)
            # Last, for views of theirs may have gone to others.
            gone = [(stranger_id,) for stranger_id, stranger in strangers.items() if stranger is None]
            self._connection.executemany("DELETE FROM stranger WHERE id = ?", gone)
            if gone:
                self._delete_damaged()  # it may be of them
            self._put_meta(self._seal, self.kind, clock)
        self.clock_s, self.wall_s = clock[0], clock[1]

    def become(self, kind: Kind) -> int:
        """Delete everybody: their embeddings are of another encoder than those to come; returns how many there were."""
        with self._database.writing():
            count = int(self._connection.execute("SELECT count(*) FROM stranger").fetchone()[0])
            self._connection.execute("DELETE FROM stranger")
            self._put_meta(self._seal, kind, (self.clock_s, self.wall_s))
        self.kind = kind
        self.clean()
        return count

    def reseal(self, device_key: bytes) -> None:
        """Seal everything anew with another device key, or with the same one and another number of this file.

        What is damaged goes.
        """
        old, new = self._seal, FileSeal.new(device_key)
        with self._database.writing():
            self._delete_damaged()
            for row in self._connection.execute("SELECT * FROM stranger").fetchall():
                signed = new.sign("stranger", dict(row))
                self._connection.execute("UPDATE stranger SET mac = :mac WHERE id = :id", signed)
            for row in self._connection.execute("SELECT * FROM view").fetchall():
                values = new.sign("view", dict(row))
                for name in ("code", "crop"):
                    where = place(name, row, self.kind.encoder_hash)
                    plain = old.read(row[name], where)
                    values[name] = None if plain is None else new.close(plain, where)
                self._connection.execute(
                    "UPDATE view SET code = :code, crop = :crop, mac = :mac WHERE id = :id", values
                )
            self._put_meta(new, self.kind, (self.clock_s, self.wall_s))
        self._seal = new
        self.clean()

    def delete_damaged(self) -> int:
        """Delete rows that are not as they were written; returns how many went."""
        damaged = self.damaged
        if damaged:
            with self._database.writing():
                self._delete_damaged()
                self._put_meta(self._seal, self.kind, (self.clock_s, self.wall_s))
        return damaged

    def clean(self) -> bool:
        """Leave nothing behind in the write-ahead log that was deleted; False: another program still reads it."""
        return scrub(self._connection)

    def close(self) -> None:
        """Let go of the file; may be called again."""
        self._database.close()

    def _put(self, stranger: Unknown, crops: Mapping[str, bytes]) -> None:
        key = stranger.stranger_id
        put_stranger(self._connection, self._seal, stranger)
        rows = self._connection.execute("SELECT id FROM view WHERE stranger_id = ?", (key,)).fetchall()
        gone = {row["id"] for row in rows} - {view.view_id for view in stranger.views}
        self._connection.executemany("DELETE FROM view WHERE id = ?", [(view_id,) for view_id in gone])
        for view in stranger.views:
            row = self._connection.execute("SELECT * FROM view WHERE id = ?", (view.view_id,)).fetchone()
            if row is not None and row["stranger_id"] == key:
                continue
            # A view that went from one stranger to another is sealed for its new place.
            crop = crops.get(view.view_id) or (row and row["crop"] and self._read(row, "crop"))
            put_view(self._connection, self._seal, self.kind, key, view, crop)

    def _delete_damaged(self) -> None:
        rows = self._connection.execute("SELECT * FROM view").fetchall()
        bad = [(row["id"],) for row in rows if view_of(row, self._seal, self.kind) is None]
        self._connection.executemany("DELETE FROM view WHERE id = ?", bad)
        no_crop = [(row["id"],) for row in rows if row["crop"] is not None and self._read(row, "crop") is None]
        self._connection.executemany("UPDATE view SET crop = NULL WHERE id = ?", no_crop)
        rows = self._connection.execute("SELECT * FROM stranger").fetchall()
        bad = [(row["id"],) for row in rows if not self._seal.is_sound("stranger", row)]
        self._connection.executemany("DELETE FROM stranger WHERE id = ?", bad)

    def _put_meta(self, sealing: FileSeal, kind: Kind, clock: tuple[float, float | None]) -> None:
        _fill(self._connection, sealing, kind, clock)

    def _read(self, row: sqlite3.Row, name: str) -> bytes | None:
        return self._seal.read(row[name], place(name, row, self.kind.encoder_hash))


def view_of(row: Mapping[str, Any] | sqlite3.Row, sealing: FileSeal, kind: Kind) -> UnknownView | None:
    """A row of ``view``, but for its crop; None: it was altered."""
    code = sealing.read(row["code"], place("code", row, kind.encoder_hash))
    if code is None or len(code) != 4 * (kind.embedding_size + 1) or not sealing.is_sound("view", row):
        return None
    numbers = np.frombuffer(code, "<f4").astype(np.float32)
    return UnknownView(row["id"], numbers[1:], float(numbers[0]), row["at_s"], row["camera"])


def unknown_of(row: Mapping[str, Any] | sqlite3.Row, views: Iterable[UnknownView]) -> Unknown:
    """A sound row of ``stranger``."""
    cameras = tuple(json.loads(row["cameras"]))
    times = row["first_s"], row["last_s"], row["clock_s"]
    return Unknown(row["id"], row["visits"], *times, cameras, bool(row["ignored"]), tuple(views))


def put_stranger(connection: sqlite3.Connection, sealing: FileSeal, stranger: Unknown) -> None:
    """Write a row of ``stranger``, new or not."""
    row = {
        "id": stranger.stranger_id,
        "visits": stranger.visits,
        "first_s": float(stranger.first_s),
        "last_s": float(stranger.last_s),
        "clock_s": float(stranger.clock_s),
        "ignored": int(stranger.ignored),
        "cameras": json.dumps(stranger.cameras),
    }
    connection.execute(
        "INSERT INTO stranger (id, visits, first_s, last_s, clock_s, ignored, cameras, mac)"
        " VALUES (:id, :visits, :first_s, :last_s, :clock_s, :ignored, :cameras, :mac)"
        " ON CONFLICT (id) DO UPDATE SET visits = excluded.visits, first_s = excluded.first_s,"
        " last_s = excluded.last_s, clock_s = excluded.clock_s, ignored = excluded.ignored,"
        " cameras = excluded.cameras, mac = excluded.mac",
        sealing.sign("stranger", row),
    )


def put_view(
    connection: sqlite3.Connection,
    sealing: FileSeal,
    kind: Kind,
    stranger_id: str,
    view: UnknownView,
    crop: bytes | None,
) -> None:
    """Write a row of ``view``, in the place of one of the same id."""
    row: dict[str, Any] = {
        "id": view.view_id,
        "stranger_id": stranger_id,
        "at_s": float(view.at_s),
        "camera": view.camera,
    }
    embedding = np.concatenate([[view.weight], view.embedding]).astype("<f4").tobytes()
    row["code"] = sealing.close(embedding, place("code", row, kind.encoder_hash))
    row["crop"] = sealing.close(crop, place("crop", row, kind.encoder_hash)) if crop else None
    connection.execute(
        "INSERT OR REPLACE INTO view (id, stranger_id, code, crop, at_s, camera, mac)"
        " VALUES (:id, :stranger_id, :code, :crop, :at_s, :camera, :mac)",
        sealing.sign("view", row),
    )


def damaged_rows(connection: sqlite3.Connection, sealing: FileSeal, encoder_hash: str) -> int:
    """How many rows are not as they were written."""
    count = 0
    count += sum(not sealing.is_sound("meta", row) for row in _read_metas(connection))
    for table in ("stranger", "view"):
        for row in connection.execute(f"SELECT * FROM {table}").fetchall():
            values = [name for name in ("code", "crop") if table == "view" and row[name] is not None]
            opened = (sealing.read(row[name], place(name, row, encoder_hash)) for name in values)
            count += not sealing.is_sound(table, row) or any(plain is None for plain in opened)
    return count


def _fill(
    connection: sqlite3.Connection, sealing: FileSeal, kind: Kind, clock: tuple[float, float | None] = (0.0, None)
) -> None:
    """Write both copies of the first row."""
    row = {
        "file_id": sealing.file_id,
        "key_check": sealing.check(),
        "encoder_hash": kind.encoder_hash,
        "preprocessing_hash": kind.preprocessing_hash,
        "code_size": kind.embedding_size,
        "clock_s": clock[0],
        "wall_s": clock[1],
    }
    values = {"id": 1, **sealing.sign("meta", row)}
    marks = ", ".join(f":{name}" for name in values)
    for table in META:
        connection.execute(f"INSERT OR REPLACE INTO {table} ({', '.join(values)}) VALUES ({marks})", values)


def _read_metas(connection: sqlite3.Connection) -> list[dict[str, Any]]:
    """Both copies of the first row, sound or not."""
    return [dict(row) for table in META for row in connection.execute(f"SELECT * FROM {table}").fetchall()]


def open_meta(rows: Iterable[Mapping[str, Any]], device_key: bytes) -> tuple[FileSeal, Mapping[str, Any]]:
    """The seal and the first sound one of the rows of ``meta``.

    Raises:
        BrokenError: neither is, or another device key made them.
    """
    fits = False
    for row in rows:
        sealing = FileSeal.of(device_key, row["file_id"])
        fits |= sealing.fits(row["key_check"])
        if sealing.is_sound("meta", row):
            return sealing, row
    if fits:
        raise BrokenError("a file without its own first row")
    raise BrokenError("one sealed with another device key", "foreign")


def examine(path: Path, device_key: bytes) -> int:
    """How many rows of a file are not as they were written; nothing is changed, and others may use it.

    Raises:
        UnknownsError: others may read it.
        BrokenError, sqlite3.Error, OSError: it cannot be used as it is.
    """
    with closing(open_to_read(path, UNKNOWNS)) as connection:
        sealing, meta = open_meta(_read_metas(connection), device_key)
        return damaged_rows(connection, sealing, meta["encoder_hash"])


def delete_aside(path: Path, older_than_days: float = 0.0) -> None:
    """Delete files that were set aside, for they may hold somebody forgotten, or out of date."""
    for aside in asides(path):
        if time.time() - aside.stat().st_mtime >= older_than_days * 86_400:
            delete_whole(aside)
