"""Requests that read the log of events."""

from __future__ import annotations

import base64
from dataclasses import dataclass

from edge_runtime.control.protocol import Answer
from edge_runtime.requests.access import Access
from edge_runtime.schema.table import key

MOST_EVENTS = 1000
"""Of one answer."""


@dataclass(frozen=True)
class ListEvents:
    """Events in the order in which they were stored: ``events``, each an ``Event``'s fields and ``has_crop``, and
    ``newest``, the number of the newest event ever stored.
    """

    after: int = key(-1, "only events behind this number; -1: the latest ones", -1, 2**53)
    limit: int = key(100, "so many at most", 1, MOST_EVENTS)
    since: float = key(0.0, "only of this moment or later, seconds since the Unix epoch", 0, 1e11)
    camera: str = key("", "only of this camera; empty: of all")
    kind: str = key("", "only of this kind; empty: of all")


@dataclass(frozen=True)
class EventCrop:
    """The picture of the face kept beside an event: ``crop``, a JPEG in base64, or "" where none is kept, and the
    event's ``camera``.
    """

    event_id: int = key(help="its number")


def list_events(access: Access, request: ListEvents, payload: bytes) -> Answer:
    held = access.holdings
    directory = held.directory()
    since_s, camera, kind = request.since or None, request.camera or None, request.kind or None
    with held.log() as reader:
        newest = reader.newest
        if request.after < 0:
            records = reader.latest(request.limit, since_s, camera, kind)
        else:
            records = reader.after(request.after, request.limit, since_s, camera, kind)
    pairs = [(record.event(directory), record.has_crop) for record in records]
    events = [event.as_json() | {"has_crop": has_crop} for event, has_crop in pairs if event is not None]
    return {"newest": newest, "events": events}


def event_crop(access: Access, request: EventCrop, payload: bytes) -> Answer:
    held = access.holdings
    with held.log() as reader:
        record = reader.find(request.event_id)
        crop = reader.crop(record, held.directory())[1]
    return {"crop": base64.b64encode(crop or b"").decode(), "camera": record.values["camera"]}
