"""Text that others wrote, made fit for a terminal, a log and a line of a table: nothing in it moves a cursor.

ECMA-48 control functions begin with ESC or a C1 control; Unicode's bidirectional controls reorder what stands beside
them (Boucher and Anderson, "Trojan source", 2021).
"""

from __future__ import annotations

import io
import os
import select
import threading
import unicodedata
from typing import IO, Any

from edge_runtime.text.masking import masked, without_known

_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_ESCAPED_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})
_OF_A_STREAM = frozenset("\n\t\r")
_PIECE_BYTES = select.PIPE_BUF
"""A stream that poll(2) calls writable takes so many at once."""


def printable(text: str) -> str:
    """``text`` on one line, with every control character, line break and lone surrogate as a backslash escape."""
    return "".join(_escaped(c) if _moves(c) else c for c in text)


class PlainStream(io.TextIOBase):
    """A stream in front of another: what is written loses escape sequences and secrets that are known.

    A reader that is gone costs nothing but the text, and after ``wait_for_nobody`` one that does not read neither.
    """

    def __init__(self, stream: IO[str], may_fail: bool) -> None:
        """Write to ``stream``; with ``may_fail`` its errors are swallowed, as is right for standard error."""
        self._stream, self._may_fail = stream, may_fail
        self._clean = masked if may_fail else without_known
        self._waits = True
        self._lock = threading.Lock()

    def wait_for_nobody(self) -> None:
        """Leave out from now on what would have to wait for its reader, as a daemon must."""
        self._waits = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write ``text``; returns its length."""
        plain = self._clean(text)
        if not plain.isprintable():
            plain = "".join(c if c in _OF_A_STREAM or not _moves(c, keep=True) else _escaped(c) for c in plain)
        try:
            if self._waits:
                self._stream.write(plain)
            else:
                self._write_at_once(plain.encode(errors="backslashreplace"))
        except (OSError, ValueError):
            if not self._may_fail:
                raise
        return len(text)

    def _write_at_once(self, text: bytes) -> None:
        number = self._stream.fileno()
        poll = select.poll()
        poll.register(number, select.POLLOUT)
        with self._lock:
            while text and poll.poll(0):
                text = text[os.write(number, text[:_PIECE_BYTES]) :]

    def flush(self) -> None:
        """Pass on what is held."""
        try:
            self._stream.flush()
        except (OSError, ValueError):
            if not self._may_fail:
                raise

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()

    def writable(self) -> bool:
        return True


def _moves(c: str, keep: bool = False) -> bool:
    """Whether a character does more than stand there; with ``keep`` a lone surrogate passes, as a byte of a name."""
    category = unicodedata.category(c)
    return c in _BIDI or (category in _ESCAPED_CATEGORIES and not (keep and category == "Cs"))


def _escaped(c: str) -> str:
    code = ord(c)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
