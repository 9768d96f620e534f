"""The request that reads the log of events as visits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from edge_runtime.control.protocol import Answer
from edge_runtime.events.reader import EventReader
from edge_runtime.events.record import Record
from edge_runtime.events.visits import Visit, begin_s, visits
from edge_runtime.gallery.directory import Directory
from edge_runtime.requests.access import Access, Holdings
from edge_runtime.requests.corrections import view_digest
from edge_runtime.schema.table import key
from edge_runtime.types import Event

MOST_VISITS = 1000
"""Of one answer."""
_BATCH = 500


@dataclass(frozen=True)
class ListVisits:
    """The latest visits, by their beginning: ``visits``, each a ``Visit``'s fields, of which ``decision`` is an
    ``Event``'s with ``corrected``: whether it was marked as not that person's; ``events`` of no track in the same
    time, and ``more``: whether there are earlier ones.
    """

    limit: int = key(100, "so many visits and events at most", 1, MOST_VISITS)
    since: float = key(0.0, "only what was told at this moment or later, seconds since the Unix epoch", 0, 1e11)
    before: float = key(0.0, "only what began before this moment, seconds since the Unix epoch; 0: all", 0, 1e11)
    camera: str = key("", "only of this camera; empty: of all")
    person: str = key("", "only of this person; empty: of everybody")
    unknown: bool = key(False, "only of people who got no name")


def list_visits(access: Access, request: ListVisits, payload: bytes) -> Answer:
    held = access.holdings
    directory = held.directory()
    person_id = directory.named(request.person) if request.person else None
    with held.log() as reader:
        chosen = visits(
            _records(reader, request), directory, lambda one: _wanted(one, request, person_id), request.limit
        )
    cut = max(len(chosen) - request.limit, 0)
    # What began at one moment stays together, so that the next earlier page misses nothing of it.
    while cut and begin_s(chosen[cut - 1]) == begin_s(chosen[cut]):
        cut -= 1
    shown = chosen[cut:]
    return {
        "visits": _told(held, directory, [one for one in shown if isinstance(one, Visit)]),
        "events": [one.as_json() for one in shown if isinstance(one, Event)],
        "more": cut > 0,
    }


def _records(reader: EventReader, request: ListVisits) -> Iterator[Record]:
    last = 0
    while found := reader.after(last, _BATCH, request.since or None, request.camera or None):
        yield from found
        last = found[-1].event_id


def _wanted(one: Visit | Event, request: ListVisits, person_id: str | None) -> bool:
    if request.before and begin_s(one) >= request.before:
        return False
    if not isinstance(one, Visit):
        return not (request.person or request.unknown)
    return (person_id is None or one.person_id == person_id) and (not request.unknown or one.state == "unknown")


def _told(held: Holdings, directory: Directory, found: Sequence[Visit]) -> list[Answer]:
    views = [(visit.person_id or "", view_digest(visit.event_id)) for visit in found]
    corrected = [False] * len(found) if held.gallery is None else held.gallery.corrected(views)
    told = []
    for visit, wrong in zip(found, corrected, strict=True):
        document = visit.as_json()
        if document["decision"] is not None:
            document["decision"] |= {"has_crop": visit.has_crop, "corrected": wrong}
        told.append(document)
    return told
