"""A damaged gallery made whole again of all its rows that are good."""

from __future__ import annotations

import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any

from edge_runtime.errors import DamagedGalleryError, GalleryError
from edge_runtime.gallery.faults import explained
from edge_runtime.gallery.file import open_meta
from edge_runtime.gallery.rows import UNREADABLE, Known, Rows, meta_row, put_meta
from edge_runtime.gallery.store import Gallery
from edge_runtime.gallery.tables import GALLERY, META
from edge_runtime.gallery.vault import Vault, added_place, negative_row
from edge_runtime.storage.database import BrokenError, Database, asides, replacing_database
from edge_runtime.storage.keys import KeySource
from edge_runtime.storage.salvage import Repaired, Row, Salvage, salvage

_FREE_NUMBERS = 1000
"""So many numbers of templates are left out, as some may have been given to templates that are lost."""


def repair(path: Path, source: KeySource) -> Repaired:
    """Make a gallery of the good rows of a damaged one, which is set aside; a sound one stays as it is.

    Nobody else may use it meanwhile.

    Raises:
        DamagedGalleryError: nothing can be saved.
        GalleryError: it is no gallery, the device key is another one, or it cannot be read or written.
    """
    fault = _fault(path, source)
    if fault is None:
        return Repaired(path)
    with explained(path):
        found = salvage(path, GALLERY)
        try:
            vault, meta = open_meta(path, source, [row for table in META for row in found.tables[table]])
        except DamagedGalleryError as error:
            raise DamagedGalleryError(
                f"{path}: expected a gallery of which something can be saved, found no row that opens the others; "
                "put a backup in its place, or move it away and enrol again"
            ) from error
        row = meta_row(vault, meta["preprocessing_hash"], meta["code_size"], meta["bundle_name"])
        with replacing_database(path) as draft:
            database = Database(draft, GALLERY, lambda connection: put_meta(connection, row))
            try:
                with database.writing() as connection:
                    filling = _Filling(connection, vault)
                    filling.fill(found)
            finally:
                database.close()
        aside = asides(path)[-1]
    Gallery.open_existing(path, source).close()  # who was forgotten stays so
    return Repaired(path, fault, filling.kept, filling.lost, tuple(filling.lines), aside)


def _fault(path: Path, source: KeySource) -> str | None:
    """What is wrong with a gallery, or with what damage made of one; None: nothing."""
    try:
        with Gallery.open_existing(path, source) as gallery:
            return gallery.check()
    except DamagedGalleryError as error:
        return str(error.__cause__ or "its own first rows are damaged")
    except GalleryError as error:
        # Damage may make it look like another database, or one of another version; what is in it tells.
        if isinstance(error.__cause__, BrokenError):
            return str(error.__cause__)
        raise


class _Filling:
    """Puts good rows into an empty gallery, and counts."""

    def __init__(self, connection: sqlite3.Connection, vault: Vault) -> None:
        self.kept: Counter[str] = Counter(people=0, photos=0)
        self.lost: Counter[str] = Counter()
        self.lines: list[str] = []
        self._connection, self._vault = connection, vault
        self._rows = Rows(connection, vault)
        self._people: dict[str, Known] = {}
        self._lost_of: Counter[str] = Counter()

    def fill(self, found: Salvage) -> None:
        for row in found.tables["person"]:
            self._take_person(row)
        seen = {row["id"] for row in found.tables["person"]} | {row["person_id"] for row in found.tables["template"]}
        self.lost["people"] = len(seen - self._people.keys())
        numbers: set[int] = set()
        for row in found.tables["template"]:
            if row["id"] not in numbers and self._take_template(row):
                numbers.add(row["id"])
        self.lost["photos"] = len({row["id"] for row in found.tables["template"]} - numbers)
        for row in found.tables.get("negative", []):
            self._take_negative(row)
        for row in found.tables.get("merged", []):
            self._take_merged(row)
        for row in sorted(found.tables["audit"], key=lambda line: line["id"]):
            if self._rows.is_sound(row):
                self._connection.execute(
                    "INSERT OR IGNORE INTO audit (id, at_s, action, person_id, mac) VALUES (:id, :at_s, :action,"
                    " :person_id, :mac)",
                    row,
                )
            else:
                self.lost["values"] += 1
        self._connection.execute("UPDATE sqlite_sequence SET seq = seq + ?", (_FREE_NUMBERS,))
        self._rows.audit("repaired", "")
        for person_id, count in self._lost_of.items():
            self.lines.append(f"{self._people[person_id].name}: {count} photos are lost; enrol some again")

    def _take_person(self, row: Row) -> None:
        known = self._rows.open_person(row)
        if known is None or known.person_id in self._people:
            return
        self._people[known.person_id] = known
        values: dict[str, Any] = dict(row)
        key, person_id, lost = known.keys.key, known.person_id, []
        if self._vault.read_dates(person_id, row["dates"]) is None:
            values["dates"] = self._vault.seal_dates(person_id, None, None)
            lost.append("when they are to be forgotten")
        if row["consent"] is not None and self._vault.read(key, row["consent"], "consent", person_id) is None:
            values["consent"] = None
            lost.append("what they agreed to")
        if lost:
            self.lost["values"] += len(lost)
            self.lines.append(f"{known.name}: {' and '.join(lost)} is lost; note it again with: familiar people note")
        self._connection.execute(
            "INSERT INTO person (id, sealed_key, name, dates, consent)"
            " VALUES (:id, :sealed_key, :name, :dates, :consent)",
            values,
        )
        self.kept["people"] += 1

    def _take_negative(self, row: Row) -> None:
        known = self._people.get(row["person_id"])
        place = negative_row(row["person_id"], row["id"])
        sealed = (("code", place), ("source", place), ("added", added_place(place, row["event_mac"])))
        if known is None or any(self._vault.read(known.keys.key, row[kind], kind, at) is None for kind, at in sealed):
            self.lost["values"] += 1
            return
        self._connection.execute(
            "INSERT OR IGNORE INTO negative (id, person_id, code, source, added, event_mac)"
            " VALUES (:id, :person_id, :code, :source, :added, :event_mac)",
            row,
        )

    def _take_merged(self, row: Row) -> None:
        known = self._people.get(row["person_id"])
        if known is None:
            return
        if self._vault.read(known.keys.key, row["into_id"], "merged", known.person_id) is None:
            self.lost["values"] += 1
            self.lines.append(f"{known.name}: whom they were merged into is lost; familiar people merge does it again")
            return
        self._connection.execute("INSERT OR IGNORE INTO merged (person_id, into_id) VALUES (:person_id, :into_id)", row)

    def _take_template(self, row: Row) -> bool:
        known = self._people.get(row["person_id"])
        if known is None:
            return False
        key, place, vault = known.keys.key, f"{row['person_id']}/{row['id']}", self._vault
        if self._rows.embedding(key, row) is None:
            self._lost_of[known.person_id] += 1
            return False
        values: dict[str, Any] = dict(row)
        for kind in ("source", "crop", "forced"):
            if row[kind] is not None and vault.read(key, row[kind], kind, place) is None:
                values[kind] = None if kind == "crop" else vault.seal(key, UNREADABLE.encode(), kind, place)
                self.lost["values"] += 1
        if vault.read_added(key, row["added"], place, row["photo_mac"]) is None:
            values |= {"photo_mac": None, "added": vault.seal_added(key, None, place, None)}
            self.lost["values"] += 1
        self._connection.execute(
            "INSERT INTO template (id, person_id, code, source, added, photo_mac, crop, forced)"
            " VALUES (:id, :person_id, :code, :source, :added, :photo_mac, :crop, :forced)",
            values,
        )
        self.kept["photos"] += 1
        return True
