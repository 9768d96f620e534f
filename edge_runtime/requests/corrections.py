"""Requests that say whom an event did not show, and take that back."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass

from edge_runtime.control.protocol import Answer
from edge_runtime.decision.explanation import when
from edge_runtime.errors import InputError, MissingError, MissingEventError
from edge_runtime.gallery.names import clean_name, same_name
from edge_runtime.gallery.store import Gallery
from edge_runtime.geometry.embeddings import embedding_hash
from edge_runtime.requests.access import Access
from edge_runtime.schema.table import key
from edge_runtime.types import Event, Floats


@dataclass(frozen=True)
class WrongName:
    """An event got the name wrong: the person's mapping with ``source`` and ``effect``; see ``Enroller.correct``."""

    event_id: int = key(help="its number; the same one again changes nothing")
    was: str = key("", "who it was; empty: a stranger, or nobody knows")
    force: bool = key(False, "enrol the view for who it was although it looks like somebody else")


@dataclass(frozen=True)
class TakeBack:
    """Undo ``events.wrong``: ``people``: names of those of whom it was; ``only``: of those who keep what was
    enrolled, as they have nothing else.
    """

    event_id: int = key(help="its number")


def wrong_name(access: Access, request: WrongName, payload: bytes) -> Answer:
    held = access.holdings
    gallery = _gallery(held.gallery)
    event, encoder, embedding = _view(access, gallery, request.event_id)
    source = f"event {event.event_id}, camera {event.camera}, {when(event)}"
    if encoder != embedding_hash(gallery.encoder_hash, gallery.preprocessing_hash):
        raise InputError(
            f"{source}: expected a view of the encoder in use, found one of another; views from before a "
            "change of the bundle cannot be used"
        )
    name = event.person or ""
    was = clean_name(request.was) if request.was else ""
    if was and same_name(was, name):
        raise InputError(f"{request.was!r}: expected somebody else than the name that was wrong")
    if was:
        gallery.check_enrollable(was)
    effect = held.enroller().correct(name, embedding, source, view_digest(request.event_id), was, request.force)
    return asdict(gallery.person(name)) | {"source": source, "effect": effect}


def take_back(access: Access, request: TakeBack, payload: bytes) -> Answer:
    touched, only = _gallery(access.holdings.gallery).take_back(view_digest(request.event_id))
    if not touched:
        raise InputError(f"event {request.event_id}: expected one that was corrected, nothing is kept of it")
    return {"people": touched, "only": only}


def view_digest(event_id: int) -> bytes:
    """What stands for an event's view: numbers never come twice in a log."""
    return hashlib.sha256(f"event {event_id}".encode()).digest()


def _gallery(gallery: Gallery | None) -> Gallery:
    if gallery is None:
        raise MissingError("nobody is enrolled, so no event named anybody; familiar enroll NAME PHOTO")
    return gallery


def _view(access: Access, gallery: Gallery, number: int) -> tuple[Event, str, Floats]:
    """The event, and the encoder and the embedding that its name was decided on."""
    directory = gallery.directory()
    with access.holdings.log() as reader:
        record = reader.find(number)
        face = reader.face(record, directory)
    event = record.event(directory)
    if event is None:
        raise MissingEventError(f"event {number}: expected one that is kept, found one of a person who was forgotten")
    if event.kind != "identified" or event.person is None:
        raise InputError(
            f"event {number}: expected one that named somebody (identified), found {event.kind}; "
            "familiar events --raw --kind identified lists them"
        )
    if face is None:
        raise InputError(
            f"event {number}: expected the embedding beside it, found none that opens; names have one where "
            "[events] keep_embeddings = true, until familiar gallery rekey"
        )
    return event, *face
