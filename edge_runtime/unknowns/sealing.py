"""How values of the file of strangers are sealed, and what stands in the open is signed."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edge_runtime.storage.keys import row_mac, seal, unseal

_SIGNED = {
    "meta": ("encoder_hash", "preprocessing_hash", "code_size", "clock_s", "wall_s"),
    "stranger": ("id", "visits", "first_s", "last_s", "clock_s", "ignored", "cameras"),
    "view": ("id", "stranger_id", "at_s", "camera"),
}
"""What stands in the open in a row, and is believed only as long as it fits the row's ``mac``."""


@dataclass(frozen=True, slots=True)
class FileSeal:
    """A file's own key, made of the device key and of a random number of the file.

    Attributes:
        file_id: that number, hex.
        key: 32 bytes.
    """

    file_id: str
    key: bytes

    @classmethod
    def of(cls, device_key: bytes, file_id: str) -> FileSeal:
        return cls(file_id, hmac.digest(device_key, b"strangers/" + file_id.encode(), hashlib.sha256))

    @classmethod
    def new(cls, device_key: bytes) -> FileSeal:
        return cls.of(device_key, secrets.token_hex(16))

    def close(self, plain: bytes, place: str) -> bytes:
        """Encrypt a value for its place."""
        return seal(self.key, plain, f"{place}/{self.file_id}")

    def read(self, sealed: bytes | None, place: str) -> bytes | None:
        """The inverse of :meth:`close`; None: altered, of another place, or nothing."""
        try:
            return None if sealed is None else unseal(self.key, sealed, f"{place}/{self.file_id}")
        except ValueError:
            return None

    def check(self) -> bytes:
        """A proof of the key, for the file."""
        return self.close(b"familiar", "stranger/check")

    def fits(self, key_check: bytes) -> bool:
        """Whether that proof was made with this key."""
        return self.read(key_check, "stranger/check") is not None

    def sign(self, table: str, row: Mapping[str, Any]) -> dict[str, Any]:
        """The row with its ``mac``."""
        return {**row, "mac": self._mac(table, row)}

    def is_sound(self, table: str, row: Mapping[str, Any] | sqlite3.Row) -> bool:
        """Whether what stands in the open in a row is as it was written."""
        return bool(row["mac"] == self._mac(table, row))

    def _mac(self, table: str, row: Mapping[str, Any] | sqlite3.Row) -> bytes:
        return row_mac(self.key, table, *(row[name] for name in _SIGNED[table]))


def place(kind: str, row: Mapping[str, Any] | sqlite3.Row, encoder_hash: str) -> str:
    """What a ``code`` or ``crop`` of a row of ``view`` is bound to."""
    return f"stranger/{kind}/{row['id']}/{row['stranger_id']}/{encoder_hash}"
