"""What a person may be called, and when two names are the same person."""

from __future__ import annotations

import re
import unicodedata

from edge_runtime.errors import InputError

MAX_LENGTH = 80
RESERVED = frozenset({"unknown", "nobody", "none"})
"""What programs read where nobody is named."""

_BIDI_CONTROLS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_JOINERS = frozenset("\u200c\u200d")
_FILLERS = frozenset({0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0})
"""Combining grapheme joiner, Hangul and Khmer fillers, blank Braille pattern: letters by category, and unseen."""
_LOOK_ALIKES = {
    ord(other): latin
    for latin, others in {
        "b": "\u044c\u13cf",
        "d": "\u0501",
        "e": "\u0435",
        "k": "\u043a\u03ba",
        "n": "\u0578",
        "o": "\u043e\u03bf\u0585",
        "u": "\u03c5\u057d",
        "w": "\u0461\u026f\u03c9",
        "y": "\u0443",
    }.items()
    for other in others
}
_REFUSED_CATEGORIES = frozenset({"Cc", "Cs", "Cn", "Zl", "Zp"})


def clean_name(name: str) -> str:
    """The name as it is kept: composed (Unicode NFC), single spaces within, and nothing that cannot be seen.

    Raises:
        InputError: nothing to be seen, longer than 80 characters, with control characters, or a reserved word, also
            one that only looks like it.
    """
    seen = "".join(c for c in unicodedata.normalize("NFC", name) if not _ignorable(c))
    clean = re.sub(" {2,}", " ", seen).strip()
    if not 1 <= len(clean) <= MAX_LENGTH:
        raise InputError(f"name: expected 1 to {MAX_LENGTH} characters, received {len(clean)}; choose another")
    if any(unicodedata.category(c) in _REFUSED_CATEGORIES or c in _BIDI_CONTROLS for c in clean):
        raise InputError(f"name: expected no control characters, received {clean!a}; choose another")
    if skeleton(clean) in RESERVED:
        raise InputError(f"name: {clean!r} is what a stranger is reported as; choose another")
    return clean


def same_name(one: str, other: str) -> bool:
    """Whether two writings mean the same person: case, composition and space around do not count."""
    return folded(one) == folded(other)


def folded(name: str) -> str:
    """What two writings of the same name have in common."""
    seen = "".join(c for c in unicodedata.normalize("NFC", name) if not _ignorable(c) and c not in _JOINERS)
    return unicodedata.normalize("NFC", " ".join(seen.split()).casefold())


def skeleton(name: str) -> str:
    """What a name looks like: compatible characters (Unicode NFKC) and letters of other scripts as Latin ones.

    The few look-alikes that the reserved words need, of the confusables of Unicode Technical Standard 39.
    """
    plain = unicodedata.normalize("NFKC", folded(name)).casefold().translate(_LOOK_ALIKES)
    return "".join(c for c in unicodedata.normalize("NFD", plain) if not unicodedata.combining(c))


def _ignorable(c: str) -> bool:
    """Whether a character shows nothing: Unicode's Default_Ignorable_Code_Point, but for joiners, and space of no use.

    The joiners stay, as Persian and Indic names are written with them.
    """
    if c in _JOINERS or c in _BIDI_CONTROLS:
        return False  # a bidirectional control is refused by name
    return (
        unicodedata.category(c) == "Cf"
        or ord(c) in _FILLERS
        or 0xFE00 <= ord(c) <= 0xFE0F
        or 0xE0000 <= ord(c) < 0xE1000
    )
