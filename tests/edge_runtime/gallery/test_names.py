"""Names: what is kept, what is refused, and what counts as the same person."""

from __future__ import annotations

import pytest

from edge_runtime.errors import InputError
from edge_runtime.gallery.names import clean_name, same_name


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("  Anna ", "Anna"),
        ("Zoe\u0308", "Zo\u00eb"),
        ("Émile Zola", "Émile Zola"),
        ("李小龍", "李小龍"),
        ("x" * 80, "x" * 80),
        ("An\u200bna", "Anna"),
        ("Anna\u3164  Maria", "Anna Maria"),
        ("\u0639\u0644\u06cc\u200c\u0631\u0636\u0627", "\u0639\u0644\u06cc\u200c\u0631\u0636\u0627"),
    ],
)
def test_name_is_trimmed_and_composed(given: str, kept: str) -> None:
    assert clean_name(given) == kept


_UNSEEN = ["\u2060", "\u3164", "unknown\u200b", "un\u200cknown", "unkn\u043ewn", "\uff55\uff4eknown", "n\u00f6body"]
"""Names that look like nothing, or like a reserved word."""


@pytest.mark.parametrize(
    "name",
    [
        "",
        "   ",
        "x" * 81,
        "a\nb",
        "a\x00",
        "a\x1b[31m",
        "\u202eannA",
        "\ud800",
        "unknown",
        "Unknown",
        "nobody",
        *_UNSEEN,
    ],
)
def test_unusable_name_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="name: "):
        clean_name(name)


def test_case_and_composition_do_not_make_another_person() -> None:
    assert same_name("ANNA", "anna ")
    assert same_name("Zoe\u0308", "ZO\u00cb")
    assert same_name("Straße", "STRASSE")
    assert not same_name("Anna", "Anne")


def test_what_cannot_be_seen_does_not_make_another_person() -> None:
    assert same_name("An\u200bna", "Anna") and same_name("Anna  Maria", "Anna Maria")
    assert same_name("\u0639\u0644\u06cc\u200c\u0631\u0636\u0627", "\u0639\u0644\u06cc\u0631\u0636\u0627")
