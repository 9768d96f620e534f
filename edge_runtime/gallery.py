"""The people this device knows: names and codes in SQLite, each value encrypted, nothing lost that was confirmed.

Names, codes and sources are sealed with a key per person, which the device key seals in turn; see ``vault``.
"""

from __future__ import annotations

import secrets
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np

from edge_runtime import database, migration
from edge_runtime.closing import Closing
from edge_runtime.errors import GalleryError, InputError
from edge_runtime.keys import KEY_BYTES, KeySource, load_key, put_waiting, take_waiting, waiting_key
from edge_runtime.names import clean_name, same_name
from edge_runtime.rows import Rows
from edge_runtime.templates import Person, TemplateRecord, Templates
from edge_runtime.types import Floats
from edge_runtime.vault import Vault, new_rotation

__all__ = ["Gallery", "Person", "TemplateRecord", "Templates"]

MAX_CONSENT = 2000
"""Characters of a consent note."""


class Gallery(Closing):
    """A gallery on disk; one connection, safe to use from several threads. See :meth:`open`.

    Attributes:
        path: of the database.
        bundle_name: of the bundle that made the codes.
        code_size: D.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, key: KeySource, vault: Vault, meta: Any) -> None:
        """Use :meth:`open` or :meth:`open_existing`."""
        self.path = path
        self.encoder_hash: str = meta["encoder_hash"]
        self.preprocessing_hash: str = meta["preprocessing_hash"]
        self.code_size: int = meta["code_size"]
        self.bundle_name: str = meta["bundle_name"]
        self._connection = connection
        self._key = key
        self._rows = Rows(connection, vault)
        self._lock = threading.RLock()
        self._changes = 0

    @classmethod
    def open(
        cls,
        path: str | Path,
        key: KeySource | str | Path,
        encoder_hash: str,
        preprocessing_hash: str,
        code_size: int,
        bundle_name: str,
        create: bool = True,
    ) -> Gallery:
        """Open the gallery for the encoder in use.

        Args:
            path: the database, mode 0600.
            key: the device key, or its file, mode 0600, outside the database's folder.
            encoder_hash: sha256 of the encoder's file.
            preprocessing_hash: sha256 of everything between a picture and the encoder.
            code_size: D.
            bundle_name: for the messages people read.
            create: make gallery and key where there are none.

        Raises:
            GalleryError: made by another encoder or preprocessing, by a newer version, with another device
                key, damaged, readable by others, or not there.
        """
        path, source = Path(path), KeySource.of(key)
        wanted = {
            "encoder_hash": encoder_hash,
            "preprocessing_hash": preprocessing_hash,
            "code_size": code_size,
            "bundle_name": bundle_name,
        }
        if create and database.is_blank(path):
            device_key = source.load(create=True)
            vault = Vault(path, device_key, encoder_hash, secrets.token_hex(16), new_rotation(code_size))
            database.create(path, {"id": 1, "created_s": time.time(), **wanted, **_sealed_meta(vault)})
        gallery = cls.open_existing(path, source)
        try:
            gallery._take(wanted)
        except GalleryError:
            gallery.close()
            raise
        return gallery

    @classmethod
    def open_existing(cls, path: str | Path, key: KeySource | str | Path) -> Gallery:
        """Open a gallery whatever encoder made it: to list, rename and forget people.

        A gallery of an older version is brought to this one's; a copy of it stays beside it.

        Raises:
            GalleryError: as for :meth:`open`.
        """
        path, source = Path(path), KeySource.of(key)
        with database.explained(path):
            if not path.is_file():
                raise GalleryError(f"{path}: expected a gallery, found none; make it with: familiar enroll NAME PHOTO")
        device_key = source.load()
        connection = database.connect(path)
        try:
            meta = database.read_meta(path, connection)
            device_key = _fitting(path, source, device_key, meta)
            if "gallery_id" not in meta.keys():  # noqa: SIM118 - a row is no mapping
                migration.migrate(path, connection, device_key)
                meta = database.read_meta(path, connection)
            vault = Vault(path, device_key, meta["encoder_hash"], meta["gallery_id"])
            vault = vault.with_rotation(meta["rotation"], meta["code_size"])
            return cls(path, connection, source, vault, meta)
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
            rotation = new_rotation(wanted["code_size"])
            vault = replace(self._rows.vault, encoder_hash=wanted["encoder_hash"], rotation=rotation)
            bound = {**wanted, **_sealed_meta(vault)}
            connection.execute(f"UPDATE meta SET {', '.join(f'{name} = :{name}' for name in bound)}", bound)
        self._rows.vault = vault
        for name, value in wanted.items():
            setattr(self, name, value)

    def close(self) -> None:
        """Release the database; may be called again."""
        with self._lock:
            self._connection.close()

    @property
    def version(self) -> tuple[int, int, int]:
        """Changes whenever this or any other connection has changed the gallery, or somebody's time is up."""
        with self._guarded() as connection:
            expired = len(self._rows.expired())
            return int(connection.execute("PRAGMA data_version").fetchone()[0]), self._changes, expired

    def people(self) -> list[Person]:
        """Everybody enrolled, in the order they were added."""
        with self._reading() as connection:
            rows = connection.execute(
                "SELECT p.*, (SELECT count(*) FROM template t WHERE t.person_id = p.id) AS templates "
                "FROM person p ORDER BY p.added_s, p.rowid"
            ).fetchall()
            return [self._rows.person(row) for row in rows]

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
            key = self._rows.keys(person_id).key
            rows = connection.execute("SELECT * FROM template WHERE person_id = ? ORDER BY id", (person_id,))
            return [
                TemplateRecord(
                    row["id"],
                    self._rows.text(key, row, "source") or "",
                    self._rows.code(key, row)[0],
                    row["added_s"],
                    self._rows.text(key, row, "forced"),
                )
                for row in rows.fetchall()
            ]

    def templates(self) -> Templates:
        """Every code, decrypted; one moment of the gallery. Whoever's time is up is forgotten first."""
        self.forget_expired()
        with self._reading() as connection:
            people = connection.execute("SELECT * FROM person ORDER BY added_s, rowid").fetchall()
            names = tuple(self._rows.name(row) for row in people)
            index, codes, weights, ids = [], [], [], []
            for number, person in enumerate(people):
                key = self._rows.keys(person["id"]).key
                rows = connection.execute("SELECT * FROM template WHERE person_id = ? ORDER BY id", (person["id"],))
                for row in rows.fetchall():
                    weight, code = self._rows.code(key, row)
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
            person_id = self._rows.find(clean_name(name))
            if person_id is None:
                return None
            return self._rows.photo(person_id, self._rows.keys(person_id).photo_mac(digest))

    def add(
        self,
        name: str,
        code: Floats,
        quality_weight: float,
        source: str,
        digest: bytes | None = None,
        forced: str | None = None,
    ) -> int:
        """Keep one code of a person, who is enrolled if new; on disk for good when this returns.

        Args:
            name: see ``names.clean_name``; another writing of a known name adds to that person.
            code: float32 (D,) of unit length.
            quality_weight: what it counts in the person's average, > 0.
            source: where it came from, for people to read.
            digest: sha256 of the photo's file; the same photo again changes nothing.
            forced: what spoke against it, where somebody insisted; kept, and noted in the audit.

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
            person_id = self._rows.find(name) or self._rows.insert(name)
            keys = self._rows.keys(person_id)
            mac = None if digest is None else keys.photo_mac(digest)
            known = None if mac is None else self._rows.photo(person_id, mac)
            if known is not None:
                return known
            last = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'template'").fetchone()
            template_id = int(last[0]) + 1 if last else 1
            row = f"{person_id}/{template_id}"
            connection.execute(
                "INSERT INTO template (id, person_id, code, source, photo_mac, forced, added_s)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    template_id,
                    person_id,
                    self._rows.vault.seal_code(keys.key, quality_weight, code.astype(np.float32), row),
                    self._rows.vault.seal(keys.key, source.encode(errors="replace"), "source", row),
                    mac,
                    None if forced is None else self._rows.vault.seal(keys.key, forced.encode(), "forced", row),
                    time.time(),
                ),
            )
            if forced is not None:
                self._rows.audit("forced", person_id)
            return template_id

    def rename(self, old: str, new: str) -> Person:
        """Give a person another name.

        Raises:
            InputError: nobody is called ``old``, ``new`` is unusable, or is somebody else's.
        """
        new = clean_name(new)
        with self._writing() as connection:
            person = self.person(old)
            owner = self._rows.find(new)
            if owner not in (None, person.person_id):
                raise InputError(f"{new!r}: expected a free name, somebody else is called so; choose another")
            key = self._rows.keys(person.person_id).key
            sealed = self._rows.vault.seal(key, new.encode(), "name", person.person_id)
            connection.execute("UPDATE person SET name = ? WHERE id = ?", (sealed, person.person_id))
            self._rows.audit("renamed", person.person_id)
        return replace(person, name=new)

    def drop(self, name: str, template_id: int) -> Person:
        """Delete one template of a person, who keeps at least one.

        Raises:
            InputError: nobody is called so, the template is none of theirs, or their last one.
        """
        with self._writing() as connection:
            person = self.person(name)
            rows = connection.execute("SELECT id FROM template WHERE person_id = ?", (person.person_id,)).fetchall()
            if template_id not in {row["id"] for row in rows}:
                raise InputError(f"{template_id}: no photo of {person.name} has this number; familiar people show NAME")
            if len(rows) == 1:
                raise InputError(f"{person.name}: this is the last photo; familiar people forget NAME")
            connection.execute("DELETE FROM template WHERE id = ?", (template_id,))
            self._rows.audit("dropped", person.person_id)
        self._clean()
        return replace(person, templates=person.templates - 1)

    def note(self, name: str, consent: str | None = None, expires_s: float | None = None) -> Person:
        """Keep what somebody agreed to, and until when.

        Args:
            name: the person's.
            consent: a note; None: the present one stays, "": none.
            expires_s: seconds since the Unix epoch after which the person is forgotten; None: as it is, inf: never.

        Raises:
            InputError: nobody is called so, the note is too long, or the time is past.
        """
        if consent is not None and len(consent) > MAX_CONSENT:
            raise InputError(f"consent: expected at most {MAX_CONSENT} characters, received {len(consent)}")
        if expires_s is not None and not expires_s > time.time():
            raise InputError("expiry: expected a time to come, received one that is past; to end it now, forget them")
        with self._writing() as connection:
            person_id = self.person(name).person_id
            if consent is not None:
                sealed = self._rows.vault.seal(self._rows.keys(person_id).key, consent.encode(), "consent", person_id)
                connection.execute(
                    "UPDATE person SET consent = ? WHERE id = ?", (sealed if consent else None, person_id)
                )
            if expires_s is not None:
                until = expires_s if expires_s < float("inf") else None
                connection.execute("UPDATE person SET expires_s = ? WHERE id = ?", (until, person_id))
            self._rows.audit("noted", person_id)
            return self.person(name)

    def forget(self, name: str) -> Person:
        """Delete a person, their codes and their key, everywhere here; the audit keeps no name.

        That is the database, its write-ahead log, and the copies that migrations have left beside it.

        Raises:
            InputError: nobody is called so.
        """
        with self._writing() as connection:
            person = self.person(name)
            connection.execute("DELETE FROM person WHERE id = ?", (person.person_id,))
            self._rows.audit("forgotten", person.person_id)
        self._clean()
        return person

    def forget_expired(self) -> list[str]:
        """Forget everybody whose time is up; returns their opaque ids."""
        with self._guarded():
            if not self._rows.expired():
                return []
        with self._writing() as connection:
            expired = self._rows.expired()
            for person_id in expired:
                connection.execute("DELETE FROM person WHERE id = ?", (person_id,))
                self._rows.audit("expired", person_id)
        self._clean()
        return expired

    def rekey(self) -> bool:
        """Seal everything anew: new device key where it is a file, new keys of people, a new rotation of the codes.

        What was copied before, backups included, opens with the old device key alone, and codes that leaked turned
        by the old rotation match nothing here. A power cut leaves the old key with the old gallery or the new key
        with the new one.

        Returns:
            Whether the device key is new too; one from elsewhere than a file stays.

        Raises:
            GalleryError: gallery or key cannot be written, or another process has changed the key.
        """
        with self._writing() as connection:
            meta = database.read_meta(self.path, connection)
            if not self._rows.vault.fits(meta["key_check"]):
                raise GalleryError(f"{self.path}: expected the device key it was opened with, found another; try again")
            new_key = secrets.token_bytes(KEY_BYTES) if self._key.path else self._rows.vault.device_key
            vault = replace(self._rows.vault, device_key=new_key, rotation=new_rotation(self.code_size))
            migration.reseal(connection, self._rows.vault, vault, renew=True)
            self._rows.audit("rekeyed", "")
            if self._key.path:
                put_waiting(self._key.path, new_key)
        self._rows.vault = vault
        if self._key.path:
            take_waiting(self._key.path)
        self._clean()
        return self._key.path is not None

    def backup(self, target: Path) -> None:
        """Write a whole copy as one file; it opens with this device key alone.

        Raises:
            GalleryError: it cannot be written.
        """
        with self._guarded() as connection:
            database.copy(connection, target)

    def audit(self) -> list[tuple[float, str, str]]:
        """(seconds since the Unix epoch, action, opaque person id), oldest first.

        Actions: ``added``, ``renamed``, ``noted``, ``forced``, ``dropped``, ``forgotten``, ``expired``, ``rekeyed``.
        """
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

    def _clean(self) -> None:
        """Leave nothing behind that was deleted: not in the write-ahead log, not in copies of migrations."""
        with self._guarded() as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            for copy in migration.copies(self.path):
                copy.unlink(missing_ok=True)


def _sealed_meta(vault: Vault) -> dict[str, Any]:
    """The ``meta`` columns that a vault makes."""
    return {
        "key_check": vault.key_check(),
        "gallery_id": vault.gallery_id,
        "rotation": vault.seal_rotation(),
    }


def _fitting(path: Path, source: KeySource, device_key: bytes, meta: sqlite3.Row) -> bytes:
    """The device key if it made this gallery; else the one waiting beside it, which a power cut kept from its place."""
    gallery_id = meta["gallery_id"] if "gallery_id" in meta.keys() else ""  # noqa: SIM118
    if Vault(path, device_key, meta["encoder_hash"], gallery_id).fits(meta["key_check"]):
        return device_key
    if source.path is not None and waiting_key(source.path).is_file():
        waiting = load_key(waiting_key(source.path))
        if Vault(path, waiting, meta["encoder_hash"], gallery_id).fits(meta["key_check"]):
            take_waiting(source.path)
            return waiting
    raise GalleryError(
        f"{path}: expected the device key that made this gallery, {source.where} is another one; "
        "put the original key back, or move the gallery away and enrol again"
    )
