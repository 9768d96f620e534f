"""Names of topics, and what a name of a person or camera becomes in one.

A topic's levels are divided by ``/``; ``+`` and ``#`` are wildcards of subscribers, and a topic that holds one is
malformed (MQTT 5.0, section 4.7).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass

_LONGEST_SLUG = 40
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


def slug(text: str) -> str:
    """Small letters, digits and ``_`` alone, for ids and topics; may be empty, as for a name in another script."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "_", plain)[:_LONGEST_SLUG].strip("_")


def is_id(text: object) -> bool:
    """Whether it can be an id of the gallery's, and so stand in a topic."""
    return isinstance(text, str) and _ID.fullmatch(text) is not None


def slugs(names: Mapping[str, str]) -> dict[str, str]:
    """A level of a topic for each of these, by id: no two alike, whatever people are called.

    Args:
        names: by opaque id.
    """
    found: dict[str, str] = {}
    plain = {each: slug(name) for each, name in names.items()}
    taken = [text for text in plain.values() if text]
    for each, text in plain.items():
        alone = bool(text) and taken.count(text) == 1
        found[each] = text if alone else f"{text or 'person'}-{each}"
    return found


@dataclass(frozen=True)
class Topics:
    """Topics below one prefix.

    Attributes:
        prefix: first levels of every topic.
        discovery: first levels of Home Assistant's discovery.
        node: this device, as in ids of Home Assistant's.
    """

    prefix: str
    discovery: str
    node: str

    @property
    def available(self) -> str:
        return f"{self.prefix}/available"

    @property
    def events(self) -> str:
        return f"{self.prefix}/events"

    @property
    def updates(self) -> str:
        """What Frigate's readers know."""
        return f"{self.prefix}/tracked_object_update"

    @property
    def stats(self) -> str:
        return f"{self.prefix}/stats"

    @property
    def state(self) -> str:
        return f"{self.prefix}/state"

    def camera(self, camera: str, leaf: str) -> str:
        """Of a camera, whose name the configuration keeps free of ``/``, ``+`` and ``#``."""
        return f"{self.prefix}/{camera}/{leaf}"

    def person(self, level: str, leaf: str) -> str:
        """Of a person, by the level that :func:`slugs` gave."""
        return f"{self.prefix}/people/{level}/{leaf}"

    def config(self, *parts: str) -> str:
        """Where a device of Home Assistant's is announced: this one, or the part of it that ``parts`` name."""
        return f"{self.discovery}/device/{self.unique(*parts)}/config"

    def unique(self, *parts: str) -> str:
        """An id that no other device of ours has."""
        return "_".join((self.node, *parts))
