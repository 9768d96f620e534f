"""The gallery's file: opened for one encoder, sealed with one device key, read and written in transactions."""

from __future__ import annotations

import secrets
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from edge_runtime.errors import GalleryError
from edge_runtime.gallery import migration
from edge_runtime.gallery.rows import Rows
from edge_runtime.gallery.vault import Vault, new_rotation
from edge_runtime.storage import sqlite as database
from edge_runtime.storage.keys import KEY_BYTES, KeySource, load_key, put_waiting, take_waiting, waiting_key
from edge_runtime.system.closing import Closing


class GalleryFile(Closing):
    """A gallery on disk; one connection, safe to use from several threads. See :meth:`open`.

    Attributes:
        path: of the database.
        bundle_name: of the bundle that made the embeddings.
        embedding_size: D.
        remains: whether something that was deleted is still in the write-ahead log, as another program reads it;
            every look at ``version`` tries again to empty it.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, key: KeySource, vault: Vault, meta: Any) -> None:
        """Use :meth:`open` or :meth:`open_existing`."""
        self.path = path
        self.encoder_hash: str = meta["encoder_hash"]
        self.preprocessing_hash: str = meta["preprocessing_hash"]
        self.embedding_size: int = meta["code_size"]
        self.bundle_name: str = meta["bundle_name"]
        self._connection = connection
        self._key = key
        self._rows = Rows(connection, vault)
        self._lock = threading.RLock()
        self._changes = 0
        self.remains = False

    @classmethod
    def open(
        cls,
        path: str | Path,
        key: KeySource | str | Path,
        encoder_hash: str,
        preprocessing_hash: str,
        embedding_size: int,
        bundle_name: str,
        create: bool = True,
    ) -> Self:
        """Open the gallery for the encoder in use.

        Args:
            path: the database, mode 0600.
            key: the device key, or its file, mode 0600, outside the database's folder.
            encoder_hash: sha256 of the encoder's file.
            preprocessing_hash: sha256 of everything between a picture and the encoder.
            embedding_size: D.
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
            "code_size": embedding_size,
            "bundle_name": bundle_name,
        }
        if create and database.is_blank(path):
            device_key = source.load(create=True)
            vault = Vault(path, device_key, encoder_hash, secrets.token_hex(16), new_rotation(embedding_size))
            database.create(path, {"id": 1, "created_s": time.time(), **wanted, **_sealed_meta(vault)})
        gallery = cls.open_existing(path, source)
        try:
            gallery._take(wanted)
        except GalleryError:
            gallery.close()
            raise
        return gallery

    @classmethod
    def open_existing(cls, path: str | Path, key: KeySource | str | Path) -> Self:
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

    @property
    def bound(self) -> dict[str, Any]:
        """What its embeddings are bound to, by the names in the file: encoder, preprocessing and length."""
        return {
            "encoder_hash": self.encoder_hash,
            "preprocessing_hash": self.preprocessing_hash,
            "code_size": self.embedding_size,
        }

    def _take(self, wanted: dict[str, Any]) -> None:
        """Make sure that the embeddings here are what ``wanted`` says; a gallery without people becomes that."""
        what = next((kind for kind, value in self.bound.items() if value != wanted[kind]), None)
        if what is None:
            return
        with self._writing() as connection:
            if connection.execute("SELECT count(*) FROM person").fetchone()[0]:
                raise GalleryError(
                    f"{self.path}: expected codes of the bundle in use, {wanted['bundle_name']!r} "
                    f"({what} {wanted[what]!s:.12}), found codes of {self.bundle_name!r} "
                    f"({what} {self.bound[what]!s:.12}); use that bundle and detector again, "
                    "or make the codes again: familiar people reembed --photos DIR"
                )
            rotation = new_rotation(wanted["code_size"])
            vault = replace(self._rows.vault, encoder_hash=wanted["encoder_hash"], rotation=rotation)
            bound = {**wanted, **_sealed_meta(vault)}
            connection.execute(f"UPDATE meta SET {', '.join(f'{name} = :{name}' for name in bound)}", bound)
        self._rows.vault = vault
        self.encoder_hash, self.preprocessing_hash = wanted["encoder_hash"], wanted["preprocessing_hash"]
        self.embedding_size, self.bundle_name = wanted["code_size"], wanted["bundle_name"]

    def close(self) -> None:
        """Release the database; may be called again."""
        with self._lock:
            self._connection.close()

    @property
    def version(self) -> tuple[int, int, int]:
        """Changes whenever this or any other connection has changed the gallery, or somebody's time is up."""
        if self.remains:
            self._clean()
        with self._guarded() as connection:
            expired = len(self._rows.expired())
            return int(connection.execute("PRAGMA data_version").fetchone()[0]), self._changes, expired

    def rekey(self) -> bool:
        """Seal everything anew: new device key where it is a file, new keys of people, a new rotation of embeddings.

        What was copied before, backups included, opens with the old device key alone, and embeddings that leaked turned
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
            vault = replace(self._rows.vault, device_key=new_key, rotation=new_rotation(self.embedding_size))
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

        Actions: ``added``, ``renamed``, ``noted``, ``forced``, ``dropped``, ``forgotten``, ``expired``, ``rekeyed``,
        ``exported``, ``imported``.
        """
        with self._reading() as connection:
            rows = connection.execute("SELECT at_s, action, person_id FROM audit ORDER BY id").fetchall()
            return [(row["at_s"], row["action"], row["person_id"]) for row in rows]

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
        """Leave nothing behind that was deleted: not in the write-ahead log, not in older galleries beside it."""
        with self._guarded() as connection:
            self.remains = not database.scrub(connection)
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
