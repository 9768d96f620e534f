"""The people this device knows: names and codes in SQLite, each value encrypted, nothing lost that was confirmed.

Names, codes and sources are sealed with a key per person, which the device key seals in turn; each value is
bound to its kind, its row, its person and the encoder, so that none can be moved or swapped unnoticed.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np

from edge_runtime import database
from edge_runtime.closing import Closing
from edge_runtime.errors import GalleryError, InputError
from edge_runtime.keys import KEY_BYTES, load_key, seal, unseal
from edge_runtime.names import clean_name, same_name
from edge_runtime.templates import Person, TemplateRecord, Templates
from edge_runtime.types import Floats

__all__ = ["Gallery", "Person", "TemplateRecord", "Templates"]

_KEY_CHECK = b"familiar"


def _bound(wanted: dict[str, Any], device_key: bytes) -> dict[str, Any]:
    """The ``meta`` columns that say whose codes a gallery holds, with a proof of the device key."""
    return {**wanted, "key_check": seal(device_key, _KEY_CHECK, f"check/{wanted['encoder_hash']}")}


class Gallery(Closing):
    """A gallery on disk; one connection, safe to use from several threads. See :meth:`open`.

    Attributes:
        path: of the database.
        bundle_name: of the bundle that made the codes.
        code_size: D.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, device_key: bytes, meta: sqlite3.Row) -> None:
        """Use :meth:`open` or :meth:`open_existing`."""
        self.path = path
        self.encoder_hash: str = meta["encoder_hash"]
        self.preprocessing_hash: str = meta["preprocessing_hash"]
        self.code_size: int = meta["code_size"]
        self.bundle_name: str = meta["bundle_name"]
        self._connection = connection
        self._device_key = device_key
        self._lock = threading.RLock()
        self._changes = 0

    @classmethod
    def open(
        cls,
        path: str | Path,
        key_file: str | Path,
        encoder_hash: str,
        preprocessing_hash: str,
        code_size: int,
        bundle_name: str,
        create: bool = True,
    ) -> Gallery:
        """Open the gallery for the encoder in use.

        Args:
            path: the database, mode 0600.
            key_file: the device key, mode 0600, outside the database's folder.
            encoder_hash: sha256 of the encoder's file.
            preprocessing_hash: sha256 of everything between a picture and the encoder.
            code_size: D.
            bundle_name: for the messages people read.
            create: make gallery and key where there are none.

        Raises:
            GalleryError: made by another encoder or preprocessing, by a newer version, with another device
                key, damaged, readable by others, or not there.
        """
        path = Path(path)
        wanted = {
            "encoder_hash": encoder_hash,
            "preprocessing_hash": preprocessing_hash,
            "code_size": code_size,
            "bundle_name": bundle_name,
        }
        if create and database.is_blank(path):
            device_key = load_key(key_file, create=True)
            database.create(path, {"id": 1, "created_s": time.time(), **_bound(wanted, device_key)})
        gallery = cls.open_existing(path, key_file)
        try:
            gallery._take(wanted)
        except GalleryError:
            gallery.close()
            raise
        return gallery

    @classmethod
    def open_existing(cls, path: str | Path, key_file: str | Path) -> Gallery:
        """Open a gallery whatever encoder made it: to list, rename and forget people.

        Raises:
            GalleryError: as for :meth:`open`.
        """
        path = Path(path)
        with database.explained(path):
            if not path.is_file():
                raise GalleryError(f"{path}: expected a gallery, found none; make it with: familiar enroll NAME PHOTO")
        device_key = load_key(key_file)
        connection = database.connect(path)
        try:
            meta = database.read_meta(path, connection)
            try:
                unseal(device_key, meta["key_check"], f"check/{meta['encoder_hash']}")
            except ValueError as error:
                raise GalleryError(
                    f"{path}: expected the device key that made this gallery, {key_file} is another one; "
                    "put the original key back, or move the gallery away and enrol again"
                ) from error
            return cls(path, connection, device_key, meta)
        except BaseException:
            connection.close()
            raise

    def _take(self, wanted: dict[str, Any]) -> None:
        """Make sure that the codes here are what ``wanted`` says; a gallery without people becomes that."""
        kinds = ("encoder_hash", "preprocessing_hash", "code_size")
        what = next((kind for kind in kinds if getattr(self, kind) != wanted[kind]), None)
        if what is None:
            return
        with self._writing() as connection:
            if connection.execute("SELECT count(*) FROM person").fetchone()[0]:
                raise GalleryError(
                    f"{self.path}: expected codes of the bundle in use, {wanted['bundle_name']!r} "
                    f"({what} {wanted[what]!s:.12}), found codes of {self.bundle_name!r} "
                    f"({what} {getattr(self, what)!s:.12}); use that bundle and detector again, "
                    "or set [gallery] path to a new file and enrol again"
                )
            bound = _bound(wanted, self._device_key)
            connection.execute(f"UPDATE meta SET {', '.join(f'{name} = :{name}' for name in bound)}", bound)
        for name, value in wanted.items():
            setattr(self, name, value)

    def close(self) -> None:
        """Release the database; may be called again."""
        with self._lock:
            self._connection.close()

    @property
    def version(self) -> tuple[int, int]:
        """Changes whenever this or any other connection has changed the gallery."""
        with self._guarded() as connection:
            return int(connection.execute("PRAGMA data_version").fetchone()[0]), self._changes

    def people(self) -> list[Person]:
        """Everybody enrolled, in the order they were added."""
        with self._reading() as connection:
            rows = connection.execute(
                "SELECT p.*, (SELECT count(*) FROM template t WHERE t.person_id = p.id) AS templates "
                "FROM person p ORDER BY p.added_s, p.rowid"
            ).fetchall()
            return [Person(row["id"], self._name(row), row["templates"], row["added_s"]) for row in rows]

    def person(self, name: str) -> Person:
        """The person of that name; case does not matter.

        Raises:
            InputError: nobody is called so.
        """
        people = self.people()
        for person in people:
            if same_name(person.name, name):
                return person
        near = get_close_matches(name, [person.name for person in people], 1, 0.5)
        hint = f"did you mean {near[0]!r}?" if near else "familiar people list shows who is"
        raise InputError(f"{name!r}: nobody of this name is enrolled; {hint}")

    def records(self, name: str) -> list[TemplateRecord]:
        """What is kept of one person, oldest first.

        Raises:
            InputError: nobody is called so.
        """
        with self._reading() as connection:
            person_id = self.person(name).person_id
            key = self._person_key(person_id)
            rows = connection.execute("SELECT * FROM template WHERE person_id = ? ORDER BY id", (person_id,))
            return [
                TemplateRecord(
                    row["id"],
                    self._unsealed(key, row["source"], "source", f"{person_id}/{row['id']}").decode(),
                    self._code(key, row)[0],
                    row["added_s"],
                )
                for row in rows.fetchall()
            ]

    def templates(self) -> Templates:
        """Every code, decrypted; one moment of the gallery."""
        with self._reading() as connection:
            people = connection.execute("SELECT * FROM person ORDER BY added_s, rowid").fetchall()
            names = tuple(self._name(row) for row in people)
            index, codes, weights, ids = [], [], [], []
            for number, person in enumerate(people):
                key = self._person_key(person["id"])
                rows = connection.execute("SELECT * FROM template WHERE person_id = ? ORDER BY id", (person["id"],))
                for row in rows.fetchall():
                    weight, code = self._code(key, row)
                    index.append(number)
                    codes.append(code)
                    weights.append(weight)
                    ids.append(row["id"])
        return Templates(
            names,
            np.array(index, np.int64),
            np.array(codes, np.float32).reshape(-1, self.code_size),
            np.array(weights, np.float32),
            np.array(ids, np.int64),
        )

    def has_photo(self, name: str, digest: bytes) -> int | None:
        """The template made from a photo for this person, by the sha256 of the photo's file; None if there is none."""
        with self._reading():
            person_id = self._find(clean_name(name))
            return None if person_id is None else self._photo(person_id, self._mac(person_id, digest))

    def add(self, name: str, code: Floats, quality_weight: float, source: str, digest: bytes | None = None) -> int:
        """Keep one code of a person, who is enrolled if new; on disk for good when this returns.

        Args:
            name: see ``names.clean_name``; another writing of a known name adds to that person.
            code: float32 (D,) of unit length.
            quality_weight: what it counts in the person's average, > 0.
            source: where it came from, for people to read.
            digest: sha256 of the photo's file; the same photo again changes nothing.

        Returns:
            The template's id.

        Raises:
            InputError: an unusable name, code or weight.
            GalleryError: the disk is full or the database damaged.
        """
        name = clean_name(name)
        code = np.asarray(code)
        if code.shape != (self.code_size,) or not abs(float(np.linalg.norm(code)) - 1) < 1e-3:
            raise InputError(f"code: expected unit length and shape ({self.code_size},), received {code.shape}")
        if not 0 < quality_weight < float("inf"):
            raise InputError(f"quality_weight: expected a positive number, received {quality_weight!r}")
        with self._writing() as connection:
            person_id = self._find(name) or self._insert_person(name)
            mac = None if digest is None else self._mac(person_id, digest)
            known = None if mac is None else self._photo(person_id, mac)
            if known is not None:
                return known
            last = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'template'").fetchone()
            template_id = int(last[0]) + 1 if last else 1
            key, row = self._person_key(person_id), f"{person_id}/{template_id}"
            numbers = np.concatenate([[quality_weight], code]).astype("<f4").tobytes()
            connection.execute(
                "INSERT INTO template (id, person_id, code, source, photo_mac, added_s) VALUES (?, ?, ?, ?, ?, ?)",
                (
                    template_id,
                    person_id,
                    seal(key, numbers, self._place("code", row)),
                    seal(key, source.encode(errors="replace"), self._place("source", row)),
                    mac,
                    time.time(),
                ),
            )
            return template_id

    def rename(self, old: str, new: str) -> Person:
        """Give a person another name.

        Raises:
            InputError: nobody is called ``old``, ``new`` is unusable, or is somebody else's.
        """
        new = clean_name(new)
        with self._writing() as connection:
            person = self.person(old)
            owner = self._find(new)
            if owner not in (None, person.person_id):
                raise InputError(f"{new!r}: expected a free name, somebody else is called so; choose another")
            key = self._person_key(person.person_id)
            sealed = seal(key, new.encode(), self._place("name", person.person_id))
            connection.execute("UPDATE person SET name = ? WHERE id = ?", (sealed, person.person_id))
            self._audit("renamed", person.person_id)
        return Person(person.person_id, new, person.templates, person.added)

    def forget(self, name: str) -> Person:
        """Delete a person, their codes and their key, here and in the write-ahead log; the audit keeps no name.

        Raises:
            InputError: nobody is called so.
        """
        with self._writing() as connection:
            person = self.person(name)
            connection.execute("DELETE FROM person WHERE id = ?", (person.person_id,))
            self._audit("forgotten", person.person_id)
        with self._guarded() as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return person

    def audit(self) -> list[tuple[float, str, str]]:
        """(seconds since the Unix epoch, ``added`` | ``renamed`` | ``forgotten``, opaque person id), oldest first."""
        with self._reading() as connection:
            rows = connection.execute("SELECT at_s, action, person_id FROM audit ORDER BY id").fetchall()
            return [(row["at_s"], row["action"], row["person_id"]) for row in rows]

    # Everything below is called with the lock held, inside a transaction.

    @contextmanager
    def _guarded(self) -> Iterator[sqlite3.Connection]:
        with self._lock, database.explained(self.path):
            yield self._connection

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._guarded() as connection, database.transaction(connection, write=False):
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._guarded() as connection:
            with database.transaction(connection, write=True):
                yield connection
            self._changes += 1

    def _place(self, kind: str, row: str) -> str:
        return f"{kind}/{row}/{self.encoder_hash}"

    def _unsealed(self, key: bytes, sealed: bytes, kind: str, row: str) -> bytes:
        try:
            return unseal(key, sealed, self._place(kind, row))
        except ValueError as error:
            raise GalleryError(
                f"{self.path}: expected the {kind} that was written, found altered bytes (row {row}); "
                "put a backup in its place, or move it away and enrol again"
            ) from error

    def _person_key(self, person_id: str) -> bytes:
        row = self._connection.execute("SELECT sealed_key FROM person WHERE id = ?", (person_id,)).fetchone()
        return self._unsealed(self._device_key, row["sealed_key"], "key", person_id)

    def _name(self, row: sqlite3.Row) -> str:
        key = self._unsealed(self._device_key, row["sealed_key"], "key", row["id"])
        return self._unsealed(key, row["name"], "name", row["id"]).decode()

    def _code(self, key: bytes, row: sqlite3.Row) -> tuple[float, Floats]:
        """(weight, code float32 (D,)) of a template's row."""
        plain = self._unsealed(key, row["code"], "code", f"{row['person_id']}/{row['id']}")
        numbers = np.frombuffer(plain, "<f4").astype(np.float32)
        return float(numbers[0]), numbers[1:]

    def _find(self, name: str) -> str | None:
        rows = self._connection.execute("SELECT * FROM person").fetchall()
        return next((row["id"] for row in rows if same_name(self._name(row), name)), None)

    def _insert_person(self, name: str) -> str:
        person_id, key = secrets.token_hex(16), secrets.token_bytes(KEY_BYTES)
        self._connection.execute(
            "INSERT INTO person (id, sealed_key, name, added_s) VALUES (?, ?, ?, ?)",
            (
                person_id,
                seal(self._device_key, key, self._place("key", person_id)),
                seal(key, name.encode(), self._place("name", person_id)),
                time.time(),
            ),
        )
        self._audit("added", person_id)
        return person_id

    def _mac(self, person_id: str, digest: bytes) -> bytes:
        """A photo's fingerprint that only this person's key can compare."""
        return hmac.digest(self._person_key(person_id), b"photo/" + digest, hashlib.sha256)

    def _photo(self, person_id: str, mac: bytes) -> int | None:
        row = self._connection.execute(
            "SELECT id FROM template WHERE person_id = ? AND photo_mac = ?", (person_id, mac)
        ).fetchone()
        return None if row is None else int(row["id"])

    def _audit(self, action: str, person_id: str) -> None:
        self._connection.execute(
            "INSERT INTO audit (at_s, action, person_id) VALUES (?, ?, ?)", (time.time(), action, person_id)
        )
