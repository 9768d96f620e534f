"""Strangers made of numbers: codes of people who are alike as the test says."""

from __future__ import annotations

import numpy as np

from edge_runtime.config import StrangersConfig
from edge_runtime.types import Floats
from edge_runtime.unknowns.book import UnknownsBook
from edge_runtime.unknowns.file import Kind
from edge_runtime.unknowns.linkage import Linkage
from edge_runtime.unknowns.memory import Sighting

SIZE = 16
KIND = Kind("a" * 64, "b" * 64, SIZE)
KEY = bytes(range(32))
ALIKE = Linkage(np.array([np.inf, 0.7], np.float32))
"""One under which a cosine of 0.7 is the same person."""
CONFIG = StrangersConfig(remember=True)


def code(person: int, turned: float = 0.0, towards: int = SIZE - 1) -> Floats:
    """float32 (SIZE,): a person's own direction, turned by an angle towards another direction."""
    made = np.zeros(SIZE, np.float32)
    made[person], made[towards] = np.cos(turned), np.sin(turned)
    return made


def sighting(of: Floats, first_s: float = 0.0, weight: float = 1.0, crop: bytes | None = None) -> Sighting:
    """Ten seconds in view."""
    return Sighting(of, weight, first_s, first_s + 10, "door", crop)


def book(path, key: bytes = KEY, config: StrangersConfig = CONFIG, kind: Kind | None = KIND) -> UnknownsBook:  # type: ignore[no-untyped-def]
    return UnknownsBook(path, key, config, kind, ALIKE)
