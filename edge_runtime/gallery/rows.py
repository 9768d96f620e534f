"""The rows of a gallery's tables, opened and sealed; every call is inside a transaction of the caller's.

A row that does not open any more, as damage leaves it, is passed over: it costs its person or photo, nothing else.
"""

from __future__ import annotations

import secrets
import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from edge_runtime.errors import DamagedGalleryError
from edge_runtime.gallery.names import folded
from edge_runtime.gallery.tables import META
from edge_runtime.gallery.templates import Damage, Part, Person
from edge_runtime.gallery.vault import PersonKeys, Vault, negative_row
from edge_runtime.types import Floats

UNREADABLE = "(unreadable)"
"""Stands for a text that was damaged."""


@dataclass(frozen=True, slots=True)
class Known:
    """A person whose row opens.

    Attributes:
        row: of ``person``.
        folded: see ``names.folded``.
        into: id of whom they were merged into, or None.
        parts: those merged into them, and into these in turn; empty for somebody who is merged.
    """

    row: sqlite3.Row
    person_id: str
    keys: PersonKeys
    name: str
    folded: str
    into: str | None = None
    parts: tuple[Known, ...] = ()

    @property
    def whole(self) -> tuple[Known, ...]:
        """Themselves, and those merged into them."""
        return self, *self.parts


class Rows:
    """Reads and writes single rows.

    Attributes:
        vault: seals and opens their values; assigned when everything was sealed anew.
        apart: whether those who were merged are taken for people of their own.
    """

    def __init__(self, connection: sqlite3.Connection, vault: Vault) -> None:
        self.vault = vault
        self.apart = False
        self._connection = connection
        self._opened: dict[str, tuple[tuple[bytes, bytes], PersonKeys, str, str]] = {}
        """Keys, name and folded name of each person's row, and the sealed values that say them."""

    def forget_opened(self) -> None:
        """Keep nothing in memory that was opened."""
        self._opened.clear()

    def known(self) -> list[Known]:
        """Everybody whose row opens, in the order they were added; whoever was merged is a part of somebody."""
        rows = self._connection.execute("SELECT * FROM person ORDER BY rowid").fetchall()
        everybody = {row["id"]: known for row in rows if (known := self.open_person(row)) is not None}
        links = {} if self.apart else {one: into for one, into in self._links().items() if into in everybody}
        parts: dict[str, list[Known]] = {}
        for person_id in filter(links.__contains__, everybody):
            listed = links[person_id]
            while listed in links:
                listed = links[listed]
            parts.setdefault(listed, []).append(replace(everybody[person_id], into=links[person_id]))
        return [
            replace(known, parts=tuple(parts[person_id])) if person_id in parts else known
            for person_id, known in everybody.items()
            if person_id not in links
        ]

    def merge(self, known: Known, into_id: str) -> None:
        """Keep that somebody is the same person as another one; neither is merged, or has the other as a part."""
        self._connection.execute(
            "INSERT OR REPLACE INTO merged (person_id, into_id) VALUES (?, ?)",
            (known.person_id, self.vault.seal(known.keys.key, into_id.encode(), "merged", known.person_id)),
        )
        self.audit("merged", known.person_id)

    def unmerge(self, person_id: str) -> None:
        """Take that back."""
        self._connection.execute("DELETE FROM merged WHERE person_id = ?", (person_id,))
        self.audit("unmerged", person_id)

    def with_merged(self, person_id: str) -> list[str]:
        """A person's id, and those of everybody merged into them, and into these in turn."""
        links, found = self._links(), [person_id]
        for into_id in found:
            found += [one for one, into in links.items() if into == into_id and one not in found]
        return found

    def _links(self) -> dict[str, str]:
        """Whom people were merged into, by their ids; without links that do not open, or lead back to themselves."""
        found: dict[str, str] = {}
        rows = self._connection.execute(
            "SELECT person.*, merged.into_id FROM merged JOIN person ON person.id = merged.person_id"
        )
        for row in rows.fetchall():
            known = self.open_person(row)
            into = known and self.vault.read(known.keys.key, row["into_id"], "merged", row["id"])
            if not into:
                continue
            at: str | None = into.decode()
            while at is not None and at != row["id"]:
                at = found.get(at)
            if at is None:
                found[row["id"]] = into.decode()
        return found

    def open_person(self, row: sqlite3.Row | dict[str, Any]) -> Known | None:
        """A row of ``person``; None if key or name were damaged."""
        sealed = row["sealed_key"], row["name"]
        opened = self._opened.get(row["id"])
        if opened is None or opened[0] != sealed:
            try:
                keys = self.vault.open_keys(row["id"], row["sealed_key"])
                name = self.vault.open(keys.key, row["name"], "name", row["id"]).decode()
            except DamagedGalleryError:
                return None
            opened = self._opened[row["id"]] = sealed, keys, name, folded(name)
        return Known(row, row["id"], *opened[1:])  # type: ignore[arg-type]

    def expiries(self) -> dict[str, float]:
        """When people are to be forgotten, seconds since the Unix epoch, by id; without those who stay."""
        found = {}
        for row in self._connection.execute("SELECT id, dates FROM person").fetchall():
            dates = self.vault.read_dates(row["id"], row["dates"])
            if dates is not None and dates[1] is not None:
                found[row["id"]] = dates[1]
        return found

    def keys(self, person_id: str) -> PersonKeys:
        """A person's keys.

        Raises:
            DamagedGalleryError: they do not open any more.
        """
        row = self._connection.execute("SELECT sealed_key FROM person WHERE id = ?", (person_id,)).fetchone()
        return self.vault.open_keys(person_id, row["sealed_key"])

    def person(self, known: Known) -> Person:
        """Somebody, with their number of templates; a date or note that was damaged is left out."""
        parts = tuple(
            Part(one.person_id, one.name, self.count(one.person_id), self._expiry(one)) for one in known.parts
        )
        count = self.count(known.person_id) + sum(part.templates for part in parts)
        consent = self.vault.read(known.keys.key, known.row["consent"], "consent", known.person_id)
        added_s, expires_s = self.vault.read_dates(known.person_id, known.row["dates"]) or (None, None)
        return Person(known.person_id, known.name, count, added_s, (consent or b"").decode(), expires_s, parts)

    def _expiry(self, known: Known) -> float | None:
        return (self.vault.read_dates(known.person_id, known.row["dates"]) or (None, None))[1]

    def count(self, person_id: str) -> int:
        """How many templates a row of ``person`` has by itself."""
        found = self._connection.execute("SELECT count(*) FROM template WHERE person_id = ?", (person_id,))
        return int(found.fetchone()[0])

    def text(self, owner: Known, row: sqlite3.Row, kind: str) -> str | None:
        """A text of a row of ``template``: its ``source``, or why it was ``forced``."""
        if row[kind] is None:
            return None
        plain = self.vault.read(owner.keys.key, row[kind], kind, f"{row['person_id']}/{row['id']}")
        return UNREADABLE if plain is None else plain.decode()

    def added(self, owner: Known, row: sqlite3.Row) -> float | None:
        """When a row of ``template`` was added, seconds since the Unix epoch; None: that was damaged."""
        place = f"{row['person_id']}/{row['id']}"
        (added_s,) = self.vault.read_added(owner.keys.key, row["added"], place, row["photo_mac"]) or (None,)
        return added_s

    def templates(self, *owners: Known) -> list[tuple[Known, sqlite3.Row, float, Floats]]:
        """(owner, row, weight, embedding float32 (D,)) of people's templates that open, oldest first."""
        opened = [
            (owner, row, *found)
            for owner in owners
            for row in self._connection.execute("SELECT * FROM template WHERE person_id = ?", (owner.person_id,))
            if (found := self.embedding(owner.keys.key, row)) is not None
        ]
        return sorted(opened, key=lambda one: int(one[1]["id"]))

    def all_templates(self, people: Sequence[Known]) -> list[tuple[int, int, float, Floats]]:
        """(place in ``people``, template id, weight, embedding float32 (D,)) of all that open, person by person."""
        owners = {part.person_id: (place, part) for place, known in enumerate(people) for part in known.whole}
        found = []
        for row in self._connection.execute("SELECT id, person_id, code FROM template ORDER BY id").fetchall():
            place, owner = owners.get(row["person_id"], (-1, None))
            if owner is not None and (opened := self.embedding(owner.keys.key, row)) is not None:
                found.append((place, int(row["id"]), *opened))
        return sorted(found, key=lambda one: one[:2])

    def negatives(self, people: Sequence[Known]) -> dict[str, list[tuple[sqlite3.Row, str, float | None, Floats]]]:
        """(row, source, when added, embedding float32 (D,)) of the negatives that open, by person id, oldest first.

        Those of everybody merged into a person are the person's.
        """
        keys = {part.person_id: (known, part.keys.key) for known in people for part in known.whole}
        found: dict[str, list[tuple[sqlite3.Row, str, float | None, Floats]]] = {}
        for row in self._connection.execute("SELECT * FROM negative ORDER BY id").fetchall():
            if row["person_id"] not in keys:
                continue
            known, key = keys[row["person_id"]]
            place = negative_row(row["person_id"], row["id"])
            try:
                embedding = self.vault.open_embedding(key, row["code"], place)[1]
            except DamagedGalleryError:
                continue
            source = self.vault.read(key, row["source"], "source", place)
            (added_s,) = self.vault.read_added(key, row["added"], place, row["event_mac"]) or (None,)
            told = UNREADABLE if source is None else source.decode()
            found.setdefault(known.person_id, []).append((row, told, added_s, embedding))
        return found

    def embedding(self, key: bytes, row: sqlite3.Row | dict[str, Any]) -> tuple[float, Floats] | None:
        """(weight, embedding float32 (D,)) of a row of ``template``; None: damaged."""
        try:
            return self.vault.open_embedding(key, row["code"], f"{row['person_id']}/{row['id']}")
        except DamagedGalleryError:
            return None

    def find(self, name: str) -> Known | None:
        """The person of a name, or None; nobody who was merged."""
        wanted = folded(name)
        return next((known for known in self.known() if known.folded == wanted), None)

    def holder(self, name: str) -> tuple[Known, Known] | None:
        """Whose name it is, though they were merged, and who they are part of, which may be themselves; or None."""
        wanted = folded(name)
        return next(((part, one) for one in self.known() for part in one.whole if part.folded == wanted), None)

    def insert(self, name: str, person_id: str | None = None) -> str:
        """A new person, with a new id unless one is given; returns their id."""
        person_id, keys = person_id or secrets.token_hex(16), PersonKeys.new()
        self._connection.execute(
            "INSERT INTO person (id, sealed_key, name, dates) VALUES (?, ?, ?, ?)",
            (
                person_id,
                self.vault.seal_keys(person_id, keys),
                self.vault.seal(keys.key, name.encode(), "name", person_id),
                self.vault.seal_dates(person_id, time.time(), None),
            ),
        )
        self.audit("added", person_id)
        return person_id

    def delete(self, person_id: str, action: str) -> None:
        """Delete a person with everything of theirs; the audit keeps no name."""
        self._connection.execute("DELETE FROM person WHERE id = ?", (person_id,))
        self.audit(action, person_id)

    def photo(self, person_id: str, mac: bytes) -> int | None:
        """The id of the template made from a photo of this fingerprint, or None."""
        row = self._connection.execute(
            "SELECT id FROM template WHERE person_id = ? AND photo_mac = ?", (person_id, mac)
        ).fetchone()
        return None if row is None else int(row["id"])

    def audit(self, action: str, person_id: str) -> None:
        """Note what was done to whom."""
        (last,) = self._connection.execute("SELECT ifnull(max(id), 0) FROM audit").fetchone()
        self.put_audit(last + 1, time.time(), action, person_id)

    def put_audit(self, number: int, at_s: float, action: str, person_id: str) -> None:
        """Write a line of the audit."""
        self._connection.execute(
            "INSERT INTO audit (id, at_s, action, person_id, mac) VALUES (?, ?, ?, ?, ?)",
            (number, at_s, action, person_id, audit_mac(self.vault, number, at_s, action, person_id)),
        )

    def history(self) -> list[tuple[float, str, str]]:
        """(seconds since the Unix epoch, action, person id) of the audit's lines that are sound, oldest first."""
        rows = self._connection.execute("SELECT * FROM audit ORDER BY id").fetchall()
        return [(row["at_s"], row["action"], row["person_id"]) for row in rows if self.is_sound(row)]

    def is_sound(self, row: sqlite3.Row | dict[str, Any]) -> bool:
        """Whether a row of ``audit`` is as it was written."""
        return bool(row["mac"] == audit_mac(self.vault, row["id"], row["at_s"], row["action"], row["person_id"]))

    def forgotten(self) -> frozenset[str]:
        """Ids of everybody whom the audit says to be forgotten."""
        return frozenset(person_id for _, action, person_id in self.history() if action in ("forgotten", "expired"))

    def damage(self) -> Damage:
        """What does not open any more, every value being tried."""
        execute, read = self._connection.execute, self.vault.read
        people = photos = values = 0
        for row in execute("SELECT * FROM person").fetchall():
            known = self.open_person(row)
            templates = execute("SELECT * FROM template WHERE person_id = ?", (row["id"],)).fetchall()
            if known is None:
                people, photos = people + 1, photos + len(templates)
                continue
            key = known.keys.key
            values += self.vault.read_dates(row["id"], row["dates"]) is None
            values += row["consent"] is not None and read(key, row["consent"], "consent", row["id"]) is None
            for template in templates:
                if self.embedding(key, template) is None:
                    photos += 1
                    continue
                place = f"{row['id']}/{template['id']}"
                values += self.vault.read_added(key, template["added"], place, template["photo_mac"]) is None
                for kind in ("source", "crop", "forced"):
                    values += template[kind] is not None and read(key, template[kind], kind, place) is None
            for link in execute("SELECT * FROM merged WHERE person_id = ?", (row["id"],)).fetchall():
                values += read(key, link["into_id"], "merged", row["id"]) is None
            for negative in execute("SELECT * FROM negative WHERE person_id = ?", (row["id"],)).fetchall():
                place = negative_row(row["id"], negative["id"])
                values += read(key, negative["code"], "code", place) is None
                values += read(key, negative["source"], "source", place) is None
                values += self.vault.read_added(key, negative["added"], place, negative["event_mac"]) is None
        photos += len(
            execute("SELECT id FROM template WHERE person_id NOT IN (SELECT id FROM person)").fetchall()
        )  # fmt: skip
        values += sum(not self.is_sound(row) for row in execute("SELECT * FROM audit").fetchall())
        values += len(META) - sum(is_meta_sound(self.vault, row) for row in read_metas(self._connection))
        return Damage(people, photos, values)


def audit_mac(vault: Vault, number: int, at_s: float, action: str, person_id: str) -> bytes:
    """What shows that a line of the audit is as it was written."""
    return vault.mac("audit", number, at_s, action, person_id)


def meta_row(vault: Vault, preprocessing_hash: str, embedding_size: int, bundle_name: str) -> dict[str, Any]:
    """A row of ``meta`` but for its number."""
    open_values = (vault.encoder_hash, preprocessing_hash, embedding_size, bundle_name)
    return {
        "encoder_hash": vault.encoder_hash,
        "preprocessing_hash": preprocessing_hash,
        "code_size": embedding_size,
        "bundle_name": bundle_name,
        "gallery_id": vault.gallery_id,
        "key_check": vault.key_check(),
        "mac": vault.mac("meta", *open_values),
    }


def put_meta(connection: sqlite3.Connection, row: dict[str, Any]) -> None:
    """Write both copies of the ``meta`` row."""
    values = {"id": 1, **row}
    marks = ", ".join(f":{name}" for name in values)
    for table in META:
        connection.execute(f"INSERT OR REPLACE INTO {table} ({', '.join(values)}) VALUES ({marks})", values)


def read_metas(connection: sqlite3.Connection) -> list[dict[str, Any]]:
    """Both copies of the ``meta`` row, sound or not."""
    return [dict(row) for table in META for row in connection.execute(f"SELECT * FROM {table}").fetchall()]


def is_meta_sound(vault: Vault, row: sqlite3.Row | dict[str, Any]) -> bool:
    """Whether a row of ``meta`` is as it was written."""
    open_values = (row["encoder_hash"], row["preprocessing_hash"], row["code_size"], row["bundle_name"])
    return (
        row["gallery_id"] == vault.gallery_id
        and vault.fits(row["key_check"])
        and row["mac"] == vault.mac("meta", *open_values)
    )
