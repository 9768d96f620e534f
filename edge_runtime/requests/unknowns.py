"""Requests about unknowns: visitors who were remembered and never named."""

from __future__ import annotations

import base64
import hashlib
import time
from dataclasses import dataclass

from edge_runtime.control.protocol import Answer
from edge_runtime.enrolment.photo import Enroller, EnrolmentResult
from edge_runtime.errors import MissingError
from edge_runtime.gallery.names import clean_name
from edge_runtime.requests.access import Access
from edge_runtime.schema.table import key
from edge_runtime.unknowns.book import UnknownsBook
from edge_runtime.unknowns.crowd import Unknown


@dataclass(frozen=True)
class ListUnknowns:
    """Everybody remembered: ``strangers``: [{``stranger``, ``visits``, ``first_seen``, ``last_seen``, ``cameras``,
    ``ignored``, ``views``}].
    """


@dataclass(frozen=True)
class ClearUnknowns:
    """Forget everybody remembered: ``forgotten``: how many."""


@dataclass(frozen=True)
class ShowUnknown:
    """The stranger's mapping with ``records``: [{``at``, ``camera``, ``weight``, ``crop``}], ``crop`` being a JPEG in
    base64, or "".
    """

    stranger: str = key(help="id of who was remembered")


@dataclass(frozen=True)
class IgnoreUnknown:
    """The stranger's mapping; from now on no sink gets events of them."""

    stranger: str = key(help="id of who was remembered")


@dataclass(frozen=True)
class UnignoreUnknown:
    """The stranger's mapping; sinks get events of them again."""

    stranger: str = key(help="id of who was remembered")


@dataclass(frozen=True)
class ForgetUnknown:
    """The stranger's mapping, as it was."""

    stranger: str = key(help="id of who was remembered")


@dataclass(frozen=True)
class NameUnknown:
    """Enrol what was seen of a stranger: ``name``, and ``results``: an ``EnrolmentResult``'s fields each."""

    stranger: str = key(help="id of who was remembered")
    name: str = key(help="the person's")
    force: bool = key(False, "enrol although they look like somebody else")


def list_unknowns(access: Access, request: ListUnknowns, payload: bytes) -> Answer:
    book = access.holdings.unknowns()
    return {"strangers": [_as_json(one) for one in book.strangers()] if book is not None else []}


def clear_unknowns(access: Access, request: ClearUnknowns, payload: bytes) -> Answer:
    book = access.holdings.unknowns()
    everybody = book.strangers() if book is not None else []
    if book is not None:
        book.forget(one.stranger_id for one in everybody)
    return {"forgotten": len(everybody)}


def show_unknown(access: Access, request: ShowUnknown, payload: bytes) -> Answer:
    return _show(_book(access, request.stranger), request.stranger)


def ignore_unknown(access: Access, request: IgnoreUnknown, payload: bytes) -> Answer:
    return _as_json(_book(access, request.stranger).ignore(request.stranger, True))


def unignore_unknown(access: Access, request: UnignoreUnknown, payload: bytes) -> Answer:
    return _as_json(_book(access, request.stranger).ignore(request.stranger, False))


def forget_unknown(access: Access, request: ForgetUnknown, payload: bytes) -> Answer:
    return _as_json(*_book(access, request.stranger).forget([request.stranger]))


def name_unknown(access: Access, request: NameUnknown, payload: bytes) -> Answer:
    book = _book(access, request.stranger)
    return _name(book, request.stranger, request.name, access.holdings.enroller(), request.force)


def _book(access: Access, stranger_id: str) -> UnknownsBook:
    book = access.holdings.unknowns()
    if book is None:
        raise MissingError(f"{stranger_id!r}: no stranger is remembered; set [strangers] remember to true and restart")
    return book


def _show(book: UnknownsBook, stranger_id: str) -> Answer:
    stranger = book.find(stranger_id)
    crops = book.crops(stranger_id)
    views = [
        {
            "at": view.at_s,
            "camera": view.camera,
            "weight": round(view.weight, 2),
            "crop": base64.b64encode(crops.get(view.view_id, b"")).decode(),
        }
        for view in stranger.views
    ]
    return _as_json(stranger) | {"records": views}


def _name(book: UnknownsBook, stranger_id: str, name: str, enroller: Enroller, force: bool) -> Answer:
    """Enrol a stranger's views through the gate that photos go through; taken, they are no stranger any more."""
    name, stranger, crops = clean_name(name), book.find(stranger_id), book.crops(stranger_id)
    results: list[EnrolmentResult] = []
    digests = [hashlib.sha256(view.embedding.tobytes()).digest() for view in stranger.views]
    for view, digest in zip(stranger.views, digests, strict=True):
        enroller.offer(name, view.embedding, view.weight, digest, crops.get(view.view_id))
    for view, digest in zip(stranger.views, digests, strict=True):
        day = time.strftime("%Y-%m-%d", time.localtime(view.at_s))
        source = f"stranger {stranger_id}, camera {view.camera}, {day}"
        results.append(enroller.photo(name, None, digest, source, force))
    if any(result.accepted for result in results):
        book.forget([stranger_id])
    return {"name": name, "results": [result.as_json() for result in results]}


def _as_json(stranger: Unknown) -> Answer:
    return {
        "stranger": stranger.stranger_id,
        "visits": stranger.visits,
        "first_seen": stranger.first_s,
        "last_seen": stranger.last_s,
        "cameras": list(stranger.cameras),
        "ignored": stranger.ignored,
        "views": len(stranger.views),
    }
