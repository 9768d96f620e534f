"""Every row that can still be read of a database, however damaged the file is.

A sound file is read by SQLite. Of a damaged one, each page is looked at by itself, so that a row is found although the
way to it is broken: the format of pages, cells and records is that of https://www.sqlite.org/fileformat2.html. Whether
a row that was found is what was written is for the caller to say, by what it was sealed or signed with.
"""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge_runtime.storage.database import BrokenError, Description, damage_of, layout
from edge_runtime.storage.sqlite import connect, is_damage

Row = dict[str, Any]

_HEADER, _WAL_HEADER, _FRAME_HEADER = 100, 32, 24
_LEAF = 0x0D
_MOST_SEARCHED = 4000
"""In files of more pages, those that are no leaf of a table are not searched byte by byte."""
_LARGEST = 1 << 26
"""Of one record, bytes; ours are smaller by far."""


@dataclass(frozen=True)
class Salvage:
    """What was read.

    Attributes:
        fault: what is wrong with the file, or None.
        tables: for each table its rows, in the order they were made; damage may show one twice.
    """

    fault: str | None
    tables: Mapping[str, list[Row]]


def salvage(path: Path, description: Description) -> Salvage:
    """Read what can be read; nothing is changed.

    Raises:
        BrokenError: it is sound, and not what the description says.
        sqlite3.Error, OSError: the file cannot be read at all.
    """
    layouts = _layouts(description)
    fault = damage_of(path, description)
    if fault is None:
        connection = connect(path, read_only=True)
        try:
            return Salvage(None, {name: _read(connection, name, columns) for name, columns in layouts.items()})
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
            fault = str(error)
        finally:
            connection.close()
    return Salvage(fault, _scan(_Pages(path), layouts))


def _read(connection: sqlite3.Connection, table: str, columns: list[_Column]) -> list[Row]:
    """The rows of a table of a sound file."""
    there = [row["name"] for row in connection.execute(f"PRAGMA table_info({table})").fetchall()]
    if there != [column.name for column in columns]:
        raise BrokenError("another kind or version of database", "foreign")
    return [dict(row) for row in connection.execute(f"SELECT * FROM {table} ORDER BY rowid")]


@dataclass(frozen=True)
class Repaired:
    """What became of a file.

    Attributes:
        path: of the file.
        fault: what was wrong with it; None: nothing.
        kept: how many of what is there now.
        lost: how many of what was found and is damaged; what left no trace is not counted.
        lines: what its owner should know or do, for people.
        aside: where the damaged file is now, or None.
    """

    path: Path
    fault: str | None = None
    kept: Mapping[str, int] = field(default_factory=dict)
    lost: Mapping[str, int] = field(default_factory=dict)
    lines: tuple[str, ...] = ()
    aside: Path | None = None


@dataclass(frozen=True)
class _Column:
    name: str
    kind: str
    may_be_null: bool
    is_rowid: bool

    def fits(self, serial: int) -> bool:
        """Whether a value of this serial type may stand here."""
        if serial == 0:
            return self.may_be_null or self.is_rowid
        if self.is_rowid:
            return False  # SQLite stores NULL in its place
        if serial in (8, 9) or 1 <= serial <= 6:
            return self.kind in ("INTEGER", "REAL")
        if serial == 7:
            return self.kind == "REAL"
        return serial >= 12 and self.kind == ("TEXT" if serial % 2 else "BLOB")


def _layouts(description: Description) -> dict[str, list[_Column]]:
    """The columns of every table, as SQLite understands the statements that make them."""
    return {
        table: [
            _Column(name, kind, not required and not key, key and kind == "INTEGER")
            for name, kind, required, key in columns
        ]
        for table, columns in layout(description.tables).items()
        if not table.startswith("sqlite_")
    }


def _scan(pages: _Pages, layouts: Mapping[str, list[_Column]]) -> dict[str, list[Row]]:
    found: dict[str, dict[tuple[Any, ...], Row]] = {name: {} for name in layouts}
    for number in range(1, pages.count + 1):
        for rowid, serials, payload in pages.records(number, {len(columns) for columns in layouts.values()}):
            for name, row in _row_of(layouts, rowid, serials, payload):
                found[name].setdefault((rowid, *row.values()), row)
    return {name: [row for _, row in sorted(rows.items(), key=lambda item: item[0][0])] for name, rows in found.items()}


def _row_of(
    layouts: Mapping[str, list[_Column]], rowid: int, serials: list[int], payload: bytes
) -> Iterator[tuple[str, Row]]:
    """The table that a record may be of, and the row it is there."""
    for name, columns in layouts.items():
        if len(columns) == len(serials) and all(map(_Column.fits, columns, serials)):
            row = _row(columns, rowid, serials, payload)
            if row is not None:
                yield name, row


def _row(columns: list[_Column], rowid: int, serials: list[int], payload: bytes) -> Row | None:
    row: Row = {}
    at = 0
    for column, serial in zip(columns, serials, strict=True):
        size = _size(serial)
        value = _value(serial, payload[at : at + size])
        at += size
        if column.is_rowid:
            value = rowid
        elif column.kind == "REAL" and isinstance(value, int):
            value = float(value)
        row[column.name] = value
    return row if at == len(payload) else None


def _size(serial: int) -> int:
    return (serial - 12) // 2 if serial >= 12 else (0, 1, 2, 3, 4, 6, 8, 8, 0, 0, 0, 0)[serial]


def _value(serial: int, data: bytes) -> Any:
    if serial == 0:
        return None
    if serial <= 6:
        return int.from_bytes(data, "big", signed=True)
    if serial == 7:
        return struct.unpack(">d", data)[0]
    if serial in (8, 9):
        return serial - 8
    return data.decode(errors="replace") if serial % 2 else data


class _Pages:
    """The pages of a file, the newest version of each: the write-ahead log's up to its last commit, then the file's."""

    def __init__(self, path: Path) -> None:
        self._data = path.read_bytes()
        size = int.from_bytes(self._data[16:18], "big")
        self._size = 65536 if size == 1 else size if size >= 512 and size & (size - 1) == 0 else 4096
        self._usable = self._size  # no extension of ours reserves any
        self._newer: dict[int, bytes] = {}
        with suppress(FileNotFoundError):
            self._replay(path.with_name(path.name + "-wal").read_bytes())
        self.count = max([-(-len(self._data) // self._size), *self._newer])

    def page(self, number: int) -> bytes:
        start = (number - 1) * self._size
        return self._newer.get(number) or self._data[start : start + self._size]

    def records(self, number: int, widths: set[int]) -> Iterator[tuple[int, list[int], bytes]]:
        """(row id, serial types, values) of whatever may be a row on a page."""
        page = self.page(number)
        start = _HEADER if number == 1 else 0
        cells = self._cells(page, start)
        found = []
        for at in cells:
            if (record := self._record(page, at, widths)) is not None:
                found.append(record)
        if len(found) == len(cells) and cells:
            yield from found
        elif self.count <= _MOST_SEARCHED and any(page):
            for at in range(start, len(page) - 4):
                if (record := self._record(page, at, widths)) is not None:
                    yield record

    def _cells(self, page: bytes, start: int) -> list[int]:
        """Where the rows of a page begin, if it is a leaf of a table; else nothing."""
        if len(page) < start + 8 or page[start] != _LEAF:
            return []
        count = int.from_bytes(page[start + 3 : start + 5], "big")
        if start + 8 + 2 * count > len(page):
            return []
        return list(struct.unpack_from(f">{count}H", page, start + 8))

    def _record(self, page: bytes, at: int, widths: set[int]) -> tuple[int, list[int], bytes] | None:
        try:
            length, at = _varint(page, at)
            rowid, at = _varint(page, at)
            if not 2 <= length <= _LARGEST:
                return None
            header, first = _varint(page, at)
            if not 2 <= header <= 64:
                return None
            serials, end = [], at + header
            while first < end:
                serial, first = _varint(page, first)
                serials.append(serial)
            if first != end or len(serials) not in widths or any(serial in (10, 11) for serial in serials):
                return None
            if header + sum(map(_size, serials)) != length:
                return None
            payload = self._payload(page, at, length)
        except (IndexError, ValueError):
            return None
        return rowid - (1 << 64) if rowid >> 63 else rowid, serials, payload[header:]

    def _payload(self, page: bytes, at: int, length: int) -> bytes:
        """The bytes of a record, those on overflow pages too.

        Raises:
            ValueError: they are not all there.
        """
        usable = self._usable
        local = length
        if length > usable - 35:
            least = (usable - 12) * 32 // 255 - 23
            local = least + (length - least) % (usable - 4)
            local = local if local <= usable - 35 else least
        parts = [page[at : at + local]]
        left = length - len(parts[0])
        follow = int.from_bytes(page[at + local : at + local + 4], "big") if left else 0
        seen: set[int] = set()
        while left and 1 <= follow <= self.count and follow not in seen:
            seen.add(follow)
            overflow = self.page(follow)
            parts.append(overflow[4 : 4 + min(left, usable - 4)])
            left -= len(parts[-1])
            follow = int.from_bytes(overflow[:4], "big")
        if left:
            raise ValueError("a record that is cut short")
        return b"".join(parts)

    def _replay(self, data: bytes) -> None:
        """Take pages from a write-ahead log, as far as its checksums hold and a commit follows."""
        if len(data) < _WAL_HEADER or int.from_bytes(data[:4], "big") not in (0x377F0682, 0x377F0683):
            return
        order = ">" if data[3] & 1 else "<"
        sums = _sums(order, data[:24], (0, 0))
        if sums != struct.unpack(">2I", data[24:32]) or int.from_bytes(data[8:12], "big") != self._size:
            return
        pending: dict[int, bytes] = {}
        for start in range(_WAL_HEADER, len(data) - self._size - _FRAME_HEADER + 1, self._size + _FRAME_HEADER):
            head, page = data[start : start + _FRAME_HEADER], data[start + _FRAME_HEADER :][: self._size]
            sums = _sums(order, page, _sums(order, head[:8], sums))
            if head[8:16] != data[16:24] or sums != struct.unpack(">2I", head[16:24]):
                return
            number, commit = struct.unpack(">2I", head[:8])
            pending[number] = page
            if commit:
                self._newer |= pending
                pending = {}


def _sums(order: str, data: bytes, before: tuple[int, int]) -> tuple[int, int]:
    one, two = before
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for first, second in zip(words[::2], words[1::2], strict=True):
        one = (one + first + two) & 0xFFFFFFFF
        two = (two + second + one) & 0xFFFFFFFF
    return one, two


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number of one to nine bytes, and where it ends."""
    value = 0
    for place in range(8):
        byte = data[at + place]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at + place + 1
    return value << 8 | data[at + 8], at + 9
