"""An event as a row of the log: people by their opaque ids, the crop sealed."""

from __future__ import annotations

import dataclasses
import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_runtime.gallery.directory import STRANGER, Directory
from edge_runtime.storage.keys import row_mac, seal, unseal
from edge_runtime.types import Event, Floats

FORGOTTEN = ""
"""Stands for a person whom the gallery has forgotten; no person at all is None."""

_PEOPLE = {"person": "person_id", "candidate": "candidate_id", "runner_up": "runner_up_id"}
_PLAIN = {"wall_time": "at_s", "kind": "kind", "camera": "camera", "track_id": "track_id", "template_id": "template_id"}
_FIELDS = frozenset(item.name for item in dataclasses.fields(Event))
_BODY = tuple(sorted(_FIELDS - {*_PEOPLE, *_PLAIN, "crop", "clip", "embedding", "encoder", "footage", "event_id"}))
COLUMNS = ("event_id", "clock_s", *_PLAIN.values(), *_PEOPLE.values(), "body", "crop", "face", "footage", "mac")
PLAIN_COLUMNS = tuple(name for name in COLUMNS if name not in ("crop", "face", "footage"))
"""Without what is sealed, or bound to what is, and so shows by itself whether it was altered."""
_SIGNED = tuple(name for name in PLAIN_COLUMNS if name != "mac")
_ENCODER_BYTES = 32


def to_row(
    event: Event, directory: Directory, forgotten: frozenset[str], event_id: int, clock_s: float
) -> dict[str, Any] | None:
    """The row that keeps an event; None if it is of a person forgotten by now.

    Args:
        event: with names.
        directory: of the moment it was made.
        forgotten: ids of everybody forgotten since, too.
        event_id: its number.
        clock_s: see ``LogClock``.

    Raises:
        TypeError, ValueError: it holds a value that cannot be kept.
    """
    people = {}
    for name, column in _PEOPLE.items():
        who = getattr(event, name)
        person_id = None if who is None else directory.ids.get(who, FORGOTTEN)
        people[column] = FORGOTTEN if person_id in forgotten else person_id
    if people["person_id"] == FORGOTTEN:
        return None
    nearest_is_gone = people["candidate_id"] == FORGOTTEN
    key = directory.crop_keys.get(people["person_id"] or STRANGER)
    crop = None
    if event.crop is not None and key is not None and not nearest_is_gone:
        crop = seal(key, event.crop, _place(event_id))
    face = None
    if event.embedding is not None and event.encoder is not None and people["person_id"] and key is not None:
        plain = bytes.fromhex(event.encoder) + event.embedding.astype("<f4").tobytes()
        face = seal(key, plain, _place(event_id, "face"))
    row = {
        "event_id": event_id,
        "clock_s": clock_s,
        **{column: getattr(event, name) for name, column in _PLAIN.items()},
        "at_s": float(event.wall_time),
        **people,
        "body": json.dumps({name: getattr(event, name) for name in _BODY}, ensure_ascii=False, separators=(",", ":")),
        "crop": crop,
        "face": face,
        "footage": None if nearest_is_gone else event.footage,
    }
    return signed(row | {"template_id": None} if nearest_is_gone else row)


def signed(row: dict[str, Any]) -> dict[str, Any]:
    """The row with what shows later that it is as it was written."""
    return row | {"mac": _mac(row)}


def is_sound(row: Mapping[str, Any] | sqlite3.Row) -> bool:
    """Whether a row of ``event`` is as it was written; its crop need not be there."""
    return bool(row["mac"] == _mac(row))


def _mac(row: Mapping[str, Any] | sqlite3.Row) -> bytes:
    return row_mac(b"", "event", *(row[name] for name in _SIGNED))


@dataclass(frozen=True, slots=True)
class Record:
    """A row of the log.

    Attributes:
        event_id: its number.
        values: the other columns but crop and face.
        has_crop: a crop is kept beside it.
        footage: token of a snapshot and a clip that may be kept beside it; see ``Footage``.
        sound: whether they are as they were written; nothing else is told of one that is not.
    """

    event_id: int
    values: dict[str, Any]
    has_crop: bool = False
    footage: str | None = None
    sound: bool = True

    @classmethod
    def of(cls, row: sqlite3.Row) -> Record:
        values = dict(row)
        has_crop = bool(values.pop("has_crop", False))
        footage = values.pop("footage", None)
        return cls(values.pop("event_id"), values, has_crop, footage, is_sound(row))

    def event(self, directory: Directory) -> Event | None:
        """The event with the names that people have now; None: of a person forgotten by now, or damaged."""
        if not self.sound or self.values["person_id"] in directory.forgotten:
            return None
        body = {name: value for name, value in json.loads(self.values["body"]).items() if name in _FIELDS}
        if body.get("xyxy") is not None:
            body["xyxy"] = tuple(body["xyxy"])
        names: dict[str, Any] = {name: directory.name_of(self.values[column]) for name, column in _PEOPLE.items()}
        plain: dict[str, Any] = {name: self.values[column] for name, column in _PLAIN.items()}
        return Event(**body, **plain, **names, event_id=self.event_id)

    def whose(self, name: str) -> str | None:
        """The id behind ``person``, ``candidate`` or ``runner_up``; None: nobody, ``FORGOTTEN``: somebody forgotten."""
        person_id: str | None = self.values[_PEOPLE[name]]
        return person_id


def key_of(record: Record, directory: Directory) -> bytes | None:
    """What seals the pictures beside an event; None if it is gone."""
    return directory.crop_keys.get(record.values["person_id"] or STRANGER)


def open_crop(sealed: bytes, record: Record, directory: Directory) -> bytes | None:
    """The JPEG beside an event; None if the key it was sealed with is gone."""
    key = key_of(record, directory)
    try:
        return None if key is None else unseal(key, sealed, _place(record.event_id))
    except ValueError:
        return None


def open_face(sealed: bytes, record: Record, directory: Directory) -> tuple[str, Floats] | None:
    """The encoder and the embedding float32 (D,) beside an event; None if the key they were sealed with is gone."""
    key = key_of(record, directory)
    try:
        plain = None if key is None else unseal(key, sealed, _place(record.event_id, "face"))
    except ValueError:
        return None
    if plain is None:
        return None
    return plain[:_ENCODER_BYTES].hex(), np.frombuffer(plain[_ENCODER_BYTES:], "<f4").astype(np.float32)


def _place(event_id: int, kind: str = "") -> str:
    return f"event/{event_id}/{kind}" if kind else f"event/{event_id}"
