"""What is true now, as retained messages: made of the daemon's status, whatever events came and went."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from edge_runtime.sinks.mqtt import discovery
from edge_runtime.sinks.mqtt.settings import Settings
from edge_runtime.sinks.mqtt.topics import is_id, slug, slugs

Retained = dict[str, bytes]
"""Payloads by topic."""
NOBODY, STRANGER = "nobody", "unknown"
FACE_S = 60.0
"""So long a camera's last face stays before it is nobody's again."""
NO_FACE = "None"
_STATUS = {"running": "online", "disabled": "disabled"}


@dataclass
class Seen:
    """When and where somebody was seen last; seconds since the Unix epoch."""

    at_s: float
    camera: str


@dataclass
class States:
    """Remembers what a status does not say: who was seen when. For one thread.

    Attributes:
        seen: people by id.
        faces: person's id and last time by camera.
    """

    settings: Settings
    version: str
    seen: dict[str, Seen] = field(default_factory=dict)
    faces: dict[str, tuple[str, float]] = field(default_factory=dict)

    def note(self, person_id: str, camera: str, at_s: float) -> None:
        """Somebody was seen; what is older than what is known changes nothing."""
        known = self.seen.get(person_id)
        if known is None or at_s > known.at_s:
            self.seen[person_id] = Seen(at_s, camera)
        if at_s > self.faces.get(camera, ("", 0.0))[1]:
            self.faces[camera] = person_id, at_s

    def recall(self, person_id: object, camera: object, at: object, cameras: Mapping[str, Any]) -> None:
        """What the broker still knows of somebody from before this run; only what can be true is believed."""
        if not (is_id(person_id) and isinstance(camera, str) and camera in cameras and isinstance(at, str)):
            return
        try:
            at_s = datetime.fromisoformat(at).timestamp()
        except (ValueError, OverflowError, OSError):
            return
        if str(person_id) not in self.seen and 0 < at_s <= time.time():
            self.seen[str(person_id)] = Seen(at_s, camera)

    def retained(self, status: Mapping[str, Any], people: Mapping[str, str], now_s: float) -> Retained:
        """Every retained message but ``available``.

        Args:
            status: of the daemon.
            people: names by id.
            now_s: seconds since the Unix epoch.
        """
        ids = {name: person_id for person_id, name in people.items()}
        for name, camera in status["cameras"].items():
            for person in camera["people"]:
                if person in ids:
                    self.note(ids[person], name, now_s)
        self.seen = {who: seen for who, seen in self.seen.items() if who in people}
        told = {self.settings.topics.state: _json(self._device(status))}
        for name, camera in status["cameras"].items():
            told |= self._camera(name, camera, people, now_s)
        if self.settings.presence:
            for person_id, level in slugs(people).items():
                told |= self._person(person_id, people[person_id], level, now_s)
        if self.settings.discovery:
            told |= self._announced(status, people)
        return told

    def _device(self, status: Mapping[str, Any]) -> dict[str, Any]:
        gallery = status["gallery"]
        return {
            "state": status["state"],
            "troubles": [f"{one['part']}: {one['reason']}" for one in status["troubles"]],
            "temperature_c": None if status["temperature_c"] is None else round(status["temperature_c"]),
            "people": gallery["people"],
            "target_per_1000": gallery["target_per_1000"],
            "expected_per_1000": gallery["expected_per_1000"],
        }

    def _camera(self, name: str, camera: Mapping[str, Any], people: Mapping[str, str], now_s: float) -> Retained:
        topics = self.settings.topics
        who, at_s = self.faces.get(name, ("", 0.0))
        face = people.get(who, NO_FACE) if now_s - at_s < FACE_S else NO_FACE
        named, unknowns = camera["people"], camera["unknowns"]
        attributes = {
            "node": topics.node,
            "camera": name,
            "count": len(named) + unknowns,
            "people": named,
            "unknowns": unknowns,
            "last_face": face,
            "last_face_at": None if face == NO_FACE else _iso(at_s),
        }
        return {
            topics.camera(name, "status"): _STATUS.get(camera["state"], "offline").encode(),
            topics.camera(name, "person"): (", ".join([*named, *[STRANGER][:unknowns]]) or NOBODY).encode(),
            topics.camera(name, "attributes"): _json(attributes),
        }

    def _person(self, person_id: str, name: str, level: str, now_s: float) -> Retained:
        topics, seen = self.settings.topics, self.seen.get(person_id)
        home = None if seen is None else now_s - seen.at_s < 3600 * self.settings.away_after_h
        attributes = {
            "node": topics.node,
            "id": person_id,
            "name": name,
            "camera": None if seen is None else seen.camera,
            "last_seen": None if seen is None else _iso(seen.at_s),
        }
        return {
            topics.person(level, "attributes"): _json(attributes),
            topics.person(level, "home"): b"None" if home is None else b"home" if home else b"not_home",
        }

    def _announced(self, status: Mapping[str, Any], people: Mapping[str, str]) -> Retained:
        settings, topics = self.settings, self.settings.topics
        warm = status["temperature_c"] is not None
        told = {topics.config(): discovery.device(topics, self.version, settings.commands, warm)}
        for name, part in parts(status["cameras"]).items():
            told[topics.config(part)] = discovery.camera(
                topics, name, part, self.version, settings.commands, settings.image != "none"
            )
        if settings.presence:
            for person_id, level in slugs(people).items():
                told[topics.config("person", person_id)] = discovery.person(
                    topics, person_id, people[person_id], level, self.version
                )
        return {topic: _json(message) for topic, message in told.items()}


def parts(cameras: Mapping[str, Any]) -> dict[str, str]:
    """What stands for each camera in ids, by its name."""
    digests = {hashlib.sha256(name.encode()).hexdigest()[:8]: name for name in cameras}
    levels = slugs(digests)
    return {name: f"camera_{slug(levels[digest])}" for digest, name in digests.items()}


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def _iso(at_s: float) -> str:
    """To the minute, so that somebody who stays in view is not published with every look."""
    return datetime.fromtimestamp(at_s // 60 * 60, UTC).isoformat()
