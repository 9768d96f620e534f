"""``manifest.sig``: who signed a bundle, by Ed25519 (RFC 8032) over its manifest, which has the hash of every file.

Two lines of text: ``ed25519 PUBLIC_KEY`` and the signature, in base64. A public key is written the same way
everywhere: 44 characters of base64. Nothing else is taken, down to the last byte, so that any change is found.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Sequence
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from edge_runtime.errors import BundleError, ConfigError, InputError
from edge_runtime.schema.given_file import read_given
from edge_runtime.storage.files import write_whole

_LARGEST_KEY_BYTES = 1 << 16
SIGNATURE = "manifest.sig"
_CONTEXT = b"familiar bundle manifest 1\n"
"""Before what is signed, so that a signature over something else can never be passed off as one over a manifest."""
_FORM = re.compile(rb"ed25519 ([A-Za-z0-9+/]{43}=)\n([A-Za-z0-9+/]{86}==)\n\Z")


def check_signature(bundle: Path, manifest: bytes, trusted: Sequence[str] = ()) -> str | None:
    """See who signed a bundle.

    Args:
        bundle: its folder.
        manifest: the bytes of its manifest.
        trusted: public keys of which one must have signed it; empty: anybody may have, or nobody.

    Returns:
        The public key that signed it; None for an unsigned bundle.

    Raises:
        BundleError: the signature is damaged, of another manifest, of a key that is not trusted, or missing.
        ConfigError: a trusted key that is not a key.
    """
    for key in trusted:
        public_key(key)
    path = bundle / SIGNATURE
    try:
        if path.is_symlink():
            raise OSError("it is a link")
        with path.open("rb") as stream:
            text = stream.read(1024)
    except FileNotFoundError:
        if trusted:
            raise BundleError(
                f"{bundle}: expected a bundle signed by a trusted key, found none; take a signed one, or sign it on "
                "the desktop with python -m convert sign"
            ) from None
        return None
    except OSError as error:
        raise BundleError(f"{path}: expected a signature, cannot read it ({error}); copy the bundle again") from error
    form = _FORM.match(text)
    key, signature = (form[1].decode(), _plain(form[2])) if form else ("", None)
    if form is None or signature is None or _plain(form[1]) is None:
        raise BundleError(f"{path}: expected a signature of two lines, found something else; copy the bundle again")
    try:
        public_key(key).verify(signature, _CONTEXT + manifest)
    except (InvalidSignature, ConfigError) as error:
        raise BundleError(
            f"{bundle}: expected what {key} signed, the manifest or its signature was altered; do not use this bundle"
        ) from error
    if trusted and key not in trusted:
        raise BundleError(
            f"{bundle}: expected a bundle signed by a trusted key, found the key {key}; do not use it, or add the key "
            "to [bundle] trusted_keys if you know whose it is"
        )
    return key


def sign(bundle: Path, manifest: bytes, key: Ed25519PrivateKey) -> None:
    """Write ``manifest.sig`` into a bundle's folder, over ``manifest``'s bytes."""
    signature = base64.b64encode(key.sign(_CONTEXT + manifest)).decode()
    write_whole(bundle / SIGNATURE, f"ed25519 {public_text(key)}\n{signature}\n")


def public_text(key: Ed25519PrivateKey) -> str:
    """The public key of a private one, as 44 characters of base64."""
    return base64.b64encode(key.public_key().public_bytes_raw()).decode()


def public_key(text: str) -> Ed25519PublicKey:
    """A public key from its text.

    Raises:
        ConfigError: not 44 characters of base64 that are a key.
    """
    raw = _plain(text.encode(errors="replace"))
    if raw is None or len(raw) != 32:
        raise ConfigError(
            f"trusted_keys {text!r}: expected public keys of 44 characters, with spaces between; "
            "python -m convert sign shows a key's"
        )
    return Ed25519PublicKey.from_public_bytes(raw)


def load_private_key(path: Path) -> Ed25519PrivateKey:
    """A private key from a PEM file (PKCS#8), as ``make_private_key`` and ``openssl genpkey`` write it.

    Raises:
        InputError: no such file, encrypted, of another kind, or one that others may read.
    """
    try:
        mode = path.stat().st_mode & 0o077
        key = load_pem_private_key(read_given(path, _LARGEST_KEY_BYTES), None)
    except OSError as error:
        raise InputError(f"{path}: expected a private key, cannot read it ({error.strerror}); make one with "
                         "python -m convert sign --new-key") from error  # fmt: skip
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise InputError(
            f"{path}: expected an Ed25519 key as PEM without a passphrase ({' '.join(str(error).split())[:100]}); "
            "make one with python -m convert sign --new-key"
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise InputError(f"{path}: expected an Ed25519 key, found {type(key).__name__.strip('_')}; make another")
    if mode:
        raise InputError(f"{path}: expected a key that only you may read, found mode {mode:03o} for others; chmod 600")
    return key


def make_private_key(path: Path) -> Ed25519PrivateKey:
    """A new private key in a file of mode 0600, which must not exist.

    Raises:
        InputError: something is there, or it cannot be written.
    """
    key = Ed25519PrivateKey.generate()
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
            stream.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    except OSError as error:
        raise InputError(f"{path}: expected a place for a new key ({error.strerror}); name another") from error
    return key


def _plain(text: bytes) -> bytes | None:
    """Base64 decoded, if this is the one way to write it; None otherwise."""
    try:
        raw = base64.b64decode(text, validate=True)
    except binascii.Error:
        return None
    return raw if base64.b64encode(raw) == text else None
