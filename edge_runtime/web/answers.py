"""What the API gives, as types: the same ones check it and describe it in the OpenAPI document."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct

from edge_runtime.web.fields import Switch

Box = Annotated[list[float], Meta(min_length=4, max_length=4, description="left, top, right, bottom, px")]


class Failed(Struct):
    """What went wrong."""

    error: Annotated[str, Meta(description="one line: what was expected, what was found, what to do")]


class Health(Struct):
    """How the daemon is."""

    state: Annotated[str, Meta(description="ok, degraded, failing, or away where no daemon answers")]


class Trouble(Struct):
    """One part that does not do what it should."""

    part: str
    reason: str
    failing: bool
    since: Annotated[float, Meta(description="seconds since the Unix epoch")]


class Stats(Struct):
    """How the daemon is and what it sees: what ``familiar status --json`` prints."""

    state: str
    version: str
    temperature_c: Annotated[float | None, Meta(description="of the hottest sensor; null: not known here")]
    troubles: list[Trouble]
    uptime_s: float
    bundle: dict[str, str]
    accelerators: dict[str, str]
    gallery: dict[str, Any]
    events: dict[str, Any]
    cameras: dict[str, dict[str, Any]]


class Part(Struct):
    """Somebody who was merged into another."""

    person_id: str
    name: str
    templates: Annotated[int, Meta(description="photos of the other's that are theirs")]
    expires: Annotated[
        float | None, Meta(description="when these are forgotten, seconds since the Unix epoch; null: with the other")
    ] = None


class Person(Struct):
    """Somebody enrolled."""

    person_id: str
    name: str
    templates: Annotated[int, Meta(description="photos enrolled")]
    added: Annotated[float, Meta(description="seconds since the Unix epoch")]
    consent: str | None = None
    expires: Annotated[float | None, Meta(description="seconds since the Unix epoch, or null")] = None
    merged: Annotated[list[Part], Meta(description="those who were merged into them")] = []


class People(Struct):
    """Everybody enrolled."""

    people: list[Person]


class Photo(Struct):
    """One enrolled photo."""

    template_id: int
    source: str
    weight: float
    added: float
    forced: str | None = None
    crop: Annotated[bool, Meta(description="whether its picture is kept")] = False


class Negative(Struct):
    """A view that got somebody's name and was marked as not theirs."""

    negative_id: int
    source: str
    added: float | None = None


class PersonWithPhotos(Person, kw_only=True):
    """Somebody enrolled, with each photo, and with views that were marked as not theirs."""

    records: list[Photo]
    negatives: list[Negative] = []


class Forgotten(Person, kw_only=True):
    """Somebody who is forgotten, as they were."""

    remains: Annotated[bool, Meta(description="another program still reads the file; what it holds goes later")]


class Enrolled(Struct):
    """What became of a photo."""

    accepted: bool
    reason: Annotated[str | None, Meta(description="why not; null if accepted")] = None
    template_id: int | None = None
    known: Annotated[bool, Meta(description="it was enrolled before, and nothing changed")] = False
    forced: str | None = None
    quality: dict[str, float] = {}
    xyxy: Box | None = None
    face: Annotated[int | None, Meta(description="which of several faces was taken, from the left")] = None
    boxes: Annotated[list[Box], Meta(description="of all faces from the left, where several may be meant")] = []


class Face(Struct):
    """One face of a picture. All behind ``rejected`` is null for a face that is too poor to judge."""

    xyxy: Box
    quality: dict[str, float]
    rejected: Annotated[str | None, Meta(description="small, blurred, …; null: it was judged")] = None
    person: Annotated[str | None, Meta(description="the name; null: unknown, or rejected")] = None
    candidate: Annotated[str | None, Meta(description="the best person whether or not decided on")] = None
    similarity: float | None = None
    score: float | None = None
    threshold: Annotated[float | None, Meta(description="the score that the candidate's name needs")] = None
    confidence: float | None = None
    margin: float | None = None
    runner_up: str | None = None
    template_id: int | None = None


class Faces(Struct):
    """The faces of a picture, surest detection first."""

    width: int
    height: int
    faces: list[Face]


class Event(Struct):
    """Something that happened; see docs/reference.md for its kinds."""

    event_id: int
    kind: str
    camera: str
    wall_time: Annotated[float, Meta(description="seconds since the Unix epoch")]
    track_id: str | None = None
    person: str | None = None
    candidate: str | None = None
    runner_up: str | None = None
    score: float | None = None
    threshold: float | None = None
    confidence: float | None = None
    margin: float | None = None
    reason: str | None = None
    first_seen: float | None = None
    stranger: str | None = None
    visits: int | None = None
    ignored: bool = False
    quality: dict[str, float] = {}
    xyxy: Box | None = None
    has_crop: Annotated[bool, Meta(description="whether a picture of the face is kept")] = False


class Events(Struct):
    """Events in the order in which they were stored."""

    newest: Annotated[int, Meta(description="number of the newest event ever stored")]
    events: list[Event]


class Decision(Event, kw_only=True):
    """The event that decided a visit last."""

    corrected: Annotated[bool, Meta(description="marked as not that person's")] = False


class Visit(Struct):
    """One track of a camera, with what was decided last."""

    camera: str
    track_id: str
    first_s: Annotated[float, Meta(description="its beginning, seconds since the Unix epoch")]
    last_s: float
    left: Annotated[bool, Meta(description="whether it is known that it ended")]
    state: Annotated[str, Meta(description="identified, unknown, rejected, or appeared: not decided yet")]
    event_id: Annotated[int, Meta(description="of the event that decided it last, else of the first")]
    person: str | None = None
    earlier: Annotated[list[str], Meta(description="names that it had before")] = []
    decision: Decision | None = None
    stranger: str | None = None
    visits: Annotated[int | None, Meta(description="how often that stranger came")] = None
    ignored: bool = False


class Visits(Struct):
    """The latest visits, oldest first, and the events of no track between them."""

    visits: list[Visit]
    events: list[Event]
    more: Annotated[bool, Meta(description="there are earlier ones: ask with before")]


class Effect(Struct):
    """What a correction does."""

    score: Annotated[float, Meta(description="that the view has now against the person")]
    nearest: float
    photos: Annotated[int, Meta(description="of the person")]
    lost: Annotated[int, Meta(description="of these photos, so many would not get the name any more")]
    lead: Annotated[float, Meta(description="by so much a view must be nearer to the person than to this one")]
    enrolled: Annotated[Enrolled | None, Meta(description="what became of the view, where it was said who it was")] = (
        None
    )


class Corrected(Person, kw_only=True):
    """The person whom an event named wrongly."""

    source: Annotated[str, Meta(description="which view")]
    effect: Effect


class TakenBack(Struct):
    """Whom a correction was taken back for."""

    people: list[str]
    only: Annotated[list[str], Meta(description="those who keep the view, as they have nothing else")]


class Stranger(Struct):
    """Somebody who was seen and never named."""

    stranger: str
    visits: int
    first_seen: float
    last_seen: float
    cameras: list[str]
    ignored: bool
    views: int


class Strangers(Struct):
    """Everybody who was remembered and never named."""

    strangers: list[Stranger]


class View(Struct):
    """One view of a stranger."""

    at: float
    camera: str
    weight: float
    crop: Annotated[str, Meta(description="JPEG in base64, or empty")]


class StrangerWithViews(Stranger, kw_only=True):
    """A stranger, with each view."""

    records: list[View]


class Named(Struct):
    """What became of a stranger's views."""

    name: str
    results: list[Enrolled]


class Session(Struct):
    """What may be done."""

    name: str
    scope: str
    cameras: Annotated[list[str] | None, Meta(description="those that may be seen; null: all")]


class Behind(Struct):
    """Who stands behind the figures."""

    people: Annotated[int, Meta(description="strangers of the bundle")]
    alike_people: Annotated[int | None, Meta(description="behind those who look alike; null: the bundle has none")]
    track_people: int | None = None


class Cost(Struct):
    """What one target FPIR costs."""

    target_per_1000: float
    threshold: Annotated[float | None, Meta(description="the lowest score that a name needs")]
    thresholds: Annotated[list[float] | None, Meta(description="the lowest and the highest, by person")]
    expected_per_1000: Annotated[float, Meta(description="of 1,000 strangers in general, so many get a name")]
    interval_per_1000: Annotated[list[float], Meta(description="95 %")]
    alike_per_1000: Annotated[float | None, Meta(description="of 1,000 who look like the household; null: not known")]
    alike_interval: list[float] | None
    supported: Annotated[bool, Meta(description="whether the strangers are evidence for so low a rate")]
    supported_per_1000: float
    extrapolated: bool
    miss_rate: Annotated[float | None, Meta(description="share of enrolled photos that would get no name")]
    miss_interval: list[float] | None
    photos_tried: int
    false_names_per_week: float | None


class Outlook(Struct):
    """What somebody enrolled may expect."""

    name: str
    photos: int
    threshold: Annotated[float | None, Meta(description="the score that the name needs; null: nobody is named")]
    alike_per_1000: Annotated[float | None, Meta(description="of 1,000 who look like them, so many get a name")]
    missed: Annotated[float, Meta(description="share of their pictures that get no name, as expected")]
    missed_from: Annotated[str, Meta(description="photos: their own; bundle: other people's")]
    with_photos: Annotated[dict[str, float], Meta(description="number of photos to the share missed then")]
    hard_to_tell: Annotated[list[str], Meta(description="who looks like them")]


class Calibration(Cost, kw_only=True):
    """How strict the device is, what that costs, and what other targets would: ``familiar calibrate --json``."""

    people: int
    templates: int
    strangers: Behind
    margin: float
    kept_for: Annotated[str, Meta(description="alike or mixed: for which strangers the target holds")]
    refused: str | None
    note: str | None
    persons: list[Outlook]
    pairs: list[dict[str, Any]]
    strangers_per_week: float | None
    strangers_per_week_from: str | None
    targets: list[Cost]


class BundleCard(Struct):
    """The bundle in use."""

    name: str
    hash: str
    created: str
    signed_by: str | None
    card: Annotated[str, Meta(description="the model card, Markdown; empty: it has none")]


class Check(Struct):
    """What one check of the device found."""

    check: str
    state: Annotated[str, Meta(description="ok, warn, fail, or unknown: this device does not report it")]
    found: str
    command: Annotated[str, Meta(description="what fixes it; empty where nothing needs fixing")]


class Checks(Struct):
    """The table of ``familiar doctor``."""

    rows: list[Check]


class Restored(Struct):
    """What became of people of a file."""

    people: int
    added: Annotated[int, Meta(description="photos")]
    known: Annotated[int, Meta(description="photos that were here already")]
    signer: Annotated[str, Meta(description="fingerprint of the device that the file comes from")]


class Switched(Switch):
    """Whether a camera watches."""

    camera: str
