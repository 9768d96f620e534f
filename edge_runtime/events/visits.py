"""Events read as visits: one for each track, from the first sight to leaving, with what was decided last."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace
from typing import Any

from edge_runtime.events.record import Record
from edge_runtime.gallery.directory import Directory
from edge_runtime.types import Event


@dataclass(frozen=True)
class Visit:
    """One track of a camera.

    Attributes:
        track_id: of the track.
        first_s, last_s: wall time at which it was first and last told of, seconds since the Unix epoch.
        left: whether it is known that it ended.
        state: ``identified``, ``unknown``, ``rejected``, or ``appeared`` where nothing was decided.
        person: the name it had last, as people are called now; None: it had no name, or its bearer is forgotten.
        person_id: the opaque id behind it.
        earlier: names that it had before.
        event_id: of the event that decided it last, else of the first.
        decision: the event that decided it last.
        has_crop: a crop is kept beside that event.
        stranger, visits: where strangers are remembered, which one it was and how often they came.
        ignored: of an ignored stranger.
    """

    camera: str
    track_id: str
    first_s: float
    last_s: float
    left: bool
    state: str
    person: str | None
    person_id: str | None
    earlier: tuple[str, ...]
    event_id: int
    decision: Event | None = None
    has_crop: bool = False
    stranger: str | None = None
    visits: int | None = None
    ignored: bool = False

    def as_json(self) -> dict[str, Any]:
        """A JSON-ready mapping; ``decision`` is the event's, or None."""
        values = {item.name: getattr(self, item.name) for item in fields(self) if item.name != "decision"}
        return values | {"decision": None if self.decision is None else self.decision.as_json()}


Told = dict[tuple[str, str] | int, Visit | Event]


def visits(
    records: Iterable[Record],
    directory: Directory,
    wanted: Callable[[Visit | Event], bool] = lambda one: True,
    most: int | None = None,
) -> list[Visit | Event]:
    """The visits that records tell of, by their beginning, and between them the events of no track.

    Args:
        records: in the order of the log.
        directory: who is who now; of people forgotten nothing is told.
        wanted: what to tell of.
        most: at least so many of the latest are told, if there are; memory is held for a few times as many. None: all.
    """
    told: Told = {}
    room = 4 * (most or 0)
    for record in records:
        event = record.event(directory)
        if event is None:
            continue
        if event.track_id is None:
            told[record.event_id] = event
            continue
        place = event.camera, event.track_id
        before = told.get(place)
        who = directory.listed(record.whose("person"))
        told[place] = _with(before if isinstance(before, Visit) else None, event, record, who)
        if most is not None and len(told) > room:
            told = _latest(told, wanted, 2 * most)
            # Visits that never left, as a daemon that was killed leaves them, stay and must not be looked at each time.
            room = max(room, 2 * len(told))
    return sorted(filter(wanted, told.values()), key=begin_s)


def begin_s(one: Visit | Event) -> float:
    """When a visit began, or an event happened, seconds since the Unix epoch."""
    return one.first_s if isinstance(one, Visit) else one.wall_time


def _latest(told: Told, wanted: Callable[[Visit | Event], bool], most: int) -> Told:
    """The latest of what is wanted and over, and all visits that go on, as these may yet be decided otherwise."""
    over = {key: one for key, one in told.items() if not isinstance(one, Visit) or one.left}
    kept = sorted((key for key, one in over.items() if wanted(one)), key=lambda key: begin_s(over[key]))[-most:]
    stay = set(kept)
    return {key: one for key, one in told.items() if key not in over or key in stay}


def _with(visit: Visit | None, event: Event, record: Record, person_id: str | None) -> Visit:
    """A visit with one event more, and whose that is."""
    if visit is None:
        visit = Visit(
            event.camera,
            event.track_id or "",
            event.wall_time if event.first_seen is None else event.first_seen,
            event.wall_time,
            False,
            "appeared",
            None,
            None,
            (),
            record.event_id,
        )
    if event.kind == "left":
        visit = replace(visit, left=True)
    elif event.kind in ("identified", "unknown", "rejected"):
        earlier = visit.earlier
        if visit.person is not None and visit.person != event.person:
            earlier = (*(name for name in earlier if name != visit.person), visit.person)
        visit = replace(
            visit,
            state=event.kind,
            person=event.person,
            person_id=person_id,
            earlier=tuple(name for name in earlier if name != event.person),
            event_id=record.event_id,
            decision=event,
            has_crop=record.has_crop,
        )
    if event.stranger is not None:
        visit = replace(visit, stranger=event.stranger, visits=event.visits)
    return replace(visit, last_s=max(visit.last_s, event.wall_time), ignored=visit.ignored or event.ignored)
