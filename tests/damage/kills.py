"""Processes killed in the middle of changes; what they had acknowledged must be there."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np

from edge_runtime.events.log import EventLog
from edge_runtime.events.reader import EventReader
from edge_runtime.events.store import EventStore
from edge_runtime.gallery.directory import Directory
from edge_runtime.gallery.repair import repair
from edge_runtime.gallery.store import Gallery
from edge_runtime.storage.keys import KeySource
from edge_runtime.types import Floats
from edge_runtime.unknowns.book import UnknownsBook
from tests.builders import make_event
from tests.damage.child import killed
from tests.edge_runtime.unknowns.made import ALIKE, CONFIG, KEY, KIND, sighting
from tests.gallery_workload import Operation, State, apply, found, open_gallery, operations, perform

NOBODY = Directory()
SEED = 11
BATCH = 400
"""Changes in one folder; then a new one is begun."""


class Counts(Counter[str]):
    """What happened; ``problems`` must stay empty."""

    def __init__(self) -> None:
        super().__init__()
        self.problems: list[str] = []

    def wrong(self, kind: str, told: str) -> None:
        self[kind] += 1
        self.problems.append(f"{kind}: {told}")


def numbers(said: bytes) -> list[int]:
    return [int(line) for line in said.split(b"\n")[:-1] if line.isdigit()]


def sound(path: Path, counts: Counts) -> None:
    with closing(sqlite3.connect(path)) as connection:
        if connection.execute("PRAGMA integrity_check").fetchone() != ("ok",):
            counts.wrong("damaged file", str(path))


def kill(counts: Counts, what: str, work: Callable[[int], None], rng: np.random.Generator) -> bytes:
    said = killed(work, int(rng.integers(0, 6)), float(rng.exponential(0.01)))
    counts[f"kills: {what}"] += 1
    if b"failed" in said:
        counts.wrong("traceback", f"{what}: {said[-200:]!r}")
    return said


def gallery(folder: Path, kills: int, rng: np.random.Generator, counts: Counts) -> None:
    """Enrolments, renames, notes, forgettings and rekeys."""
    done, round_number, state = 0, 0, State()
    items: list[Operation] = []
    for number in range(kills):
        if not items or done >= BATCH:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            done, round_number, state = 0, round_number + 1, {}
            items = operations(SEED + round_number, 2 * BATCH)
        first = done

        def work(pipe: int, first: int = first, items: list[Operation] = items) -> None:
            with open_gallery(folder) as opened:
                for at in range(first, len(items)):
                    perform(opened, items[at], at)
                    os.write(pipe, f"{at}\n".encode())

        acknowledged = numbers(kill(counts, "gallery", work, rng))
        for at in range(first, max(acknowledged, default=first - 1) + 1):
            apply(state, items[at])
        done = max(acknowledged, default=first - 1) + 1
        counts["changes acknowledged"] += len(acknowledged)
        later = {name: list(sources) for name, sources in state.items()}
        apply(later, items[done])
        try:
            with open_gallery(folder) as opened:
                there = found(opened)
                if opened.damage() or len(opened.templates().ids) != sum(map(len, there.values())):
                    counts.wrong("damaged file", f"gallery kill {number}: {opened.damage()}")
        except Exception as error:
            counts.wrong("unusable", f"gallery kill {number}: {error}")
            continue
        sound(folder / "state/gallery.db", counts)
        if there == later != state:
            state, done = later, done + 1  # what was under way
        elif there != state:
            lost = {name: sources for name, sources in state.items() if there.get(name) != sources}
            counts.wrong("lost acknowledged", f"gallery kill {number}: {lost or there.keys() - state.keys()}")
            state = there


def events(folder: Path, kills: int, rng: np.random.Generator, counts: Counts) -> None:
    """The daemon's log, written to without a pause and flushed now and then."""
    stored = 0
    for number in range(kills):
        if number % 40 == 0:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            stored = 0
        path, first = folder / "events.db", stored

        def work(pipe: int, path: Path = path, first: int = first) -> None:
            said: list[str] = []
            log = EventLog(path, NOBODY, 30.0, 100.0, lambda reason: None, said.append)
            for at in range(first, first + 100_000):
                log.append(make_event(at))
                if at % 7 == 0 and log.flush(60.0):
                    os.write(pipe, f"{at + 1}\n".encode())

        acknowledged = numbers(kill(counts, "log of events", work, rng))
        counts["changes acknowledged"] += max(max(acknowledged, default=first) - first, 0)
        stored = max([stored, *acknowledged])
        if not path.exists():
            continue
        try:
            EventStore(path).close()  # as the next start does
            with EventReader(path) as reader:
                there = [(record.event_id, record.event(NOBODY)) for record in reader.after(0, 10**6)]
        except Exception as error:
            counts.wrong("unusable", f"log kill {number}: {error}")
            continue
        sound(path, counts)
        if any(event is None or event.captured_s != event_id - 1 for event_id, event in there):
            counts.wrong("wrong answer", f"log kill {number}")
        if [event_id for event_id, _ in there] != list(range(1, len(there) + 1)) or len(there) < stored:
            counts.wrong("lost acknowledged", f"log kill {number}: {len(there)} of {stored}")
        stored = len(there)
        if any(path.parent.glob("*.aside-*")):
            counts.wrong("unusable", f"log kill {number}: set aside")


def visitor(number: int) -> Floats:
    """A direction of its own for each visitor, none near another."""
    made = np.zeros(KIND.embedding_size, np.float32)
    made[number % 16] = 1.0 if number % 32 < 16 else -1.0
    return made


def unknowns(folder: Path, kills: int, rng: np.random.Generator, counts: Counts) -> None:
    """Visitors remembered and forgotten, written after each."""
    here: dict[str, float] = {}
    gone: set[str] = set()
    at = 0
    for number in range(kills):
        if number % 40 == 0:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            here, gone, at = {}, set(), 0
        path, first = folder / "strangers.db", at

        def work(pipe: int, path: Path = path, first: int = first) -> None:
            with UnknownsBook(path, KEY, CONFIG, KIND, ALIKE) as book:
                for step in range(first, first + 100_000):
                    known = book.strangers()
                    if len(known) >= 20:
                        oldest = min((one.first_s, one.stranger_id) for one in known)[1]
                        os.write(pipe, f"forgetting {oldest} 0\n".encode())
                        book.forget([oldest])
                        os.write(pipe, f"forgot {oldest} 0\n".encode())
                    seen = book.remember(sighting(visitor(step), 1000.0 * step, crop=b"jpeg %d" % step))
                    book.write()
                    assert seen is not None
                    os.write(pipe, f"seen {seen.stranger_id} {step}\n".encode())

        lines = [line.decode().split() for line in kill(counts, "strangers", work, rng).split(b"\n")[:-1]]
        maybe: set[str] = set()
        for verb, stranger, step in (line for line in lines if len(line) == 3):
            counts["changes acknowledged"] += verb != "forgetting"
            at = max(at, int(step) + 1)
            if verb == "seen":
                here[stranger] = float(step)
            elif verb == "forgetting":
                maybe = {stranger}
            else:
                here.pop(stranger, None)
                gone.add(stranger)
        if not path.exists():
            continue
        try:
            with UnknownsBook(path, KEY, CONFIG, KIND, ALIKE) as book:
                there = {one.stranger_id: one.last_s for one in book.strangers()}
                if book.damage:
                    counts.wrong("damaged file", book.damage)
        except Exception as error:
            counts.wrong("unusable", f"strangers kill {number}: {error}")
            continue
        sound(path, counts)
        if missing := here.keys() - there.keys() - maybe:
            counts.wrong("lost acknowledged", f"strangers kill {number}: {len(missing)}")
        if back := gone & there.keys():
            counts.wrong("lost acknowledged", f"strangers kill {number}: {len(back)} forgotten are back")
        here = {stranger: here.get(stranger, 0.0) for stranger in there}


def repairs(folder: Path, kills: int, rng: np.random.Generator, counts: Counts) -> None:
    """``familiar repair`` of a gallery with one damaged photo: every other one must be there in the end."""
    shutil.rmtree(folder, ignore_errors=True)
    model = folder / "model"
    with open_gallery(model) as opened:
        for number in range(60):
            perform(opened, ("add", f"Person {number % 5}", f"{number}.jpg"), number)
    with closing(sqlite3.connect(model / "state/gallery.db")) as connection:
        connection.execute("UPDATE template SET code = x'00' WHERE id = 31")
        connection.commit()
    wanted = {f"{number}.jpg" for number in range(60)} - {"30.jpg"}
    for number in range(kills):
        home = folder / "home"
        shutil.rmtree(home, ignore_errors=True)
        shutil.copytree(model, home)
        path, source = home / "state/gallery.db", KeySource.of(home / "conf/device.key")

        def work(pipe: int, path: Path = path, source: KeySource = source) -> None:
            os.write(pipe, b"begin\n")
            repair(path, source)

        said = killed(work, 1, float(rng.uniform(0.0, 0.04)))
        counts["kills: repair"] += 1
        if b"failed" in said:
            counts.wrong("traceback", f"repair {number}: {said!r}")
        try:
            repair(path, source)
            with Gallery.open_existing(path, source) as opened:
                there = {source for sources in found(opened).values() for source in sources}
                if there != wanted or opened.damage():
                    counts.wrong("lost acknowledged", f"repair {number}: {wanted - there}")
        except Exception as error:
            counts.wrong("unusable", f"repair {number}: {error}")
