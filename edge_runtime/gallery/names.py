"""What a person may be called, and when two names are the same person."""

from __future__ import annotations

import unicodedata

from edge_runtime.errors import InputError

MAX_LENGTH = 80
RESERVED = frozenset({"unknown", "nobody", "none"})
"""What programs read where nobody is named."""

_BIDI_CONTROLS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_REFUSED_CATEGORIES = frozenset({"Cc", "Cs", "Cn", "Zl", "Zp"})


def clean_name(name: str) -> str:
    """The name as it is kept: composed (Unicode NFC) and without space around it.

    Raises:
        InputError: empty, longer than 80 characters, with control characters, or a reserved word.
    """
    clean = unicodedata.normalize("NFC", name).strip()
    if not 1 <= len(clean) <= MAX_LENGTH:
        raise InputError(f"name: expected 1 to {MAX_LENGTH} characters, received {len(clean)}; choose another")
    if any(unicodedata.category(c) in _REFUSED_CATEGORIES or c in _BIDI_CONTROLS for c in clean):
        raise InputError(f"name: expected no control characters, received {clean!a}; choose another")
    if clean.casefold() in RESERVED:
        raise InputError(f"name: {clean!r} is what a stranger is reported as; choose another")
    return clean


def same_name(one: str, other: str) -> bool:
    """Whether two writings mean the same person: case, composition and space around do not count."""
    return folded(one) == folded(other)


def folded(name: str) -> str:
    """What two writings of the same name have in common."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).strip().casefold())
