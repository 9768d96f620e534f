"""People on their way to another device: one file, sealed under a passphrase, signed by the device it comes from.

The file is a line that says what it is, a line of JSON with what must be known to open it, the sealed people, and an
Ed25519 signature (RFC 8032) of all before it. The passphrase becomes a key by scrypt (RFC 7914); the two lines are
authenticated with the sealed part. The signing key follows from the device key (HKDF, RFC 5869), so that a device
signs with the same one until it is rekeyed.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
import time
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from edge_runtime.errors import InputError
from edge_runtime.storage.keys import KEY_BYTES, seal, unseal
from edge_runtime.text.plain import printable
from edge_runtime.types import Floats

T = TypeVar("T")

_MAGIC = b"familiar people 1\n"
_SCRYPT = {"n": 1 << 15, "r": 8, "p": 1}
_MOST_MEMORY = 256 << 20
"""What a file may ask scrypt to use, bytes; ours asks for 32 MiB."""
_MOST_WORK = 1 << 21
"""Likewise n * r * p, which is the time it takes; ours asks for an eighth."""
_LONGEST_EMBEDDING = 4096
_LONGEST_TEXT = 10_000
_LARGEST_WEIGHT = 1e6
_LATEST_S = 253402300799.0
"""The last second of the year 9999."""
_UNIT = 1e-3
_SIGNATURE_BYTES = 64
_SHORTEST_PASSPHRASE = 8
_MAX_HEADER = 1 << 16


@dataclass(frozen=True)
class MovedTemplate:
    """One embedding on its way.

    Attributes:
        embedding: float32 (D,) of unit length.
        weight: what it counts, > 0.
        source: where it came from.
        forced: what spoke against it, or None.
    """

    embedding: Floats
    weight: float
    source: str
    forced: str | None


@dataclass(frozen=True)
class MovedPerson:
    """Somebody on their way.

    Attributes:
        person_id: opaque; by it a device knows again whom it has forgotten.
        consent: the note, or "".
        expires: seconds since the Unix epoch, or None.
        templates: at least one.
        into: id of whom they were merged into, or None.
    """

    person_id: str
    name: str
    consent: str
    expires: float | None
    templates: tuple[MovedTemplate, ...]
    into: str | None = None


@dataclass(frozen=True)
class Package:
    """What a file holds.

    Attributes:
        bound: ``encoder_hash``, ``preprocessing_hash``, ``code_size`` and ``bundle_name`` of the embeddings.
        signer: fingerprint of the device it comes from.
        people: everybody in it.
    """

    bound: dict[str, Any]
    signer: str
    people: tuple[MovedPerson, ...]


def fingerprint(device_key: bytes) -> str:
    """What other devices know this one by, four groups of hex digits."""
    return _fingerprint(_signing_key(device_key).public_key())


def pack(bound: dict[str, Any], people: tuple[MovedPerson, ...], device_key: bytes, passphrase: str) -> bytes:
    """Make the file.

    Args:
        bound: see :class:`Package`.
        people: who goes.
        device_key: 32 bytes; signs.
        passphrase: at least 8 characters.

    Raises:
        InputError: a passphrase that is too short.
    """
    if len(passphrase) < _SHORTEST_PASSPHRASE:
        raise InputError(f"passphrase: expected at least {_SHORTEST_PASSPHRASE} characters, received {len(passphrase)}")
    signing = _signing_key(device_key)
    salt = secrets.token_bytes(16)
    header = {
        **bound,
        "scrypt": _SCRYPT,
        "salt": salt.hex(),
        "signer": signing.public_key().public_bytes_raw().hex(),
        "created_s": round(time.time()),
    }
    start = _MAGIC + json.dumps(header).encode() + b"\n"
    plain = json.dumps([_as_json(person) for person in people]).encode()
    body = start + seal(_passphrase_key(passphrase, salt, _SCRYPT), plain, hashlib.sha256(start).hexdigest())
    return body + signing.sign(body)


def unpack(data: bytes, passphrase: str, signer: str | None = None) -> Package:
    """Open the file.

    Args:
        data: the whole of it.
        passphrase: as it was packed with.
        signer: fingerprint of the device it must come from; None: of any.

    Raises:
        InputError: no such file, altered, of another device, or another passphrase.
    """
    header, start, sealed = _opened(data)
    try:
        public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(header["signer"]))
        public.verify(data[-_SIGNATURE_BYTES:], data[:-_SIGNATURE_BYTES])
        key = _passphrase_key(passphrase, bytes.fromhex(header["salt"]), header["scrypt"])
        bound = _bound(header)
    except InvalidSignature as error:
        raise InputError("expected a file as its device signed it, found it altered; copy it again") from error
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise InputError(
            f"expected exported people, found a header that does not fit ({error}); export again"
        ) from error
    found = _fingerprint(public)
    if signer is not None and signer.replace(" ", "").lower() != found.replace(" ", ""):
        raise InputError(f"expected people of the device {signer}, found those of {found}; ask where it comes from")
    try:
        plain = unseal(key, sealed, hashlib.sha256(start).hexdigest())
    except ValueError as error:
        raise InputError("the passphrase does not open it; type the one it was exported with") from error
    try:
        people = tuple(_from_json(person, bound["code_size"]) for person in _whole(json.loads(plain), list))
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise InputError(f"expected exported people, found some that do not fit ({error}); export again") from error
    return Package(bound, found, people)


def _opened(data: bytes) -> tuple[dict[str, Any], bytes, bytes]:
    """The header, the two lines as they are, and the sealed part."""
    end = data.find(b"\n", len(_MAGIC), len(_MAGIC) + _MAX_HEADER)
    if not data.startswith(_MAGIC) or end < 0 or len(data) - end - 1 <= _SIGNATURE_BYTES:
        raise InputError("expected a file that familiar gallery export has written, found something else")
    try:
        header = json.loads(data[len(_MAGIC) : end])
    except (ValueError, RecursionError) as error:
        raise InputError(f"expected exported people, found a damaged header ({error}); copy the file again") from error
    if not isinstance(header, dict):
        raise InputError("expected exported people, found a header of another kind; export again")
    return header, data[: end + 1], data[end + 1 : -_SIGNATURE_BYTES]


def _passphrase_key(passphrase: str, salt: bytes, cost: dict[str, int]) -> bytes:
    n, r, p = (_whole(cost[name], int) for name in ("n", "r", "p"))
    if min(n, r, p) < 1 or 128 * n * r > _MOST_MEMORY or n * r * p > _MOST_WORK:
        raise ValueError("scrypt asks for more memory or time than an export of this program needs")
    return hashlib.scrypt(passphrase.encode(), salt=salt, n=n, r=r, p=p, maxmem=2 * _MOST_MEMORY, dklen=KEY_BYTES)


def _bound(header: dict[str, Any]) -> dict[str, Any]:
    """What the embeddings are bound to, every value of its kind."""
    bound: dict[str, Any] = {}
    for name in ("encoder_hash", "preprocessing_hash"):
        bound[name] = _whole(header[name], str)
        if not re.fullmatch(r"[0-9a-f]{64}", bound[name]):
            raise ValueError(f"{name} is no sha256")
    bound["code_size"] = _whole(header["code_size"], int)
    if not 1 <= bound["code_size"] <= _LONGEST_EMBEDDING:
        raise ValueError("embeddings of that length do not exist")
    bound["bundle_name"] = _text(header["bundle_name"])
    return bound


def _whole(value: Any, kind: type[T]) -> T:
    """``value``, if it is of this very kind: true is no number, and 3.0 no whole one."""
    if type(value) is not kind:
        raise TypeError(f"expected {kind.__name__}, found {type(value).__name__}")
    return value


def _text(value: Any) -> str:
    """``value``, if it is text of a sensible length; what would move a cursor is escaped."""
    text = _whole(value, str)
    if len(text) > _LONGEST_TEXT:
        raise ValueError(f"{len(text)} characters of text")
    return printable(text)


def _signing_key(device_key: bytes) -> Ed25519PrivateKey:
    derived = HKDF(hashes.SHA256(), 32, None, b"familiar: signing exported people").derive(device_key)
    return Ed25519PrivateKey.from_private_bytes(derived)


def _fingerprint(public: Ed25519PublicKey) -> str:
    digest = hashlib.sha256(public.public_bytes_raw()).hexdigest()[:32]
    return " ".join(digest[start : start + 8] for start in range(0, 32, 8))


def _as_json(person: MovedPerson) -> dict[str, Any]:
    return {
        "id": person.person_id,
        "name": person.name,
        "consent": person.consent,
        "expires": person.expires,
        "merged_into": person.into,
        "templates": [
            {
                "code": base64.b64encode(template.embedding.astype("<f4").tobytes()).decode(),
                "weight": template.weight,
                "source": template.source,
                "forced": template.forced,
            }
            for template in person.templates
        ],
    }


def _from_json(document: dict[str, Any], size: int) -> MovedPerson:
    """A person with embeddings of ``size``; raises KeyError, TypeError or ValueError for anything else."""
    document = _whole(document, dict)
    expires = document["expires"]
    if expires is not None and not (type(expires) in (int, float) and 0 <= expires <= _LATEST_S):
        raise ValueError("an expiry that is no time")
    templates = tuple(_template(_whole(item, dict), size) for item in _whole(document["templates"], list))
    if not templates:
        raise ValueError("a person without photos")
    # Files of before there were tombstones name no id.
    person_id = _id(document["id"]) if "id" in document else secrets.token_hex(16)
    into = None if document.get("merged_into") is None else _id(document["merged_into"])
    consent = _text(document["consent"]) if document["consent"] else ""
    return MovedPerson(person_id, _whole(document["name"], str), consent, expires, templates, into)


def _id(value: Any) -> str:
    if not re.fullmatch(r"[0-9a-f]{32}", _whole(value, str)):
        raise ValueError("an id of another kind")
    return str(value)


def _template(item: dict[str, Any], size: int) -> MovedTemplate:
    embedding = np.frombuffer(base64.b64decode(_whole(item["code"], str), validate=True), "<f4").astype(np.float32)
    weight = item["weight"]
    if embedding.shape != (size,) or not abs(float(np.linalg.norm(embedding)) - 1) < _UNIT:
        raise ValueError("an embedding of another length")
    if type(weight) not in (int, float) or not 0 < weight < _LARGEST_WEIGHT:
        raise ValueError("a weight out of range")
    forced = item["forced"]
    return MovedTemplate(embedding, float(weight), _text(item["source"]), None if forced is None else _text(forced))
