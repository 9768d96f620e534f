"""The rows of a gallery's tables, opened and sealed; every call is inside a transaction of the caller's."""

from __future__ import annotations

import secrets
import sqlite3
import time
from dataclasses import dataclass

from edge_runtime.gallery.names import folded
from edge_runtime.gallery.templates import Person
from edge_runtime.gallery.vault import PersonKeys, Vault, negative_row
from edge_runtime.types import Floats


@dataclass(frozen=True, slots=True)
class _Opened:
    """What a row of ``person`` says, and the sealed bytes that say it."""

    sealed: tuple[bytes, bytes]
    keys: PersonKeys
    name: str
    folded: str


class Rows:
    """Reads and writes single rows.

    Attributes:
        vault: seals and opens their values; assigned when everything was sealed anew.
    """

    def __init__(self, connection: sqlite3.Connection, vault: Vault) -> None:
        self.vault = vault
        self._connection = connection
        self._opened: dict[str, _Opened] = {}

    def expired(self) -> list[str]:
        """Ids of the people whose time is up."""
        rows = self._connection.execute("SELECT id FROM person WHERE expires_s <= ?", (time.time(),)).fetchall()
        return [row["id"] for row in rows]

    def keys(self, person_id: str) -> PersonKeys:
        """A person's keys."""
        row = self._connection.execute("SELECT id, sealed_key, name FROM person WHERE id = ?", (person_id,)).fetchone()
        return self._open(row).keys

    def forget_opened(self) -> None:
        """Keep nothing in memory that was opened."""
        self._opened.clear()

    def _open(self, row: sqlite3.Row) -> _Opened:
        """Keys and name in a row of ``person``, opened once for as long as they are what is written there."""
        person_id, sealed = row["id"], (row["sealed_key"], row["name"])
        opened = self._opened.get(person_id)
        if opened is None or opened.sealed != sealed:
            keys = self.vault.open_keys(person_id, row["sealed_key"])
            name = self.vault.open(keys.key, row["name"], "name", person_id).decode()
            opened = self._opened[person_id] = _Opened(sealed, keys, name, folded(name))
        return opened

    def person(self, row: sqlite3.Row) -> Person:
        """A row of ``person``, with their number of ``templates``."""
        opened, consent = self._open(row), row["consent"]
        return Person(
            row["id"],
            opened.name,
            row["templates"],
            row["added_s"],
            "" if consent is None else self.vault.open(opened.keys.key, consent, "consent", row["id"]).decode(),
            row["expires_s"],
        )

    def name(self, row: sqlite3.Row) -> str:
        """The name in a row of ``person``."""
        return self._open(row).name

    def text(self, key: bytes, row: sqlite3.Row, kind: str) -> str | None:
        """A text of a row of ``template``: its ``source``, or why it was ``forced``."""
        if row[kind] is None:
            return None
        return self.vault.open(key, row[kind], kind, f"{row['person_id']}/{row['id']}").decode()

    def embedding(self, key: bytes, row: sqlite3.Row) -> tuple[float, Floats]:
        """(weight, embedding float32 (D,)) of a row of ``template``."""
        return self.vault.open_embedding(key, row["code"], f"{row['person_id']}/{row['id']}")

    def embeddings(self, rows: list[sqlite3.Row]) -> tuple[Floats, Floats]:
        """(weights float32 (T,), embeddings float32 (T, D)) of rows of ``template`` of whoever."""
        keys = {row["person_id"]: b"" for row in rows}
        for row in self._connection.execute("SELECT id, sealed_key, name FROM person"):
            if row["id"] in keys:
                keys[row["id"]] = self._open(row).keys.key
        return self.vault.open_embeddings(
            [(keys[row["person_id"]], row["code"], f"{row['person_id']}/{row['id']}") for row in rows]
        )

    def negatives(self, rows: list[sqlite3.Row]) -> Floats:
        """float32 (K, D), the embeddings of rows of ``negative``."""
        return self.vault.open_embeddings(
            [(self.keys(row["person_id"]).key, row["code"], negative_row(row["person_id"], row["id"])) for row in rows]
        )[1]

    def find(self, name: str) -> str | None:
        """The id of the person of a name, or None."""
        wanted = folded(name)
        rows = self._connection.execute("SELECT id, sealed_key, name FROM person")
        return next((row["id"] for row in rows if self._open(row).folded == wanted), None)

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
