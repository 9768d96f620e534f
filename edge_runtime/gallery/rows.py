"""The rows of a gallery's tables, opened and sealed; every call is inside a transaction of the caller's."""

from __future__ import annotations

import secrets
import sqlite3
import time

from edge_runtime.gallery.names import same_name
from edge_runtime.gallery.templates import Person
from edge_runtime.gallery.vault import PersonKeys, Vault
from edge_runtime.types import Floats


class Rows:
    """Reads and writes single rows.

    Attributes:
        vault: seals and opens their values; assigned when everything was sealed anew.
    """

    def __init__(self, connection: sqlite3.Connection, vault: Vault) -> None:
        self.vault = vault
        self._connection = connection

    def expired(self) -> list[str]:
        """Ids of the people whose time is up."""
        rows = self._connection.execute("SELECT id FROM person WHERE expires_s <= ?", (time.time(),)).fetchall()
        return [row["id"] for row in rows]

    def keys(self, person_id: str) -> PersonKeys:
        """A person's keys."""
        row = self._connection.execute("SELECT sealed_key FROM person WHERE id = ?", (person_id,)).fetchone()
        return self.vault.open_keys(person_id, row["sealed_key"])

    def person(self, row: sqlite3.Row) -> Person:
        """A row of ``person``, with their number of ``templates``."""
        key = self.vault.open_keys(row["id"], row["sealed_key"]).key
        consent = row["consent"]
        return Person(
            row["id"],
            self.vault.open(key, row["name"], "name", row["id"]).decode(),
            row["templates"],
            row["added_s"],
            "" if consent is None else self.vault.open(key, consent, "consent", row["id"]).decode(),
            row["expires_s"],
        )

    def name(self, row: sqlite3.Row) -> str:
        """The name in a row of ``person``."""
        key = self.vault.open_keys(row["id"], row["sealed_key"]).key
        return self.vault.open(key, row["name"], "name", row["id"]).decode()

    def text(self, key: bytes, row: sqlite3.Row, kind: str) -> str | None:
        """A text of a row of ``template``: its ``source``, or why it was ``forced``."""
        if row[kind] is None:
            return None
        return self.vault.open(key, row[kind], kind, f"{row['person_id']}/{row['id']}").decode()

    def embedding(self, key: bytes, row: sqlite3.Row) -> tuple[float, Floats]:
        """(weight, embedding float32 (D,)) of a row of ``template``."""
        return self.vault.open_embedding(key, row["code"], f"{row['person_id']}/{row['id']}")

    def find(self, name: str) -> str | None:
        """The id of the person of a name, or None."""
        rows = self._connection.execute("SELECT * FROM person").fetchall()
        return next((row["id"] for row in rows if same_name(self.name(row), name)), None)

    def insert(self, name: str, person_id: str | None = None) -> str:
        """A new person, with a new id if none is given; returns their id."""
        person_id, keys = person_id or secrets.token_hex(16), PersonKeys.new()
        self._connection.execute(
            "INSERT INTO person (id, sealed_key, name, added_s) VALUES (?, ?, ?, ?)",
            (
                person_id,
                self.vault.seal_keys(person_id, keys),
                self.vault.seal(keys.key, name.encode(), "name", person_id),
                time.time(),
            ),
        )
        self.audit("added", person_id)
        return person_id

    def photo(self, person_id: str, mac: bytes) -> int | None:
        """The id of the template made from a photo of this fingerprint, or None."""
        row = self._connection.execute(
            "SELECT id FROM template WHERE person_id = ? AND photo_mac = ?", (person_id, mac)
        ).fetchone()
        return None if row is None else int(row["id"])

    def audit(self, action: str, person_id: str) -> None:
        """Note what was done to whom."""
        self._connection.execute(
            "INSERT INTO audit (at_s, action, person_id) VALUES (?, ?, ?)", (time.time(), action, person_id)
        )
