"""The device key, and sealing with it: AES-256-GCM, every value bound to the place it belongs to.

The key lies outside the state folder, so that a copied gallery without it tells nothing.
"""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from edge_runtime.errors import GalleryError

KEY_BYTES = 32
_NONCE_BYTES = 12


def load_key(path: str | Path, create: bool = False) -> bytes:
    """The 32 bytes of the device key.

    Args:
        path: the key file, mode 0600.
        create: make one (and its folder, mode 0700) where there is none.

    Raises:
        GalleryError: no key, one that others may read, of another length, or that cannot be read or made.
    """
    path = Path(path)
    try:
        if create and not path.exists():
            _make_key(path)
        check_private(path, "the device key")
        key = path.read_bytes()
    except FileNotFoundError as error:
        raise GalleryError(
            f"{path}: expected the device key, found nothing there; put the key of this gallery back, "
            "or move the gallery away and enrol again"
        ) from error
    except OSError as error:
        raise GalleryError(
            f"{path}: the device key cannot be read or made ({error.strerror}); "
            "run as the user whose key it is, or set [gallery] key_file"
        ) from error
    if len(key) != KEY_BYTES:
        raise GalleryError(
            f"{path}: expected a device key of {KEY_BYTES} bytes, found {len(key)}; put the original key back"
        )
    return key


def check_private(path: Path, what: str) -> None:
    """Refuse a file that anybody but its owner may touch.

    Raises:
        GalleryError: its mode is wider than 0600.
        OSError: it cannot be looked at.
    """
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise GalleryError(f"{path}: expected {what} with mode 0600, found {mode:04o}; run: chmod 600 {path}")


def _make_key(path: Path) -> None:
    """Write a new key beside its place and link it there: never half a key, never over another one."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(secrets.token_bytes(KEY_BYTES))
            stream.flush()
            os.fsync(stream.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            return  # Another process was first: its key counts.
    finally:
        draft.unlink()
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


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
