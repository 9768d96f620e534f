"""Seeded ways to spoil bytes and JSON documents."""

from __future__ import annotations

import copy
import struct
from typing import Any

import numpy as np

_WORDS = (-(2**31), -1, 0, 1, 2, 4, 7, 8, 127, 128, 255, 256, 65535, 2**16, 2**24, 2**31 - 1)
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 10**400, -(10**400), 0.5, -0.0, 1e308, float("nan"), float("inf"), "",
    "x", "../../etc/passwd", "/etc/passwd", "a\nb", "\x1b[2J", "\ud800", "é" * 300, "x" * 5000, [], {}, [[]], [{}],
    {"": {}}, [0] * 1000, [[0, 0]] * 5, {"file": "x"},
    "manifest.json", "encoder.tflite", "CON", "con\x00", "-", ".", "..",
)  # fmt: skip


def spoil_bytes(data: bytes, rng: np.random.Generator) -> bytes:
    """One to four changes: bits, bytes, words, cuts, copies, insertions."""
    spoilt = bytearray(data)
    for _ in range(int(rng.integers(1, 5))):
        at = int(rng.integers(0, max(len(spoilt), 1)))
        kind = int(rng.integers(0, 7))
        if not spoilt or kind == 0:
            spoilt[at:at] = bytes(rng.integers(0, 256, int(rng.integers(1, 9)), np.uint8))
        elif kind == 1:
            spoilt[at] ^= 1 << int(rng.integers(8))
        elif kind == 2:
            spoilt[at] = int(rng.integers(256))
        elif kind in (3, 4):
            word = (*_WORDS, len(spoilt), int(rng.integers(0, 2048)))[int(rng.integers(len(_WORDS) + 2))]
            at &= ~3
            spoilt[at : at + 4] = struct.pack("<i", word)
        elif kind == 5:
            source, length = int(rng.integers(0, len(spoilt))), int(rng.integers(1, 64))
            spoilt[at : at + length] = spoilt[source : source + length]
        else:
            del spoilt[at : at + int(rng.integers(1, max(len(spoilt) // 4, 2)))]
    return bytes(spoilt)


def spoil_document(document: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    """One to three places of a JSON document replaced, removed, doubled or renamed."""
    spoilt = copy.deepcopy(document)
    for _ in range(int(rng.integers(1, 4))):
        container, key = _place(spoilt, rng)
        if container is None:
            break
        kind = int(rng.integers(0, 5))
        value = copy.deepcopy(VALUES[int(rng.integers(len(VALUES)))])
        if kind == 0:
            del container[key]
        elif kind == 1 and isinstance(container, dict):
            container[value if isinstance(value, str) else "extra"] = container.pop(key)
        elif kind == 2 and isinstance(container, list):
            container.extend(copy.deepcopy(container))
        else:
            container[key] = value
    return spoilt


def _place(document: Any, rng: np.random.Generator) -> tuple[Any, Any]:
    """A container within the document and one of its keys."""
    places = []
    waiting = [document]
    while waiting:
        container = waiting.pop()
        keys = list(container) if isinstance(container, dict) else list(range(len(container)))
        places += [(container, key) for key in keys]
        waiting += [container[key] for key in keys if isinstance(container[key], dict | list)]
    return places[int(rng.integers(len(places)))] if places else (None, None)
