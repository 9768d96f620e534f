"""Requests about the people of the gallery."""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass

from edge_runtime.control.protocol import Answer
from edge_runtime.errors import UsageError
from edge_runtime.requests.access import Access
from edge_runtime.schema.table import key

NO_CONSENT = "-"
"""As a consent: what was noted goes."""


@dataclass(frozen=True)
class ListPeople:
    """Everybody: ``people``: [{``person_id``, ``name``, ``templates``, ``added``, ``consent``, ``expires``,
    ``merged``: [{``person_id``, ``name``, ``templates``, ``expires``}]}].
    """


@dataclass(frozen=True)
class CheckPeople:
    """What an owner should look at: ``findings``: [{``kind``, ``name``, ``template_id``, ``text``, ``other``}]."""

    name: str = key("", "of one person alone; empty: of everybody")


@dataclass(frozen=True)
class ShowPerson:
    """The person's mapping with ``records``: [{``template_id``, ``source``, ``weight``, ``added``, ``forced``,
    ``crop``}], and ``negatives``: [{``negative_id``, ``source``, ``added``}].
    """

    name: str = key(help="whose")


@dataclass(frozen=True)
class RenamePerson:
    """The person's mapping, renamed."""

    old: str = key(help="the present name")
    new: str = key(help="the name to have")


@dataclass(frozen=True)
class MergePeople:
    """The mapping of whom somebody was merged into: photos and events of both are theirs from then on."""

    name: str = key(help="of whom is the same person as another one")
    into: str = key(help="name of the other one, who keeps name, note and expiry")


@dataclass(frozen=True)
class UnmergePerson:
    """Undo ``people.merge``: the person's mapping, as it was before."""

    name: str = key(help="that they had")


@dataclass(frozen=True)
class ForgetPerson:
    """The person's mapping, as it was."""

    name: str = key(help="whose")


@dataclass(frozen=True)
class DropPhoto:
    """The person's mapping, without that photo."""

    name: str = key(help="whose")
    template_id: int = key(help="number of the photo, as people.show gives it")


@dataclass(frozen=True)
class NotePerson:
    """The person's mapping, with what they agreed to and until when."""

    name: str = key(help="whose")
    consent: str = key("", "what they agreed to; empty: as it is; -: nothing")
    expires: float = key(0.0, "seconds since the Unix epoch after which they are forgotten; 0: as it is")
    for_good: bool = key(False, "they are never forgotten by themselves")


def list_people(access: Access, request: ListPeople, payload: bytes) -> Answer:
    gallery = access.holdings.gallery
    return {"people": [asdict(person) for person in gallery.people()] if gallery else []}


def check_people(access: Access, request: CheckPeople, payload: bytes) -> Answer:
    held = access.holdings
    findings = (
        held.enroller().check(held.margin, request.name or None) if held.gallery and held.gallery.people() else []
    )
    return {"findings": [asdict(finding) for finding in findings]}


def show_person(access: Access, request: ShowPerson, payload: bytes) -> Answer:
    gallery = access.holdings.gallery_with(request.name)
    records = [asdict(record) for record in gallery.records(request.name)]
    negatives = [asdict(record) for record in gallery.negatives(request.name)]
    return asdict(gallery.person(request.name)) | {"records": records, "negatives": negatives}


def rename_person(access: Access, request: RenamePerson, payload: bytes) -> Answer:
    return asdict(access.holdings.gallery_with(request.old).rename(request.old, request.new))


def merge_people(access: Access, request: MergePeople, payload: bytes) -> Answer:
    return asdict(access.holdings.gallery_with(request.name).merge(request.name, request.into))


def unmerge_person(access: Access, request: UnmergePerson, payload: bytes) -> Answer:
    return asdict(access.holdings.gallery_with(request.name).unmerge(request.name))


def forget_person(access: Access, request: ForgetPerson, payload: bytes) -> Answer:
    """The person as they were, and ``remains``: whether another program, or the disk, keeps what was deleted from going
    at once; the daemon tries again until it has gone.
    """
    held = access.holdings
    gallery = held.gallery_with(request.name)
    person = asdict(gallery.forget(request.name))
    gone = held.on_forget is None or held.on_forget()
    return person | {"remains": gallery.remains or not gone}


def drop_photo(access: Access, request: DropPhoto, payload: bytes) -> Answer:
    return asdict(access.holdings.gallery_with(request.name).drop(request.name, request.template_id))


def note_person(access: Access, request: NotePerson, payload: bytes) -> Answer:
    if request.for_good and request.expires:
        raise UsageError("people.note: expected expires or for_good, received both")
    if request.expires and request.expires <= time.time():
        raise UsageError("people.note: expected a moment to come, received one that is past; nothing was changed")
    consent = {"": None, NO_CONSENT: ""}.get(request.consent, request.consent)
    expires = math.inf if request.for_good else request.expires or None
    return asdict(access.holdings.gallery_with(request.name).note(request.name, consent, expires))
