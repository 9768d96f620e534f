"""The device key, and sealing with it: AES-256-GCM, every value bound to the place it belongs to.

The key lies outside the state folder, so that a copied gallery without it tells nothing. It comes from a file, from
the environment (``FAMILIAR_DEVICE_KEY``) or from a systemd credential (``familiar-device-key``).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import secrets
import stat
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from edge_runtime.errors import DeviceKeyError, FamiliarError, GalleryError
from edge_runtime.schema.given_file import read_given
from edge_runtime.storage.files import give_to_owner, sync_folder, write_new
from edge_runtime.storage.ownership import what_helps

_LARGEST_KEY_BYTES = 1 << 16
KEY_BYTES = 32
KEY_VARIABLE = "FAMILIAR_DEVICE_KEY"
CREDENTIAL = "familiar-device-key"
_NONCE_BYTES = 12


@dataclass(frozen=True)
class KeySource:
    """Where the device key comes from.

    Attributes:
        where: for messages: the file, the variable, or the credential's file.
        path: of a key file, which alone can be made and replaced by us; None: of another kind.
        text: the key as the environment gives it; None: of another kind.
        credential: file of a systemd credential; None: of another kind.
    """

    where: str
    path: Path | None = None
    text: str | None = None
    credential: Path | None = None

    @classmethod
    def of(cls, source: KeySource | str | Path) -> KeySource:
        """A key file's path as a source."""
        return source if isinstance(source, KeySource) else cls(str(source), path=Path(source))

    @classmethod
    def find(cls, file: Path, named: bool, environ: Mapping[str, str] = os.environ) -> KeySource:
        """The first of: the file, if the configuration names it; the environment; a systemd credential; the file.

        Args:
            file: the key file.
            named: whether somebody chose that file.
            environ: the environment.
        """
        if named:
            return cls.of(file)
        if text := environ.get(KEY_VARIABLE):
            return cls(f"the environment variable {KEY_VARIABLE}", text=text)
        folder = environ.get("CREDENTIALS_DIRECTORY")
        if folder and (Path(folder) / CREDENTIAL).is_file():
            return cls(f"{folder}/{CREDENTIAL}", credential=Path(folder) / CREDENTIAL)
        return cls.of(file)

    def load(self, create: bool = False, folder: Path | None = None) -> bytes:
        """The 32 bytes of the key.

        Args:
            create: make a key file if it is missing; keys of another kind are never made.
            folder: what root makes belongs to whom this folder does; None: to root.

        Raises:
            DeviceKeyError: no key, one that others may read, not 32 bytes, or that cannot be read or made.
        """
        if self.path is not None:
            return load_key(self.path, create, folder)
        if self.text is not None:
            return _decoded(self.text.encode(), self.where)
        assert self.credential is not None
        try:
            # systemd guards the file; its mode is systemd's own.
            return _decoded(read_given(self.credential, _LARGEST_KEY_BYTES), self.where)
        except OSError as error:
            raise DeviceKeyError(
                f"{self.where}: the credential cannot be read ({error.strerror}); see LoadCredential= of the unit"
            ) from error


def _decoded(data: bytes, where: str) -> bytes:
    """A key given as 32 raw bytes, 64 hex digits or base64."""
    if len(data) == KEY_BYTES:
        return data
    text = data.strip()
    for decode in (binascii.unhexlify, lambda value: base64.b64decode(value, validate=True)):
        try:
            key = decode(text)
        except ValueError:
            continue
        if len(key) == KEY_BYTES:
            return key
    raise DeviceKeyError(
        f"{where}: expected a device key of {KEY_BYTES} bytes, raw or as hex or base64, found {len(data)} bytes of "
        f"something else; make one with: openssl rand -hex {KEY_BYTES}"
    )


def load_key(path: str | Path, create: bool = False, folder: Path | None = None) -> bytes:
    """The 32 bytes of the device key.

    Args:
        path: the key file, mode 0600.
        create: make one (and its folder, mode 0700) if it is missing.
        folder: what root makes belongs to whom this folder does, as the gallery's; None: to root.

    Raises:
        DeviceKeyError: no key, one that others may read, of another length, or that cannot be read or made.
    """
    path = Path(path)
    try:
        if create and not path.exists():
            _make_key(path, folder)
        check_private(path, "the device key", DeviceKeyError)
        key = read_given(path, _LARGEST_KEY_BYTES)
    except FileNotFoundError as error:
        raise DeviceKeyError(
            f"{path}: expected the device key, found nothing there; put the key of this gallery back, "
            "or move the gallery away and enrol again"
        ) from error
    except OSError as error:
        raise DeviceKeyError(
            f"{path}: the device key cannot be read or made ({error.strerror}); "
            f"{what_helps(path, 'key')}, or set [gallery] key_file"
        ) from error
    if len(key) != KEY_BYTES:
        raise DeviceKeyError(
            f"{path}: expected a device key of {KEY_BYTES} bytes, found {len(key)}; put the original key back"
        )
    return key


def check_private(path: Path, what: str, kind: type[FamiliarError]) -> None:
    """Refuse a file that anybody but its owner may touch.

    Raises:
        FamiliarError: of this ``kind``; its mode is wider than 0600.
        OSError: it cannot be looked at.
    """
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise kind(f"{path}: expected {what} with mode 0600, found {mode:04o}; run: chmod 600 {path}")


def _make_key(path: Path, folder: Path | None) -> None:
    """Write a new key beside its place and link it there: never half a key, never over another one."""
    if not path.parent.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if folder is not None:
            give_to_owner(path.parent, folder)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        write_new(draft, secrets.token_bytes(KEY_BYTES), 0o600)
        if folder is not None:
            give_to_owner(draft, folder)
        try:
            os.link(draft, path)
        except FileExistsError:
            return  # Another process was first: its key counts.
    finally:
        draft.unlink(missing_ok=True)
    sync_folder(path.parent)


def waiting_key(path: Path) -> Path:
    """Where a key lies that a gallery is being sealed with anew, until it takes the old one's place."""
    return path.with_name(f"{path.name}.new")


def put_waiting(path: Path, key: bytes) -> None:
    """Write the next key beside the present one, with its owner; on disk for good when this returns.

    Raises:
        GalleryError: it cannot be written.
    """
    try:
        waiting_key(path).unlink(missing_ok=True)
        write_new(waiting_key(path), key, 0o600)
        owner = path.stat()
        if os.geteuid() == 0:
            os.chown(waiting_key(path), owner.st_uid, owner.st_gid)
        sync_folder(path.parent)
    except OSError as error:
        raise GalleryError(
            f"{waiting_key(path)}: the new device key cannot be written ({error.strerror}); "
            "run as the user whose key it is"
        ) from error


def take_waiting(path: Path) -> None:
    """Let the waiting key take the old one's place."""
    waiting_key(path).replace(path)
    sync_folder(path.parent)


def seal(key: bytes, plain: bytes, place: str) -> bytes:
    """Encrypt ``plain``; it opens only with ``key`` and the same ``place`` (NIST SP 800-38D, random 96-bit nonce)."""
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, plain, place.encode())


def unseal(key: bytes, sealed: bytes, place: str) -> bytes:
    """Decrypt what :func:`seal` made.

    Raises:
        ValueError: another key, another place, or altered bytes.
    """
    try:
        return AESGCM(key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], place.encode())
    except InvalidTag as error:
        raise ValueError(f"{place}: does not open with this key, or was altered") from error


def row_mac(key: bytes, *values: str | bytes | float | int | None) -> bytes:
    """16 bytes that only these values give (keyed BLAKE2b, RFC 7693): of what stands in the open in a row.

    Args:
        key: up to 64 bytes; a known one finds damage, a secret one alterations too.
        values: each counts with its kind, so 1, 1.0 and "1" differ.
    """
    mac = hashlib.blake2b(key=key, digest_size=16)
    for value in values:
        if isinstance(value, float):
            data = struct.pack("<d", value)
        elif isinstance(value, bytes):
            data = value
        else:
            data = str(value).encode(errors="replace")
        mac.update(f"{type(value).__name__} {len(data)}\n".encode() + data)
    return mac.digest()
