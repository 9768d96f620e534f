"""Enrolments, renames, notes, forgets and rekeys, one after the other, each acknowledged on standard output.

    python -m tests.gallery_workload FOLDER SEED FIRST COUNT

does the operations FIRST to FIRST + COUNT - 1 of the seed's; ``expected`` says what a gallery holds after any number.
"""

from __future__ import annotations

import dataclasses
import os
import sqlite3
import sys
from pathlib import Path

import numpy as np

from edge_runtime.gallery import file
from edge_runtime.gallery.store import Gallery
from edge_runtime.gallery.tables import GALLERY

SIZE = 16
Operation = tuple[str, str, str]
State = dict[str, list[str]]


def operations(seed: int, count: int, start: State | None = None) -> list[Operation]:
    """What to do, (kind, name, other name or source) each; about two thirds are enrolments."""
    rng = np.random.default_rng(seed)
    state: State = {name: list(sources) for name, sources in (start or {}).items()}
    done: list[Operation] = []
    for number in range(count):
        kind = rng.choice(["add", "rename", "note", "forget", "rekey"], p=[0.66, 0.12, 0.06, 0.12, 0.04])
        names = sorted(state)
        name = str(rng.choice(names)) if names else ""
        if kind == "add" or not names:
            fresh = not names or rng.random() < 0.4
            item = ("add", f"Person {number}" if fresh else name, f"{number}.jpg")
        else:
            item = (str(kind), name, f"Renamed {number}")
        done.append(item)
        apply(state, item)
    return done


def apply(state: State, operation: Operation) -> None:
    """What an operation does to the names and sources that a gallery holds."""
    kind, name, other = operation
    if kind == "add":
        state.setdefault(name, []).append(other)
    elif kind == "rename":
        state[other] = state.pop(name)
    elif kind == "forget":
        del state[name]


def expected(items: list[Operation], count: int, start: State | None = None) -> State:
    """What is there after the first ``count`` operations."""
    state: State = {name: list(sources) for name, sources in (start or {}).items()}
    for item in items[:count]:
        apply(state, item)
    return state


def found(gallery: Gallery) -> State:
    """What a gallery holds."""
    return {person.name: [r.source for r in gallery.records(person.name)] for person in gallery.people()}


def widen(connection: sqlite3.Connection) -> None:
    """Make of a gallery's tables those of a made-up next version: a column more, and every row written again."""
    for table in ("person", "template", "audit"):
        connection.execute(f"ALTER TABLE {table} ADD COLUMN note TEXT")
        connection.execute(f"UPDATE {table} SET note = 'made by a migration'")


NEXT = dataclasses.replace(GALLERY, schema=GALLERY.schema + 1, steps={GALLERY.schema: widen})


def open_gallery(folder: Path) -> Gallery:
    """The gallery; where the workload began with one, this is a program of the made-up next version."""
    places = folder / "state/gallery.db", folder / "conf/device.key"
    try:
        file.GALLERY = NEXT if (folder / "start").is_file() else GALLERY
        return Gallery.open(*places, "e" * 64, "p" * 64, SIZE, "workload")
    finally:
        file.GALLERY = GALLERY


def perform(gallery: Gallery, operation: Operation, number: int) -> None:
    kind, name, other = operation
    if kind == "add":
        code = np.random.default_rng(number).normal(size=SIZE).astype(np.float32)
        gallery.add(name, code / np.linalg.norm(code), 1.0, other)
    elif kind == "rename":
        gallery.rename(name, other)
    elif kind == "note":
        gallery.note(name, other)
    elif kind == "forget":
        gallery.forget(name)
    else:
        gallery.rekey()


def main() -> None:
    folder, seed, first, count = Path(sys.argv[1]), *map(int, sys.argv[2:5])
    start: State = {}
    if (folder / "start").is_file():
        for line in (folder / "start").read_text().splitlines():
            name, *sources = line.split("\t")
            start[name] = sources
    items = operations(seed, first + count, start)
    with open_gallery(folder) as gallery:
        os.write(1, b"open\n")
        for number in range(first, first + count):
            perform(gallery, items[number], number)
            os.write(1, f"{number}\n".encode())


if __name__ == "__main__":
    main()
