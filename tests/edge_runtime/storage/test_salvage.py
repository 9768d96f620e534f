"""Rows are read of a file however damaged it is, and only those whose own bytes are damaged are not."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from edge_runtime.storage.database import BrokenError, Database
from edge_runtime.storage.salvage import salvage
from tests.edge_runtime.storage.test_database import CAKES

PAGE = 4096


def cakes(count: int) -> list[tuple[int, str, int]]:
    """Long names and short ones, so that some lie on several pages."""
    return [(n, f"{n}-" + "x" * (3 if n % 10 else 9000), (-1) ** n * 300**n % 2**60) for n in range(1, count + 1)]


def make(path: Path, count: int) -> None:
    database = Database(path, CAKES, lambda connection: None)
    with closing(database), database.writing() as connection:
        connection.executemany("INSERT INTO cake VALUES (?, ?, ?)", cakes(count))


def names(path: Path) -> list[Any]:
    return [tuple(row.values()) for row in salvage(path, CAKES).tables["cake"]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cakes.db"


def spoil(path: Path, page: int) -> None:
    data = bytearray(path.read_bytes())
    data[(page - 1) * PAGE : page * PAGE] = bytes([0xAA]) * PAGE
    path.write_bytes(bytes(data))


def test_an_empty_and_a_sound_one(path: Path) -> None:
    make(path, 0)
    assert salvage(path, CAKES).tables == {"cake": []}
    path.unlink()
    make(path, 200)
    assert salvage(path, CAKES).fault is None and names(path) == cakes(200)


@pytest.mark.parametrize("count", [1, 30, 1000])
def test_without_its_first_page_every_row_is_found(path: Path, count: int) -> None:
    make(path, count)
    spoil(path, 1)
    found = salvage(path, CAKES)
    assert found.fault is not None
    assert [tuple(row.values()) for row in found.tables["cake"]] == cakes(count)


def test_a_row_is_lost_only_with_a_page_of_its_own(path: Path) -> None:
    make(path, 100)
    whole, lost = path.read_bytes(), 0
    for page in range(2, len(whole) // PAGE + 1):
        path.write_bytes(whole)
        spoil(path, page)
        found = names(path)
        right = [cake for cake in found if cake in cakes(100)]
        lost += 100 - len(right)
    # Of a row on n pages each of n spoilt pages takes it, and of pages that hold many rows all of them.
    assert 0 < lost < 100 * 4


def test_what_is_in_the_write_ahead_log_alone_is_found(path: Path) -> None:
    make(path, 20)
    database = Database(path, CAKES)
    with database.writing() as connection:
        connection.execute("UPDATE cake SET eggs = 7 WHERE id = 3")
        connection.execute("DELETE FROM cake WHERE id = 4")
    for file in (path, path.with_name("cakes.db-wal")):
        (path.parent / "copy" / file.name).parent.mkdir(exist_ok=True)
        (path.parent / "copy" / file.name).write_bytes(file.read_bytes())
    database.close()
    copy = path.parent / "copy/cakes.db"
    data = bytearray(copy.read_bytes())
    data[:16] = bytes(16)
    copy.write_bytes(bytes(data))
    found = {row["id"]: row["eggs"] for row in salvage(copy, CAKES).tables["cake"]}
    assert found[3] == 7 and 4 not in found and len(found) == 19


def test_a_sound_file_of_another_kind_is_refused(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE cake (name TEXT)")
    with pytest.raises(BrokenError, match="another kind"):
        salvage(path, CAKES)
