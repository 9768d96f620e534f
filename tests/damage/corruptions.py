"""Databases spoilt in every way a memory card knows; what is answered is right, and what is good is saved."""

from __future__ import annotations

import json
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from edge_runtime.errors import DamagedGalleryError, FamiliarError
from edge_runtime.events.database import LOG
from edge_runtime.events.delivery import Delivery
from edge_runtime.events.log import EventLog
from edge_runtime.events.reader import EventReader
from edge_runtime.events.repair import repair as repair_events
from edge_runtime.events.store import EventStore, Position
from edge_runtime.gallery.directory import Directory
from edge_runtime.gallery.repair import repair as repair_gallery
from edge_runtime.gallery.store import Gallery
from edge_runtime.gallery.tables import GALLERY
from edge_runtime.storage.database import Description
from edge_runtime.storage.keys import KeySource
from edge_runtime.storage.salvage import _layouts, _Pages, _row_of
from edge_runtime.types import Event
from edge_runtime.unknowns.book import UnknownsBook
from edge_runtime.unknowns.file import UNKNOWNS
from edge_runtime.unknowns.repair import repair as repair_unknowns
from tests.builders import make_event
from tests.damage.child import judged
from tests.damage.kills import Counts, visitor
from tests.edge_runtime.unknowns.made import ALIKE, CONFIG, KEY, KIND, sighting

NOBODY = Directory()
SIZE = 32
PAGE = 4096
WAIT_S = 20.0
NAMES = ("Anna", "Bob", "Cleo", "Dora", "Emil", "Fay")


@dataclass(frozen=True)
class Model:
    """A database as it was written.

    Attributes:
        kind: ``gallery``, ``events`` or ``strangers``.
        folder: with it and its key.
        data: of its file.
        rows: the pages that each row is on, by table and its first column.
        truth: what it must answer, JSON-ready, by table and first column.
    """

    kind: str
    folder: Path
    data: bytes
    rows: dict[tuple[str, Any], frozenset[int]]
    truth: dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Case:
    """One spoilt database.

    Attributes:
        model: it was made of.
        how: in a few words.
        data: of the file.
        untouched: rows of which no byte was changed, and that can be found without those that were.
    """

    model: Model
    how: str
    data: bytes
    untouched: frozenset[tuple[str, Any]] = field(default_factory=frozenset)


FILES: dict[str, tuple[str, Description]] = {
    "gallery": ("state/gallery.db", GALLERY),
    "events": ("state/events.db", LOG),
    "strangers": ("state/strangers.db", UNKNOWNS),
}


def cases(folder: Path, count: int, rng: np.random.Generator) -> Iterator[Case]:
    """As many spoilt databases as are wanted, a third of each kind."""
    models = [_gallery(folder / "gallery"), _events(folder / "events"), _strangers(folder / "strangers")]
    ways = (_flipped, _flipped, _cut, _swapped, _copied, _blanked, _noisy, _row)
    for number in range(count):
        model = models[number % len(models)]
        yield ways[int(rng.integers(len(ways)))](model, folder, rng)


def judge(case: Case, folder: Path, counts: Counts) -> None:
    """Open it, ask everything, repair it, ask again; count what is not as it should be."""
    counts[f"corruptions: {case.model.kind}"] += 1
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(case.model.folder, folder)
    (folder / FILES[case.model.kind][0]).write_bytes(case.data)
    for step in (_ask, _repair, _ask_repaired):
        said = judged(lambda step=step: step(case, folder))  # type: ignore[misc]
        kind, _, told = said.partition(": ")
        if kind == "count":
            for name, number in json.loads(told).items():
                counts[name] += number
        elif kind:
            counts.wrong(kind, f"{case.model.kind}, {case.how}, {step.__name__}: {told[-600:]}")


ASK: dict[str, Callable[[Path], tuple[dict[str, dict[str, Any]], bool]]] = {}
"""What each kind answers: by table and first column, and whether it says that something is damaged."""


def _ask(case: Case, folder: Path) -> str:
    """Before the repair nothing wrong may be answered, and what is missing must be said."""
    try:
        found, told = ASK[case.model.kind](folder)
    except FamiliarError as error:
        return f"unsaid: {error}" if "\n" in str(error) else 'count: {"refused at first": 1}'
    if wrong := _wrong(case, found):
        return f"wrong answer: {wrong}"
    missing = _missing(
        case, found, frozenset((table, key) for table in case.model.truth for key in case.model.truth[table])
    )
    if missing and not told:
        return f"unsaid: {sorted(missing)[:5]} are missing, and nothing says so"
    return 'count: {"answered with some rows passed over": 1}' if missing else 'count: {"answered whole": 1}'


def _repair(case: Case, folder: Path) -> str:
    path = folder / FILES[case.model.kind][0]
    try:
        if case.model.kind == "gallery":
            repair_gallery(path, KeySource.of(folder / "conf/device.key"))
        elif case.model.kind == "events":
            repair_events(path, NOBODY)
        else:
            repair_unknowns(path, KEY)
    except DamagedGalleryError:
        key = ("meta", 1), ("meta_copy", 1)
        return "lost acknowledged: no first row" if case.untouched & set(key) else 'count: {"beyond repair": 1}'
    except FamiliarError as error:
        return f"unusable: {error}"
    return ""


def _ask_repaired(case: Case, folder: Path) -> str:
    """After the repair it is sound, nothing is wrong, and every row that nothing has touched is there."""
    path = folder / FILES[case.model.kind][0]
    try:
        found, told = ASK[case.model.kind](folder)
    except DamagedGalleryError:
        return ""  # beyond repair, which was counted
    except FamiliarError as error:
        return f"unusable: {error}"
    if told:
        return "unusable: still damaged after the repair"
    if path.exists():
        with closing(sqlite3.connect(path)) as connection:
            if connection.execute("PRAGMA integrity_check").fetchone() != ("ok",):
                return "damaged file: after the repair"
    if wrong := _wrong(case, found):
        return f"wrong answer: {wrong}"
    if missing := _missing(case, found, case.untouched):
        return f"lost acknowledged: {sorted(map(str, missing))[:5]}"
    kept = sum(len(rows) for rows in found.values())
    all_rows = sum(len(rows) for rows in case.model.truth.values())
    return "count: " + json.dumps({"rows saved": kept, "rows damaged": all_rows - kept})


def _wrong(case: Case, found: dict[str, dict[str, Any]]) -> str:
    """An answer that is not what was written; a value that is said to be unreadable is none."""
    for table, rows in found.items():
        for key, row in rows.items():
            wanted = case.model.truth[table].get(key)
            if wanted is None:
                return f"{table} {key} was never there"
            for name, value in row.items():
                if value is not None and value != wanted[name]:
                    return f"{table} {key}: {name} is {value!r}, was {wanted[name]!r}"
    return ""


def _missing(case: Case, found: dict[str, dict[str, Any]], wanted: frozenset[tuple[str, Any]]) -> set[tuple[str, Any]]:
    asked = {(table, key) for table, key in wanted if table in case.model.truth}
    there = {(table, key) for table, rows in found.items() for key in rows}
    whole = asked - there
    if case.model.kind == "gallery":  # a photo without its person, whose row was touched, is nobody's
        people = {key for table, key in there if table == "person"}
        whole -= {("template", key) for key, row in case.model.truth["template"].items() if row["person"] not in people}
        links = {key: {key, row["into"]} for key, row in case.model.truth["merged"].items()}
        whole -= {("merged", key) for key, both in links.items() if not both <= people}
    if case.model.kind == "strangers":  # one without a sound view is nobody either, and the other way round
        views = case.model.truth["view"]
        seen = {views[key]["stranger"] for table, key in there if table == "view"}
        good = {key for table, key in there if table == "stranger"}
        whole -= {("stranger", key) for key in case.model.truth["stranger"] if key not in seen}
        whole -= {("view", key) for key, row in views.items() if row["stranger"] not in good}
    return whole


# The models, and what they are asked.


def _model(kind: str, folder: Path, ask: Callable[[Path], tuple[dict[str, dict[str, Any]], bool]]) -> Model:
    name, description = FILES[kind]
    ASK[kind] = ask
    path = folder / name
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    data = path.read_bytes()
    rows = pages_of_rows(path, description)
    truth, told = ask(folder)
    assert not told and all(truth.values()), (kind, told)
    assert path.read_bytes() == data or kind == "events"
    path.write_bytes(data)
    return Model(kind, folder, data, rows, truth)


def _gallery(folder: Path) -> Model:
    rng = np.random.default_rng(5)
    path, key = folder / "state/gallery.db", folder / "conf/device.key"
    with Gallery.open(path, key, "e" * 64, "p" * 64, SIZE, "model") as gallery:
        for number in range(90):
            made = rng.normal(size=SIZE).astype(np.float32)
            name = NAMES[number % len(NAMES)]
            crop = rng.bytes(int(rng.integers(100, 900))) if number % 3 == 0 else None
            forced = "blurred" if number % 7 == 0 else None
            made /= np.linalg.norm(made)
            gallery.add(name, made, 1.0 + number % 4, f"{number}.jpg", rng.bytes(32), forced, crop)
        gallery.note("Anna", "until the move", 4e9)
        gallery.note("Bob", "yes")
        gallery.add("Gone", made, 1.0, "gone.jpg")
        gallery.forget("Gone")
        gallery.merge(NAMES[1], NAMES[2])
    return _model("gallery", folder, _ask_gallery)


def _ask_gallery(folder: Path) -> tuple[dict[str, dict[str, Any]], bool]:
    with Gallery.open_existing(folder / "state/gallery.db", folder / "conf/device.key") as gallery:
        damage = gallery.damage()
        merged = {part: {"into": into} for part, into in gallery.directory().merged.items()}
        templates = gallery.templates()
        vectors = dict(zip(templates.ids.tolist(), templates.embeddings, strict=True))
        people, photos = {}, {}
        with gallery.apart():
            directory = gallery.directory()
            for person in gallery.people():
                people[person.person_id] = {
                    "name": person.name,
                    "consent": person.consent or None,
                    "expires": person.expires,
                    "added": person.added,
                }
                for record in gallery.records(person.name):
                    crop = gallery.crop(record.template_id)
                    photos[record.template_id] = {
                        "person": person.person_id,
                        "source": None if record.source == "(unreadable)" else record.source,
                        "weight": record.weight,
                        "forced": None if record.forced == "(unreadable)" else record.forced,
                        "added": record.added,
                        "crop": None if crop is None else crop[1].hex(),
                        "embedding": np.round(vectors[record.template_id], 4).tolist(),
                    }
        audit = {at_s: {"action": action, "person": person} for at_s, action, person in gallery.audit()}
        audit = {at_s: line for at_s, line in audit.items() if line["action"] != "repaired"}
        if set(directory.names.items()) != {(key, row["name"]) for key, row in people.items()}:
            raise AssertionError("the directory knows others")
    return {"person": people, "template": photos, "audit": audit, "merged": merged}, bool(damage)


def _events(folder: Path) -> Model:
    path = folder / "state/events.db"
    path.parent.mkdir(parents=True)
    rng = np.random.default_rng(6)
    with EventStore(path) as store:
        events = [
            (make_event(n, track_id=f"door-{n // 3}", score=float(rng.random()), quality={"face_px": float(n)}), NOBODY)
            for n in range(400)
        ]
        store.commit(events, frozenset(), (5.0, 6.0), {"listener": Position(0)}, 3, clean=True)
    return _model("events", folder, _ask_events)


class _Listener:
    """A sink that keeps what it gets."""

    lasting = True
    pictures = False
    refused = 0

    def __init__(self) -> None:
        self.events: list[Event] = []

    def emit(self, event: Event) -> None:
        self.events.append(event)

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass


def _ask_events(folder: Path) -> tuple[dict[str, dict[str, Any]], bool]:
    """Through the daemon's log with a sink that has had nothing yet, and through what people read."""
    path, listener, told = folder / "state/events.db", _Listener(), []
    log = EventLog(path, NOBODY, 3000.0, 100.0, lambda reason: None, told.append, told.append)
    delivery: Delivery = log.attach("listener", listener, lambda delivery, error: None, (0.01, 0.05))
    log.append(make_event(9000, camera="last"))
    until = time.monotonic() + WAIT_S
    while not any(event.camera == "last" for event in listener.events):
        if time.monotonic() > until:
            raise AssertionError(f"blocked sink: {delivery.error}")
        time.sleep(0.005)
    log.drain(WAIT_S)
    with EventReader(path) as reader:
        read = [event for record in reader.after(0, 10**6) if (event := record.event(NOBODY)) is not None]
        damaged = reader.damaged
    heard = {event.event_id: event for event in listener.events}
    if any(heard.get(event.event_id, event) != event for event in read):
        raise AssertionError("a sink heard something else than people read")
    found = {event.event_id: event.as_json() for event in read if event.camera != "last"}
    return {"event": found}, bool(damaged or any(line for line in told))


def _strangers(folder: Path) -> Model:
    path = folder / "state/strangers.db"
    path.parent.mkdir(parents=True)
    with UnknownsBook(path, KEY, CONFIG, KIND, ALIKE) as book:
        for number in range(30):
            for visit in range(3):
                start_s = 10_000.0 * visit + number
                book.remember(sighting(visitor(number), start_s, 1.0 + visit, b"jpeg %d %d" % (number, visit) * 30))
    return _model("strangers", folder, _ask_strangers)


def _ask_strangers(folder: Path) -> tuple[dict[str, dict[str, Any]], bool]:
    with UnknownsBook(folder / "state/strangers.db", KEY, CONFIG, KIND, ALIKE) as book:
        people, views = {}, {}
        for one in book.strangers():
            crops = book.crops(one.stranger_id)
            people[one.stranger_id] = {
                "visits": one.visits,
                "first": one.first_s,
                "last": one.last_s,
                "cameras": list(one.cameras),
                "ignored": one.ignored,
            }
            for view in one.views:
                crop = crops.get(view.view_id)
                views[view.view_id] = {
                    "stranger": one.stranger_id,
                    "at": view.at_s,
                    "weight": view.weight,
                    "embedding": view.embedding.tolist(),
                    "crop": None if crop is None else crop.hex(),
                }
        return {"stranger": people, "view": views}, book.damage is not None


class _Tracing(_Pages):
    """Pages that remember which of them were looked at."""

    def __init__(self, path: Path) -> None:
        self.seen: set[int] = set()
        super().__init__(path)

    def page(self, number: int) -> bytes:
        self.seen.add(number)
        return super().page(number)


def pages_of_rows(path: Path, description: Description) -> dict[tuple[str, Any], frozenset[int]]:
    """The pages that each row is on, by table and key."""
    layouts = _layouts(description)
    pages = _Tracing(path)
    found = {}
    for number in range(1, pages.count + 1):
        page, start = pages.page(number), 100 if number == 1 else 0
        for at in pages._cells(page, start):
            pages.seen = {number}
            record = pages._record(page, at, {len(columns) for columns in layouts.values()})
            for table, row in _row_of(layouts, *record) if record is not None else ():
                found[table, row[_key(table, list(row))]] = frozenset(pages.seen)
    return found


def _key(table: str, columns: list[str]) -> str:
    """The column that a row is known by: its first, but that of a line of the audit, which nobody is shown."""
    return "at_s" if table == "audit" else columns[0]


# The ways to spoil one.


def _pages(model: Model) -> int:
    return len(model.data) // PAGE


def _case(model: Model, how: str, data: bytes, touched: set[int]) -> Case:
    untouched = frozenset(row for row, pages in model.rows.items() if not pages & touched)
    return Case(model, how, data, untouched)


def _flipped(model: Model, folder: Path, rng: np.random.Generator) -> Case:
    data = bytearray(model.data)
    places = rng.integers(0, len(data), int(rng.integers(1, 9)))
    if rng.random() < 0.25:  # the first page is what makes a file a database
        places[0] = rng.integers(0, PAGE)
    for at in places:
        data[at] ^= 1 << int(rng.integers(8))
    return _case(model, f"flipped bits at {places.tolist()}", bytes(data), {int(at) // PAGE + 1 for at in places})


def _cut(model: Model, folder: Path, rng: np.random.Generator) -> Case:
    at = int(rng.integers(1, len(model.data)))
    return _case(model, f"cut at {at}", model.data[:at], set(range(at // PAGE + 1, _pages(model) + 1)))


def _two(model: Model, rng: np.random.Generator) -> tuple[int, int]:
    one, two = rng.choice(_pages(model), 2, replace=False)
    return int(one), int(two)


def _swapped(model: Model, folder: Path, rng: np.random.Generator) -> Case:
    one, two = _two(model, rng)
    data = bytearray(model.data)
    first, second = slice(one * PAGE, (one + 1) * PAGE), slice(two * PAGE, (two + 1) * PAGE)
    data[first], data[second] = data[second], data[first]
    return _case(model, f"swapped pages {one + 1} and {two + 1}", bytes(data), {one + 1, two + 1})


def _copied(model: Model, folder: Path, rng: np.random.Generator) -> Case:
    one, two = _two(model, rng)
    data = bytearray(model.data)
    data[two * PAGE : (two + 1) * PAGE] = data[one * PAGE : (one + 1) * PAGE]
    return _case(model, f"page {one + 1} over page {two + 1}", bytes(data), {two + 1})


def _blanked(model: Model, folder: Path, rng: np.random.Generator) -> Case:
    page, value = int(rng.integers(_pages(model))), bytes([int(rng.choice([0, 255]))])
    data = bytearray(model.data)
    data[page * PAGE : (page + 1) * PAGE] = value * PAGE
    return _case(model, f"page {page + 1} all {value.hex()}", bytes(data), {page + 1})


def _noisy(model: Model, folder: Path, rng: np.random.Generator) -> Case:
    at, length = int(rng.integers(len(model.data))), int(rng.integers(16, 2048))
    data = bytearray(model.data)
    end = min(at + length, len(data))
    data[at:end] = rng.bytes(end - at)
    return _case(model, f"noise from {at} to {end}", bytes(data), set(range(at // PAGE + 1, (end - 1) // PAGE + 2)))


def _row(model: Model, folder: Path, rng: np.random.Generator) -> Case:
    """A value of one row replaced by a random one, or by another row's: the file itself stays sound."""
    path = folder / "row.db"
    path.write_bytes(model.data)
    with closing(sqlite3.connect(path)) as connection:
        tables = sorted({table for table, _ in model.rows})
        table = str(rng.choice(tables))
        columns = connection.execute(f"PRAGMA table_info({table})").fetchall()
        _, column, kind, *_ = columns[int(rng.integers(1, len(columns)))]
        name = _key(table, [found[1] for found in columns])
        keys = [row[0] for row in connection.execute(f"SELECT {name} FROM {table}").fetchall()]
        key, other = (keys[int(rng.integers(len(keys)))] for _ in range(2))
        (value,) = connection.execute(f"SELECT {column} FROM {table} WHERE {name} = ?", (other,)).fetchone()
        if rng.random() < 0.6:
            drawn = {
                "BLOB": rng.bytes(int(rng.integers(0, 99))),
                "TEXT": rng.bytes(8).hex(),
                "REAL": float(rng.normal() * 10.0 ** int(rng.integers(0, 300))),
                "INTEGER": int(rng.integers(-(2**62), 2**62)),
            }
            value = drawn[kind]
        connection.execute("PRAGMA foreign_keys = OFF")
        with suppress(sqlite3.IntegrityError):
            connection.execute(f"UPDATE {table} SET {column} = ? WHERE {name} = ?", (value, key))
        connection.commit()
    data = path.read_bytes()
    untouched = frozenset(row for row in model.rows if row != (table, key))
    return Case(model, f"{table}.{column} of {key!r} replaced", data, untouched)
