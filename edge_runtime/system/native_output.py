"""Lines of native libraries that no setting silences and that are no news to anybody, kept off standard error."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress

XNNPACK = b"INFO: Created TensorFlow Lite XNNPACK delegate"
ABSL = (b"WARNING: All log messages before absl::InitializeLog()", b"I0000 ")


@contextmanager
def without_lines(*prefixes: bytes) -> Iterator[None]:
    """Drop lines that start with a prefix; all else written meanwhile is passed on afterwards.

    File descriptor 2 is exchanged, as native code writes there; other threads' lines wait with the rest.
    """
    if not _usable():
        yield
        return
    with tempfile.TemporaryFile() as held:
        original = os.dup(2)
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            _usable()
            os.dup2(original, 2)
            os.close(original)
            held.seek(0)
            others = b"".join(line for line in held if not line.startswith(prefixes))
            with suppress(OSError, ValueError, AttributeError):  # nobody reads it, or its disk is full
                sys.stderr.write(others.decode(errors="backslashreplace"))
                sys.stderr.flush()


def _usable() -> bool:
    """Whether standard error is there; what it holds is passed on where that works."""
    try:
        os.fstat(2)
    except OSError:
        return False
    with suppress(OSError, ValueError, AttributeError):
        sys.stderr.flush()
    return True
