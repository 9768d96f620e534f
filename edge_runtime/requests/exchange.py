"""Requests that take people out of the gallery under a passphrase, and back."""

from __future__ import annotations

import base64
import threading
from dataclasses import dataclass

from edge_runtime.control.protocol import Answer
from edge_runtime.errors import InputError
from edge_runtime.gallery.exchange import unpack
from edge_runtime.gallery.transfer import exported, imported
from edge_runtime.requests.access import Access
from edge_runtime.schema.table import key

_MOST_BYTES = 11 << 20
"""Of a file that fits into an answer."""
_one_at_a_time = threading.Lock()
"""A passphrase's key takes 32 MiB to make."""


@dataclass(frozen=True)
class ExportPeople:
    """Everybody as a file under a passphrase: ``file``, in base64, ``people`` and ``signer``."""

    passphrase: str = key(help="opens it again; at least 8 characters")


@dataclass(frozen=True)
class ImportPeople:
    """Take people of such a file, which is the payload: ``people``, photos ``added`` and ``known``, ``signer``."""

    passphrase: str = key(help="that it was made with")
    merge: bool = key(False, "add to people of the same name")
    forgotten: bool = key(False, "also people who were forgotten here since")
    signer: str = key("", "only from the device with this fingerprint; empty: of any")


def export_people(access: Access, request: ExportPeople, payload: bytes) -> Answer:
    gallery = access.holdings.gallery
    if gallery is None:
        raise InputError("nobody is enrolled, so there is nobody to export: familiar enroll NAME PHOTO...")
    with _one_at_a_time:
        found = exported(gallery, (), request.passphrase)
    if len(found.data) > _MOST_BYTES:
        raise InputError(
            f"expected people that fit into {_MOST_BYTES >> 20} MiB, found {len(found.data) >> 20} MiB; "
            "familiar gallery export FILE takes more"
        )
    return {"file": base64.b64encode(found.data).decode(), "people": found.people, "signer": found.signer}


def import_people(access: Access, request: ImportPeople, payload: bytes) -> Answer:
    gallery = access.holdings.gallery
    if gallery is None:
        raise InputError("expected a gallery to take people into; familiar gallery import FILE makes one")
    with _one_at_a_time:
        package = unpack(payload, request.passphrase, request.signer or None)
    return imported(gallery, package, request.merge, request.forgotten)
