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
    ],
)
def test_name_is_trimmed_and_composed(given: str, kept: str) -> None:
    assert clean_name(given) == kept


@pytest.mark.parametrize(
    "name", ["", "   ", "x" * 81, "a\nb", "a\x00", "a\x1b[31m", "\u202eannA", "\ud800", "unknown", "Unknown", "nobody"]
)
def test_unusable_name_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="name: "):
        clean_name(name)


def test_case_and_composition_do_not_make_another_person() -> None:
    assert same_name("ANNA", "anna ")
    assert same_name("Zoe\u0308", "ZO\u00cb")
    assert same_name("Straße", "STRASSE")
    assert not same_name("Anna", "Anne")
