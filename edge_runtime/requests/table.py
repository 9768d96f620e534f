"""The one table of what can be asked, answered the same on the files and by the daemon that owns them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from edge_runtime.control.protocol import Answer
from edge_runtime.errors import ConfigError, ControlError, UsageError
from edge_runtime.requests import (
    corrections,
    daemon,
    enrolment,
    events,
    exchange,
    people,
    recognition,
    unknowns,
    visits,
)
from edge_runtime.requests.access import Access, Daemon, Holdings
from edge_runtime.schema.table import check_known, section
from edge_runtime.system.closing import Closing

Request = TypeVar("Request")


@dataclass(frozen=True)
class Entry(Generic[Request]):
    """One kind of request.

    Attributes:
        kind: dataclass of its fields, made of ``key`` fields.
        handler: gives the answer, JSON-ready, by what it is answered with, the request and its payload.
        may_change: the gallery may be another one afterwards.
    """

    kind: type[Request]
    handler: Callable[[Access, Request, bytes], Answer]
    may_change: bool = True


TABLE: dict[str, Entry[Any]] = {
    "status": Entry(daemon.Status, daemon.status, may_change=False),
    "reload": Entry(daemon.Reload, daemon.reload, may_change=False),
    "live": Entry(daemon.Live, daemon.live, may_change=False),
    "target": Entry(daemon.SetTarget, daemon.set_target, may_change=False),
    "forecast": Entry(daemon.Forecast, daemon.forecast, may_change=False),
    "doctor": Entry(daemon.Doctor, daemon.doctor, may_change=False),
    "bundle": Entry(daemon.ShowBundle, daemon.show_bundle, may_change=False),
    "figures": Entry(daemon.ReadFigures, daemon.read_figures, may_change=False),
    "camera.switch": Entry(daemon.SwitchCamera, daemon.switch_camera, may_change=False),
    "camera.recheck": Entry(daemon.Recheck, daemon.recheck, may_change=False),
    "people.list": Entry(people.ListPeople, people.list_people),
    "people.show": Entry(people.ShowPerson, people.show_person),
    "people.rename": Entry(people.RenamePerson, people.rename_person),
    "people.merge": Entry(people.MergePeople, people.merge_people),
    "people.unmerge": Entry(people.UnmergePerson, people.unmerge_person),
    "people.forget": Entry(people.ForgetPerson, people.forget_person),
    "people.drop": Entry(people.DropPhoto, people.drop_photo),
    "people.note": Entry(people.NotePerson, people.note_person),
    "people.check": Entry(people.CheckPeople, people.check_people),
    "people.export": Entry(exchange.ExportPeople, exchange.export_people),
    "people.import": Entry(exchange.ImportPeople, exchange.import_people),
    "enroll": Entry(enrolment.EnrollPhoto, enrolment.enroll_photo),
    "enroll.look": Entry(enrolment.LookAtPhoto, enrolment.look_at_photo, may_change=False),
    "enroll.pose": Entry(enrolment.LookForPose, enrolment.look_for_pose, may_change=False),
    "enroll.views": Entry(enrolment.EnrollViews, enrolment.enroll_views),
    "recognize": Entry(recognition.Recognize, recognition.recognize, may_change=False),
    "events.list": Entry(events.ListEvents, events.list_events, may_change=False),
    "events.crop": Entry(events.EventCrop, events.event_crop, may_change=False),
    "events.visits": Entry(visits.ListVisits, visits.list_visits, may_change=False),
    "events.wrong": Entry(corrections.WrongName, corrections.wrong_name),
    "events.take_back": Entry(corrections.TakeBack, corrections.take_back),
    "strangers.list": Entry(unknowns.ListUnknowns, unknowns.list_unknowns),
    "strangers.show": Entry(unknowns.ShowUnknown, unknowns.show_unknown),
    "strangers.name": Entry(unknowns.NameUnknown, unknowns.name_unknown),
    "strangers.ignore": Entry(unknowns.IgnoreUnknown, unknowns.ignore_unknown),
    "strangers.unignore": Entry(unknowns.UnignoreUnknown, unknowns.unignore_unknown),
    "strangers.forget": Entry(unknowns.ForgetUnknown, unknowns.forget_unknown),
    "strangers.clear": Entry(unknowns.ClearUnknowns, unknowns.clear_unknowns),
}
"""Every request by the name it has on the socket; one that reads may change the gallery too, as whoever's time is up
goes."""


def answer(access: Access, command: str, arguments: Mapping[str, Any], payload: bytes = b"") -> Answer:
    """Answer one request.

    Args:
        access: what it is answered with.
        command: name in ``TABLE``.
        arguments: fields of its dataclass.
        payload: bytes that come with it.

    Raises:
        UsageError: an unknown request, an unknown, missing or ill-typed field.
        FamiliarError: what the handler raises.
    """
    try:
        check_known(command, TABLE, "requests", "request")
        entry = TABLE[command]
        request = section(entry.kind, dict(arguments), command)
    except ConfigError as error:
        raise UsageError(f"{error} (do client and daemon differ in version?)") from error
    return entry.handler(access, request, payload)


class LocalPeople(Closing):
    """The requests on the files, where no daemon runs; safe to call from several threads."""

    def __init__(self, holdings: Holdings, resources: ExitStack | None = None) -> None:
        """Answer with ``holdings``.

        Args:
            holdings: the gallery and what goes with it.
            resources: what :meth:`close` closes; None: the caller closes its own.
        """
        self.holdings = holdings
        self._resources = resources or ExitStack()

    @property
    def daemon(self) -> Daemon:
        raise ControlError(
            "expected a running daemon, found none; start it with familiar run, or systemctl start familiar"
        )

    def call(self, command: str, arguments: Mapping[str, Any], payload: bytes = b"") -> Answer:
        """See ``PeopleAccess.call``."""
        return answer(self, command, arguments, payload)

    def close(self) -> None:
        """Close the resources given; may be called again."""
        self._resources.close()
