"""Enrolments, renames, notes, merges, forgets and rekeys, one after the other, each acknowledged on standard output.

    python -m tests.gallery_workload FOLDER SEED FIRST COUNT

does the operations FIRST to FIRST + COUNT - 1 of the seed's; ``expected`` says what a gallery holds after any number.
"""

from __future__ import annotations

import dataclasses
import os
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import numpy as np

from edge_runtime.gallery import file
from edge_runtime.gallery.store import Gallery
from edge_runtime.gallery.tables import GALLERY

SIZE = 16
Operation = tuple[str, str, str]
State = dict[str, list[str]]
"""Sources by name; somebody merged is called as :func:`merged` says."""
_KINDS = {"add": 0.52, "rename": 0.12, "note": 0.06, "merge": 0.09, "unmerge": 0.07, "forget": 0.1, "rekey": 0.04}
_INTO = " as a part of "


def merged(name: str, into: str) -> str:
    """What a state calls somebody who was merged into another."""
    return f"{name}{_INTO}{into}"


def parts(state: State, into: str) -> dict[str, str]:
    """Those merged into somebody, by what the state calls them: their names."""
    called = {key: key.partition(_INTO) for key in state}
    return {key: name for key, (name, is_part, whose) in called.items() if is_part and whose == into}


def with_parts(state: State, name: str) -> list[str]:
    """What the state calls somebody, everybody merged into them, and into these in turn."""
    below = [one for key, part in parts(state, name).items() for one in (key, *with_parts(state, part)[1:])]
    return [name, *below]


def operations(seed: int, count: int, start: State | None = None) -> list[Operation]:
    """What to do, (kind, name, other name or source) each; about half are enrolments."""
    rng = np.random.default_rng(seed)
    state: State = {name: list(sources) for name, sources in (start or {}).items()}
    done: list[Operation] = []
    for number in range(count):
        kind = rng.choice(list(_KINDS), p=list(_KINDS.values()))
        names = sorted(key for key in state if _INTO not in key)
        away = sorted(key for key in state if _INTO in key)
        name = str(rng.choice(names)) if names else ""
        if kind == "merge" and len(names) > 1:
            item = ("merge", name, str(rng.choice([one for one in names if one != name])))
        elif kind == "unmerge" and away:
            one, _, into = str(rng.choice(away)).partition(_INTO)
            item = ("unmerge", one, into)
        elif kind in ("add", "merge", "unmerge") or not names:
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
        for key, part in parts(state, name).items():
            state[merged(part, other)] = state.pop(key)
        state[other] = state.pop(name)
    elif kind == "merge":
        state[merged(name, other)] = state.pop(name)
    elif kind == "unmerge":
        state[name] = state.pop(merged(name, other))
    elif kind == "forget":
        for key in with_parts(state, name):
            del state[key]


def expected(items: list[Operation], count: int, start: State | None = None) -> State:
    """What is there after the first ``count`` operations."""
    state: State = {name: list(sources) for name, sources in (start or {}).items()}
    for item in items[:count]:
        apply(state, item)
    return state


def found(gallery: Gallery) -> State:
    """What a gallery holds."""
    into = dict(gallery.merges())
    with gallery.apart():
        people = {person.name: [r.source for r in gallery.records(person.name)] for person in gallery.people()}
    return {merged(name, into[name]) if name in into else name: sources for name, sources in people.items()}


def make_older(path: Path) -> None:
    """Make of a closed gallery without merges one as the version before there were any wrote it."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TABLE merged")
        connection.execute("PRAGMA user_version = 5")
        connection.commit()


def widen(connection: sqlite3.Connection) -> None:
    """Make of a gallery's tables those of a made-up next version: a column more, and every row written again."""
    for table in ("person", "template", "audit"):
        connection.execute(f"ALTER TABLE {table} ADD COLUMN note TEXT")
        connection.execute(f"UPDATE {table} SET note = 'made by a migration'")


NEXT = dataclasses.replace(GALLERY, schema=GALLERY.schema + 1, steps={**GALLERY.steps, GALLERY.schema: widen})


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
    elif kind == "merge":
        gallery.merge(name, other)
    elif kind == "unmerge":
        gallery.unmerge(name)
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
