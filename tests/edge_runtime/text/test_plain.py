"""Text of others: it moves no cursor, breaks no line, and is otherwise as it was."""

from __future__ import annotations

import io

import pytest

from edge_runtime.text.plain import PlainStream, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("Zo\u00eb's \u674e.png", "Zo\u00eb's \u674e.png"),
        ("a\x1b[31mb", "a\\x1b[31mb"),
        ("one\ntwo\r", "one\\x0atwo\\x0d"),
        ("\x9b2J", "\\x9b2J"),
        ("\u202egpj.exe", "\\u202egpj.exe"),
        ("\udcff", "\\udcff"),
    ],
)
def test_printable(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_a_stream_keeps_lines_and_loses_escapes() -> None:
    behind = io.StringIO()
    print("a\tb", "\x1b]0;title\x07", file=PlainStream(behind, may_fail=False))
    assert behind.getvalue() == "a\tb \\x1b]0;title\\x07\n"


def test_standard_error_that_cannot_be_written_costs_nothing() -> None:
    full = io.TextIOWrapper(io.FileIO("/dev/full", "w"), write_through=True)  # type: ignore[arg-type]
    print("lost", file=PlainStream(full, may_fail=True), flush=True)
    with pytest.raises(OSError, match="No space"):
        print("lost", file=PlainStream(full, may_fail=False), flush=True)
