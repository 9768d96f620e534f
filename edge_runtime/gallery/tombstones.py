"""Who was forgotten, kept beside the gallery: an older copy that is put back does not bring anybody back unnoticed.

A tombstone is a keyed hash (HMAC-SHA-256) of a person's opaque id. It tells whether an id that is at hand was
forgotten, and nothing without one. The key is random and sealed with the device key, so that tombstones
outlive a rekey. The file is text: a first line, the sealed key (two of them while a rekey is under way), one tombstone
a line, and a sum over them.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from pathlib import Path

from edge_runtime.errors import GalleryError, InputError
from edge_runtime.storage.files import write_state
from edge_runtime.storage.keys import KEY_BYTES, row_mac, seal, unseal

_FIRST = "familiar tombstones 1"
_PLACE = "tombstones"


class Tombstones:
    """The tombstones of one gallery; written in a transaction of the gallery's, so by one process at a time.

    Attributes:
        path: of the file.
        damaged: whether some of what was written is gone; what is left holds.
    """

    def __init__(self, gallery: Path, device_key: bytes) -> None:
        """Read them; the file is made when somebody is forgotten first.

        Args:
            gallery: path of the gallery.
            device_key: 32 bytes.

        Raises:
            GalleryError: the file cannot be read.
        """
        self.path = gallery.with_name(f"{gallery.name}.forgotten")
        self._device_keys = [device_key]
        self._key: bytes | None = None
        self._read()

    def __contains__(self, person_id: str) -> bool:
        return self._key is not None and self._of(person_id) in self._marks

    def add(self, person_ids: Iterable[str]) -> None:
        """Keep in mind that people were forgotten; on disk for good when this returns.

        Raises:
            GalleryError: it cannot be written.
        """
        self._read()  # another process may have written since
        if self._key is None:
            self._key = secrets.token_bytes(KEY_BYTES)
        fresh = {self._of(person_id) for person_id in person_ids} - self._marks
        if fresh or self.damaged:
            self._marks |= fresh
            self._write()

    def rewrap(self, *device_keys: bytes) -> None:
        """Seal the key with each of these device keys, one of which will open the gallery.

        Raises:
            GalleryError: it cannot be written.
        """
        self._read()
        self._device_keys = list(device_keys)
        if self._key is not None:
            self._write()

    def _of(self, person_id: str) -> str:
        assert self._key is not None
        return hmac.digest(self._key, b"person/" + person_id.encode(), hashlib.sha256).hex()

    def _sum(self, lines: Iterable[str]) -> str:
        return row_mac(self._key or b"", *sorted(lines)).hex()

    def _read(self) -> None:
        """Take up what the file says; one that does not open with the device key is begun anew by the next write."""
        self._marks: set[str] = set()
        self.damaged = False
        try:
            lines = self.path.read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            return
        except OSError as error:
            raise GalleryError(
                f"{self.path}: who was forgotten cannot be read ({error.strerror}); run as the user whose gallery it is"
            ) from error
        sealed = [line.removeprefix("key ") for line in lines if re.fullmatch(r"key [0-9a-f]+", line)]
        self._key = next((key for line in sealed if (key := self._unsealed(line)) is not None), self._key)
        self._marks = {line for line in lines if re.fullmatch(r"[0-9a-f]{64}", line)}
        self.damaged = self._key is None or f"sum {self._sum(self._marks)}" not in lines

    def _unsealed(self, line: str) -> bytes | None:
        for device_key in self._device_keys:
            try:
                return unseal(device_key, bytes.fromhex(line), _PLACE)
            except ValueError:
                continue
        return None

    def _write(self) -> None:
        assert self._key is not None
        sealed = [f"key {seal(device_key, self._key, _PLACE).hex()}" for device_key in self._device_keys]
        lines = [_FIRST, *sealed, *sorted(self._marks), f"sum {self._sum(self._marks)}"]
        try:
            write_state(self.path, "\n".join(lines) + "\n")
        except (InputError, OSError) as error:
            raise GalleryError(f"{self.path}: nobody can be forgotten now: {error}") from error
        self.damaged = False
