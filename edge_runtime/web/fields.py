"""What the API takes, as types: bodies, and what stands behind the question mark; see ``answers``."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

Name = Annotated[str, Meta(min_length=1, max_length=80, description="a person's name")]


class NewName(Struct, forbid_unknown_fields=True):
    """A name to have from now on."""

    new: Name


class MergedInto(Struct, forbid_unknown_fields=True):
    """Who somebody is the same person as."""

    into: Name


class NameGiven(Struct, forbid_unknown_fields=True):
    """Who a stranger is."""

    name: Name
    force: Annotated[bool, Meta(description="enrol although they look like somebody else")] = False


class WhoItWas(Struct, forbid_unknown_fields=True):
    """Who it was whom an event named wrongly."""

    was: Annotated[str, Meta(max_length=80, description="the name; empty: a stranger, or nobody knows")] = ""
    force: Annotated[bool, Meta(description="enrol although they look like somebody else")] = False


class TokenGiven(Struct, forbid_unknown_fields=True):
    """A token, to begin a session with."""

    token: Annotated[str, Meta(min_length=1, max_length=200)]


class Target(Struct, forbid_unknown_fields=True):
    """The target FPIR."""

    false_accepts_per_1000_strangers: Annotated[
        float, Meta(ge=0.001, le=1000, description="of 1,000 strangers, so many may get a name")
    ]


class Switch(Struct, forbid_unknown_fields=True):
    """Whether a camera watches."""

    on: bool


class BeforeCamera(Struct, forbid_unknown_fields=True):
    """Before which camera somebody stands who is to be enrolled."""

    camera: Annotated[str, Meta(min_length=1, max_length=64, description="its name in the configuration")]
    views: Annotated[int, Meta(ge=1, le=20, description="how many views to gather")] = 5


class Note(Struct, forbid_unknown_fields=True):
    """What somebody agreed to, and until when; what is left out stays as it is."""

    consent: Annotated[str, Meta(max_length=2000, description="empty: as it is; -: nothing")] = ""
    expires: Annotated[
        float,
        Meta(ge=0, le=1e11, description="seconds since the Unix epoch after which they are forgotten; 0: as it is"),
    ] = 0.0
    for_good: Annotated[bool, Meta(description="they are never forgotten by themselves")] = False


class PhotoQuery(Struct):
    source: Annotated[str, Meta(min_length=1, max_length=200, description="where it came from, for people")] = "API"
    force: Annotated[bool, Meta(description="take a photo that is poor or looks like somebody else")] = False
    face: Annotated[
        int, Meta(ge=0, le=1000, description="of several faces the one meant, from the left; 0: the one that fits")
    ] = 0


class RestoreQuery(Struct):
    merge: Annotated[bool, Meta(description="add to people of the same name")] = False
    forgotten: Annotated[bool, Meta(description="also people who were forgotten here since")] = False
    signer: Annotated[str, Meta(max_length=80, description="only from this device; empty: of any")] = ""


class VisitsQuery(Struct):
    limit: Annotated[int, Meta(ge=1, le=1000, description="so many visits and events at most")] = 100
    since: Annotated[float, Meta(ge=0, le=1e11, description="only of this moment or later")] = 0.0
    before: Annotated[float, Meta(ge=0, le=1e11, description="only what began before this moment; 0: all")] = 0.0
    camera: Annotated[str, Meta(max_length=64, description="only of this camera; empty: of all")] = ""
    person: Annotated[str, Meta(max_length=80, description="only of this person; empty: of everybody")] = ""
    unknown: Annotated[bool, Meta(description="only of people who got no name")] = False


class EventsQuery(Struct):
    after: Annotated[int, Meta(ge=-1, lt=2**53, description="only behind this number; -1: the latest")] = -1
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100
    since: Annotated[float, Meta(ge=0, le=1e11, description="seconds since the Unix epoch")] = 0.0
    camera: Annotated[str, Meta(max_length=64, description="only of this camera; empty: of all")] = ""
    kind: Annotated[str, Meta(max_length=32, description="only of this kind; empty: of all")] = ""
