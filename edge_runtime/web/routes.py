"""The one table of what the API offers; the server and the OpenAPI document are made of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from msgspec import Struct

from edge_runtime.web import answers, fields

Media = Literal["image/jpeg", "text/plain", "application/octet-stream", "application/x-ndjson"]
Scope = Literal["open", "read", "name", "admin"]
PICTURE: Literal["picture"] = "picture"
"""As a body: a picture's file, or a form with one."""
PASSPHRASE = "Familiar-Passphrase"
"""A header: percent-encoded UTF-8. In an address it would be in the logs of proxies."""
FILE: Literal["file"] = "file"
"""As a body: any file."""


@dataclass(frozen=True)
class Route:
    """One thing the API offers.

    Attributes:
        method: GET or POST.
        path: with the path's fields in braces; each is a field of the request.
        scope: what a token needs.
        summary: one line for people.
        answer: what comes back: a type as JSON, or what kind of file.
        command: the request of ``requests.table`` that answers; empty: the server answers by itself.
        query: fields behind the question mark.
        body: fields of a JSON body, or ``PICTURE``, or ``FILE``.
        only: field of the answer that holds a file in base64, or text, which is all that comes back.
        whole: it tells of all cameras at once, so a token for some of them does not reach it.
        passphrase: the header ``Familiar-Passphrase`` is a field of the request.
    """

    method: Literal["GET", "POST"]
    path: str
    scope: Scope
    summary: str
    answer: type[Struct] | Media
    command: str = ""
    query: type[Struct] | None = None
    body: type[Struct] | Literal["picture", "file"] | None = None
    only: str = ""
    whole: bool = False
    passphrase: bool = False


ROUTES = (
    Route("GET", "/api/health", "open", "Whether the daemon is well", answers.Health),
    Route("POST", "/api/session", "open", "Begin a session of the page", answers.Session, body=fields.TokenGiven),
    Route("GET", "/api/session", "read", "What this token or session may do", answers.Session),
    Route("POST", "/api/session/end", "open", "End the session of the page", answers.Health),
    Route("GET", "/api/stats", "read", "How the daemon is and what it sees", answers.Stats, "status"),
    Route("GET", "/api/bundle", "read", "The bundle in use, with its model card", answers.BundleCard, "bundle"),
    Route(
        "GET",
        "/api/doctor",
        "admin",
        "What works on this device, what does not, and the command that fixes it",
        answers.Checks,
        "doctor",
        whole=True,
    ),
    Route(
        "GET",
        "/api/metrics",
        "read",
        "Figures for Prometheus, where [metrics] is on",
        "text/plain",
        "figures",
        only="text",
        whole=True,
    ),
    Route(
        "GET",
        "/api/backup",
        "admin",
        "Everybody enrolled as a file under a passphrase: familiar gallery export",
        "application/octet-stream",
        "people.export",
        only="file",
        whole=True,
        passphrase=True,
    ),
    Route(
        "POST",
        "/api/restore",
        "admin",
        "Take people of such a file: familiar gallery import",
        answers.Restored,
        "people.import",
        query=fields.RestoreQuery,
        body=FILE,
        whole=True,
        passphrase=True,
    ),
    Route("GET", "/api/faces", "read", "Everybody enrolled", answers.People, "people.list"),
    Route("GET", "/api/faces/{name}", "read", "Somebody, with photos", answers.PersonWithPhotos, "people.show"),
    Route(
        "POST",
        "/api/faces/recognize",
        "read",
        "Name the faces of any picture; the gallery stays as it is",
        answers.Faces,
        "recognize",
        body=PICTURE,
    ),
    Route(
        "POST",
        "/api/faces/{name}/register",
        "name",
        "Enrol one photo of somebody",
        answers.Enrolled,
        "enroll",
        query=fields.PhotoQuery,
        body=PICTURE,
    ),
    Route(
        "POST",
        "/api/faces/{name}/live",
        "name",
        "Enrol whoever stands before a camera: a line of JSON for each step, with guidance and views, until one has "
        "results or error; nobody is enrolled if the connection ends before",
        "application/x-ndjson",
        body=fields.BeforeCamera,
    ),
    Route(
        "POST",
        "/api/faces/{name}/note",
        "name",
        "What somebody agreed to, and until when they stay enrolled",
        answers.Person,
        "people.note",
        body=fields.Note,
    ),
    Route(
        "POST",
        "/api/faces/{old}/rename",
        "name",
        "Give somebody another name",
        answers.Person,
        "people.rename",
        body=fields.NewName,
    ),
    Route(
        "POST",
        "/api/faces/{name}/merge",
        "name",
        "Take somebody for the same person as another one, who keeps the name",
        answers.Person,
        "people.merge",
        body=fields.MergedInto,
    ),
    Route("POST", "/api/faces/{name}/unmerge", "name", "Take that back", answers.Person, "people.unmerge"),
    Route("POST", "/api/faces/{name}/delete", "name", "Forget somebody", answers.Forgotten, "people.forget"),
    Route(
        "POST",
        "/api/faces/{name}/photos/{template_id}/delete",
        "name",
        "Delete one photo of somebody",
        answers.Person,
        "people.drop",
    ),
    Route(
        "GET",
        "/api/events",
        "read",
        "Events; with Accept: text/event-stream, also those to come, as server-sent events",
        answers.Events,
        "events.list",
        query=fields.EventsQuery,
    ),
    Route(
        "GET",
        "/api/events/{event_id}/crop.jpg",
        "read",
        "The face beside an event, where crops are kept",
        "image/jpeg",
        "events.crop",
        only="crop",
    ),
    Route(
        "GET",
        "/api/visits",
        "read",
        "The latest visits: who came, and what was decided last",
        answers.Visits,
        "events.visits",
        query=fields.VisitsQuery,
    ),
    Route(
        "POST",
        "/api/events/{event_id}/wrong",
        "name",
        "An event named the wrong person; whoever looks like that view gets the name no more",
        answers.Corrected,
        "events.wrong",
        body=fields.WhoItWas,
    ),
    Route(
        "POST",
        "/api/events/{event_id}/take-back",
        "name",
        "Take back that an event was wrong",
        answers.TakenBack,
        "events.take_back",
    ),
    Route("GET", "/api/strangers", "read", "Visitors who were never named", answers.Strangers, "strangers.list"),
    Route(
        "GET",
        "/api/strangers/{stranger}",
        "read",
        "A stranger, with views",
        answers.StrangerWithViews,
        "strangers.show",
    ),
    Route(
        "POST",
        "/api/strangers/{stranger}/name",
        "name",
        "Say who a stranger is, and enrol their views",
        answers.Named,
        "strangers.name",
        body=fields.NameGiven,
    ),
    *(
        Route("POST", f"/api/strangers/{{stranger}}/{verb}", "name", summary, answers.Stranger, f"strangers.{verb}")
        for verb, summary in (
            ("ignore", "Tell no sink of a stranger any more"),
            ("unignore", "Tell sinks of a stranger again"),
            ("forget", "Forget a stranger"),
        )
    ),
    Route(
        "GET",
        "/api/calibration",
        "read",
        "How strict the device is, what that costs, and what other targets would",
        answers.Calibration,
        "forecast",
    ),
    Route(
        "POST",
        "/api/calibration",
        "admin",
        "Another target FPIR, until the next start or reload",
        fields.Target,
        "target",
        body=fields.Target,
    ),
    Route(
        "POST",
        "/api/cameras/{camera}/switch",
        "admin",
        "A camera off or on, until the next start",
        answers.Switched,
        "camera.switch",
        body=fields.Switch,
    ),
    Route(
        "GET",
        "/api/cameras/{camera}/snapshot.jpg",
        "read",
        "What a camera sees, with boxes and names",
        "image/jpeg",
        "live",
        only="jpeg",
    ),
)
