"""The gallery's file: opened for one encoder, sealed with one device key, read and written in transactions."""

from __future__ import annotations

import secrets
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from edge_runtime.errors import DamagedGalleryError, DeviceKeyError, GalleryError, OtherEncoderError
from edge_runtime.gallery.faults import SAVE, explained
from edge_runtime.gallery.resealing import reseal
from edge_runtime.gallery.rows import Rows, is_meta_sound, meta_row, put_meta, read_metas
from edge_runtime.gallery.tables import GALLERY
from edge_runtime.gallery.templates import Damage
from edge_runtime.gallery.tombstones import Tombstones
from edge_runtime.gallery.vault import Vault
from edge_runtime.storage import sqlite
from edge_runtime.storage.database import Database, asides, damage_of, is_blank, older_copies
from edge_runtime.storage.files import with_sides
from edge_runtime.storage.keys import KEY_BYTES, KeySource, load_key, put_waiting, take_waiting, waiting_key
from edge_runtime.system.closing import Closing
from edge_runtime.system.log import log


class GalleryFile(Closing):
    """A gallery on disk; one connection, safe to use from several threads. See :meth:`open`.

    Attributes:
        path: of the database.
        bundle_name: of the bundle that made the embeddings.
        embedding_size: D.
        remains: whether something that was deleted is still in the write-ahead log, as another program reads it;
            every look at ``version``, and every opening, tries again to empty it.
        removed_again: how many people this opening has removed who had been forgotten before, and whom an older copy
            of the gallery held.
    """

    def __init__(self, database: Database, key: KeySource, vault: Vault, meta: Any, tombstones: Tombstones) -> None:
        """Use :meth:`open` or :meth:`open_existing`."""
        self.path = database.path
        self.encoder_hash: str = meta["encoder_hash"]
        self.preprocessing_hash: str = meta["preprocessing_hash"]
        self.embedding_size: int = meta["code_size"]
        self.bundle_name: str = meta["bundle_name"]
        self.removed_again = 0
        self.remains = False
        self._database = database
        self._key = key
        self._rows = Rows(database.connection, vault)
        self._tombstones = tombstones
        self._lock = threading.RLock()
        self._changes = 0
        self._expiries: tuple[tuple[int, int], dict[str, float]] = ((-1, -1), {})

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
            create: make gallery and key if they are missing.

        Raises:
            GalleryError: made by another encoder or preprocessing, by a newer version, with another device
                key, damaged, readable by others, or not there.
        """
        path, source = Path(path), KeySource.of(key)
        if create:
            with explained(path):
                if is_blank(path):
                    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                    device_key = source.load(create=True, folder=path.parent)
                    vault = Vault(path, device_key, encoder_hash, secrets.token_hex(16))
                    row = meta_row(vault, preprocessing_hash, embedding_size, bundle_name)
                    Database(path, GALLERY, lambda connection: put_meta(connection, row)).close()
        gallery = cls.open_existing(path, source)
        try:
            gallery._take(encoder_hash, preprocessing_hash, embedding_size, bundle_name)
        except GalleryError:
            gallery.close()
            raise
        return gallery

    @classmethod
    def open_existing(cls, path: str | Path, key: KeySource | str | Path) -> Self:
        """Open a gallery whatever encoder made it: to list, rename and forget people.

        A gallery of an older version is brought to this one's; a copy of it stays beside it. People who had been
        forgotten, and whom an older copy of the gallery brings back, are removed again.

        Raises:
            GalleryError: as for :meth:`open`.
        """
        path, source = Path(path), KeySource.of(key)
        with explained(path):
            if is_blank(path):
                raise FileNotFoundError
            source.load()
            database = Database(path, GALLERY)
            try:
                with database.reading() as connection:
                    metas = read_metas(connection)
                vault, meta = open_meta(path, source, metas)
                gallery = cls(database, source, vault, meta, Tombstones(path, vault.device_key))
                gallery._settle()
            except BaseException:
                database.close()
                raise
        return gallery

    def _settle(self) -> None:
        """Finish what earlier openings could not: forget again who came back, and empty the write-ahead log."""
        with self._reading() as connection:
            here = [row["id"] for row in connection.execute("SELECT id FROM person").fetchall()]
            forgotten = self._rows.forgotten()
        back = [person_id for person_id in here if person_id in self._tombstones]
        missing = [person_id for person_id in forgotten if person_id not in self._tombstones]
        if back or missing or self._tombstones.damaged:
            with self._writing():
                for person_id in back:
                    self._rows.delete(person_id, "forgotten")
                self._tombstones.add(forgotten)
        if back:
            self.removed_again = len(back)
            log.warning(
                f"{self.path}: {len(back)} people who had been forgotten were in this gallery, as an older copy or a "
                "power cut leaves it; they are removed again"
            )
            self._clean()
        elif any(file.exists() and file.stat().st_size for file in with_sides(self.path)[1:2]):
            self.remains = not sqlite.scrub(self._database.connection, wait=False)

    @property
    def device_key(self) -> bytes:
        """The key behind everything in it, 32 bytes."""
        return self._rows.vault.device_key

    @property
    def bound(self) -> dict[str, Any]:
        """What its embeddings are bound to, by the names in the file: encoder, preprocessing and length."""
        return {
            "encoder_hash": self.encoder_hash,
            "preprocessing_hash": self.preprocessing_hash,
            "code_size": self.embedding_size,
        }

    def _take(self, encoder_hash: str, preprocessing_hash: str, embedding_size: int, bundle_name: str) -> None:
        """Make sure that the embeddings here are of this kind; a gallery without people becomes one of it."""
        wanted = {"encoder_hash": encoder_hash, "preprocessing_hash": preprocessing_hash, "code_size": embedding_size}
        what = next((kind for kind, value in self.bound.items() if value != wanted[kind]), None)
        if what is None:
            return
        with self._writing() as connection:
            if connection.execute("SELECT count(*) FROM person").fetchone()[0]:
                raise OtherEncoderError(
                    f"{self.path}: expected embeddings of the bundle in use, {bundle_name!r} "
                    f"({what} {wanted[what]!s:.12}), found embeddings of {self.bundle_name!r} "
                    f"({what} {self.bound[what]!s:.12}); use that bundle and detector again, "
                    "or make the embeddings again: familiar people reembed --photos DIR"
                )
            vault = replace(self._rows.vault, encoder_hash=encoder_hash)
            put_meta(connection, meta_row(vault, preprocessing_hash, embedding_size, bundle_name))
        self._rows.vault = vault
        self.encoder_hash, self.preprocessing_hash = encoder_hash, preprocessing_hash
        self.embedding_size, self.bundle_name = embedding_size, bundle_name

    def close(self) -> None:
        """Release the database; may be called again."""
        with self._lock:
            self._database.close()

    @property
    def version(self) -> tuple[int, int, int]:
        """Changes whenever this or any other connection has changed the gallery, or somebody's time is up."""
        if self.remains:
            self._clean(wait=False)
        with self._guarded() as connection:
            stamp = sqlite.pragma(connection, "data_version"), self._changes
            if self._expiries[0] != stamp:
                self._expiries = stamp, self._rows.expiries()
            now_s = time.time()
            return *stamp, sum(until_s <= now_s for until_s in self._expiries[1].values())

    def damage(self) -> Damage:
        """What does not open any more, every value being tried; all else is used."""
        with self._reading():
            found = self._rows.damage()
        return replace(found, values=found.values + self._tombstones.damaged)

    def check(self) -> str | None:
        """What of the file, its indexes or its values is damaged, all of it being read; None: nothing."""
        with self._guarded():
            fault = damage_of(self.path, GALLERY)
        damage = self.damage()
        return fault or (f"{damage} are damaged and not used" if damage else None)

    def rekey(self) -> bool:
        """Seal everything anew: new device key where it is a file, new keys of people.

        What was copied before, backups included, opens with the old device key alone. A power cut leaves the old key
        with the old gallery or the new key with the new one.

        Returns:
            Whether the device key is new too; one from elsewhere than a file stays.

        Raises:
            GalleryError: gallery or key cannot be written, or another process has changed the key.
        """
        old = self._rows.vault
        with self._writing() as connection:
            if not any(old.fits(meta["key_check"]) for meta in read_metas(connection)):
                raise GalleryError(f"{self.path}: expected the device key it was opened with, found another; try again")
            new_key = secrets.token_bytes(KEY_BYTES) if self._key.path else old.device_key
            vault = replace(old, device_key=new_key)
            reseal(connection, old, vault)
            put_meta(connection, meta_row(vault, self.preprocessing_hash, self.embedding_size, self.bundle_name))
            self._rows.vault = vault
            try:
                self._rows.audit("rekeyed", "")
                if self._key.path:
                    self._tombstones.rewrap(old.device_key, new_key)
                    put_waiting(self._key.path, new_key)
            except BaseException:
                self._rows.vault = old
                raise
        if self._key.path:
            take_waiting(self._key.path)
            self._tombstones.rewrap(new_key)
        self._clean()
        return self._key.path is not None

    def backup(self, target: Path) -> None:
        """Write a whole copy as one file; it opens with this device key alone.

        Raises:
            InputError: it cannot be written.
            GalleryError: it cannot be read.
        """
        with self._guarded() as connection:
            sqlite.copy(connection, target)

    def audit(self) -> list[tuple[float, str, str]]:
        """(seconds since the Unix epoch, action, opaque person id), oldest first.

        Actions: ``added``, ``renamed``, ``noted``, ``forced``, ``dropped``, ``forgotten``, ``expired``, ``rekeyed``,
        ``exported``, ``imported``, ``repaired``, ``corrected``, ``uncorrected``, ``merged``, ``unmerged``.
        """
        with self._reading():
            return self._rows.history()

    @contextmanager
    def _guarded(self) -> Iterator[sqlite3.Connection]:
        with self._lock, explained(self.path):
            yield self._database.connection

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._guarded(), self._database.reading() as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._guarded():
            with self._database.writing() as connection:
                yield connection
            self._changes += 1

    def _clean(self, wait: bool = True) -> None:
        """Leave nothing behind that was deleted: not in the write-ahead log, not in galleries beside it."""
        with self._guarded() as connection:
            self._rows.forget_opened()
            self.remains = not sqlite.scrub(connection, wait)
            for copy in (*older_copies(self.path), *asides(self.path)):
                sqlite.delete_whole(copy)


def open_meta(path: Path, source: KeySource, metas: list[dict[str, Any]]) -> tuple[Vault, dict[str, Any]]:
    """The vault and the first sound one of the ``meta`` rows, for the device key that made this gallery.

    That is the one in place or, where a power cut kept it from there, the one that waits beside it.

    Raises:
        DamagedGalleryError: neither row is sound.
        DeviceKeyError: another key made it.
    """
    fits = False
    for device_key, waits in _keys(source):
        for meta in metas:
            vault = Vault(path, device_key, meta["encoder_hash"], meta["gallery_id"])
            fits |= vault.fits(meta["key_check"])
            if is_meta_sound(vault, meta):
                if waits and source.path is not None:
                    take_waiting(source.path)
                return vault, meta
    if fits or not metas:
        raise DamagedGalleryError(f"{path}: expected a sound gallery, found its own first rows damaged; {SAVE}")
    raise DeviceKeyError(
        f"{path}: expected the device key that made this gallery, {source.where} is another one; "
        "put the original key back, or move the gallery away and enrol again"
    )


def _keys(source: KeySource) -> Iterator[tuple[bytes, bool]]:
    """The device key in place, then the one that waits beside it, if there is a whole one; and whether it waits."""
    yield source.load(), False
    if source.path is not None and waiting_key(source.path).is_file():
        with suppress(DeviceKeyError):  # cut short by the power, before anything was sealed with it
            yield load_key(waiting_key(source.path)), True
