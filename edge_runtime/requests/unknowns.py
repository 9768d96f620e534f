"""The commands on strangers, for ``access.LocalPeople``: answers are JSON-ready."""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Callable, Mapping

from edge_runtime.control.protocol import Answer
from edge_runtime.enrolment.photo import Enroller, EnrolmentResult
from edge_runtime.errors import InputError
from edge_runtime.gallery.names import clean_name
from edge_runtime.unknowns.book import UnknownsBook
from edge_runtime.unknowns.crowd import Unknown

COMMANDS: dict[str, tuple[str, ...]] = {
    "strangers.list": (),
    "strangers.show": ("stranger",),
    "strangers.name": ("stranger", "name"),
    "strangers.ignore": ("stranger",),
    "strangers.unignore": ("stranger",),
    "strangers.forget": ("stranger",),
    "strangers.clear": (),
}


def answer(
    book: UnknownsBook | None, command: str, arguments: Mapping[str, str], enroller: Callable[[], Enroller]
) -> Answer:
    """Run one of ``COMMANDS``.

    Args:
        book: None: nobody was ever remembered.
        command: its name.
        arguments: its own, checked by the caller.
        enroller: for naming alone.

    Raises:
        InputError: nobody remembered has that id, or an unusable name.
        FamiliarError: strangers or gallery cannot be read or written.
    """
    strangers = book.strangers() if book is not None else []
    if command == "strangers.list":
        return {"strangers": [_as_json(one) for one in strangers]}
    if command == "strangers.clear":
        if book is not None:
            book.forget(one.stranger_id for one in strangers)
        return {"forgotten": len(strangers)}
    stranger_id = arguments["stranger"]
    if book is None:
        raise InputError(f"{stranger_id!r}: no stranger is remembered; set [strangers] remember to true and restart")
    if command == "strangers.show":
        return _show(book, stranger_id)
    if command == "strangers.name":
        return _name(book, stranger_id, arguments["name"], enroller(), arguments.get("force") == "yes")
    if command == "strangers.forget":
        return _as_json(*book.forget([stranger_id]))
    return _as_json(book.ignore(stranger_id, command == "strangers.ignore"))


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
