"""How values of a gallery are sealed: a key per person under the device key.

Every value is bound (as associated data) to its kind, its row, its person, the encoder and the gallery, so that none
can be moved within a gallery or to another one unnoticed.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import secrets
import struct
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from edge_runtime.errors import DamagedGalleryError
from edge_runtime.gallery.faults import SAVE
from edge_runtime.storage.keys import KEY_BYTES, row_mac, seal, unseal
from edge_runtime.types import Floats

KEY_CHECK = b"familiar"


@dataclass(frozen=True)
class PersonKeys:
    """A person's secrets.

    Attributes:
        key: seals everything of theirs; new after ``rekey``.
        photo_key: makes fingerprints of their photos, and stays, for photos are not kept to make them anew.
    """

    key: bytes
    photo_key: bytes

    @classmethod
    def new(cls) -> PersonKeys:
        return cls(secrets.token_bytes(KEY_BYTES), secrets.token_bytes(KEY_BYTES))

    def renewed(self) -> PersonKeys:
        return replace(self, key=secrets.token_bytes(KEY_BYTES))

    def photo_mac(self, digest: bytes) -> bytes:
        """A photo's fingerprint that nobody without this person's key can compare."""
        return hmac.digest(self.photo_key, b"photo/" + digest, hashlib.sha256)


@dataclass(frozen=True)
class Vault:
    """Seals and opens the values of one gallery.

    Attributes:
        path: of the gallery, for messages.
        device_key: 32 bytes.
        encoder_hash: of the embeddings.
        gallery_id: of the gallery.
    """

    path: Path
    device_key: bytes
    encoder_hash: str
    gallery_id: str

    def place(self, kind: str, row: str) -> str:
        """What a value is bound to."""
        return "/".join(part for part in (kind, row, self.encoder_hash, self.gallery_id) if part)

    def seal(self, key: bytes, plain: bytes, kind: str, row: str) -> bytes:
        """Encrypt a value for its place."""
        return seal(key, plain, self.place(kind, row))

    def open(self, key: bytes, sealed: bytes, kind: str, row: str) -> bytes:
        """Decrypt a value of this place.

        Raises:
            DamagedGalleryError: it was altered, or belongs elsewhere.
        """
        try:
            return unseal(key, sealed, self.place(kind, row))
        except ValueError as error:
            raise DamagedGalleryError(
                f"{self.path}: expected the {kind} that was written, found altered bytes (row {row}); {SAVE}"
            ) from error

    def read(self, key: bytes, sealed: bytes | None, kind: str, row: str) -> bytes | None:
        """The same, but None for one that does not open, or that there is none of."""
        try:
            return None if sealed is None else self.open(key, sealed, kind, row)
        except DamagedGalleryError:
            return None

    def mac(self, table: str, *values: str | bytes | float | int | None) -> bytes:
        """What shows that values that stand in the open in a row are as they were written."""
        key = hmac.digest(self.device_key, b"rows/" + self.gallery_id.encode(), hashlib.sha256)
        return row_mac(key, table, *values)

    def key_check(self) -> bytes:
        """A proof of the device key, for the ``meta`` table."""
        return self.seal(self.device_key, KEY_CHECK, "check", "")

    def fits(self, key_check: bytes) -> bool:
        """Whether that proof was made with this device key."""
        try:
            unseal(self.device_key, key_check, self.place("check", ""))
        except ValueError:
            return False
        return True

    def crop_key(self, key: bytes) -> bytes:
        """The key for crops beside events, made of a person's key, or of the device key for strangers' crops.

        It ends with the key it was made of: ``forget`` shreds a person's crops, ``rekey`` everybody's.
        """
        return hmac.digest(key, b"crops/" + self.gallery_id.encode(), hashlib.sha256)

    def seal_keys(self, person_id: str, keys: PersonKeys) -> bytes:
        """A person's keys, sealed with the device key."""
        return self.seal(self.device_key, keys.key + keys.photo_key, "key", person_id)

    def open_keys(self, person_id: str, sealed: bytes) -> PersonKeys:
        """The inverse of :meth:`seal_keys`.

        Raises:
            DamagedGalleryError: altered, or of another person.
        """
        both = self.open(self.device_key, sealed, "key", person_id)
        return PersonKeys(both[:KEY_BYTES], both[KEY_BYTES:])

    def seal_dates(self, person_id: str, added_s: float | None, expires_s: float | None) -> bytes:
        """When a person was added (None: that is not known any more) and when they are to be forgotten (None: never).

        Both in seconds since the Unix epoch.
        """
        plain = struct.pack("<2d", _or_nan(added_s), math.inf if expires_s is None else expires_s)
        return self.seal(self.device_key, plain, "dates", person_id)

    def read_dates(self, person_id: str, sealed: bytes) -> tuple[float | None, float | None] | None:
        """The inverse of :meth:`seal_dates`; None: altered."""
        plain = self.read(self.device_key, sealed, "dates", person_id)
        if plain is None:
            return None
        added_s, expires_s = struct.unpack("<2d", plain)
        return _or_none(added_s), None if expires_s == math.inf else expires_s

    def seal_added(self, key: bytes, added_s: float | None, row: str, photo_mac: bytes | None) -> bytes:
        """When a template was added, seconds since the Unix epoch; None: that is not known any more."""
        return self.seal(key, struct.pack("<d", _or_nan(added_s)), "added", added_place(row, photo_mac))

    def read_added(self, key: bytes, sealed: bytes, row: str, photo_mac: bytes | None) -> tuple[float | None] | None:
        """The inverse of :meth:`seal_added`, a tuple of one; None: altered."""
        plain = self.read(key, sealed, "added", added_place(row, photo_mac))
        return None if plain is None else (_or_none(struct.unpack("<d", plain)[0]),)

    def seal_embedding(self, key: bytes, weight: float, embedding: Floats, row: str) -> bytes:
        """A template's weight and embedding (D,)."""
        return self.seal(key, np.concatenate([[weight], embedding]).astype("<f4").tobytes(), "code", row)

    def open_embedding(self, key: bytes, sealed: bytes, row: str) -> tuple[float, Floats]:
        """The inverse of :meth:`seal_embedding`: (weight, embedding float32 (D,)).

        Raises:
            DamagedGalleryError: altered, or of another place.
        """
        numbers = np.frombuffer(self.open(key, sealed, "code", row), "<f4").astype(np.float32)
        return float(numbers[0]), numbers[1:]


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value


def negative_row(person_id: str, negative_id: int) -> str:
    """What the values of a negative are bound to: not to be taken for those of a template."""
    return f"{person_id}/not/{negative_id}"


def added_place(row: str, photo_mac: bytes | None) -> str:
    """What the date of a template is bound to: the fingerprint of its photo too, which stands in the open."""
    return f"{row}/{(photo_mac or b'').hex()}"
