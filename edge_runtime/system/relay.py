"""What a process of ours writes to its standard error goes through this one's: without secrets, waiting for nobody."""

from __future__ import annotations

import sys
import threading
from contextlib import suppress
from typing import IO

from edge_runtime.text.masking import masked

_LINE_BYTES = 1 << 16


def relay(lines: IO[bytes], name: str) -> threading.Thread:
    """Begin to pass on ``lines`` until they end, in a thread of that name, which closes them."""

    def pass_on() -> None:
        with lines:
            while line := lines.readline(_LINE_BYTES):
                with suppress(OSError, ValueError, AttributeError):  # nobody reads it, or there is no standard error
                    sys.stderr.write(masked(line.decode(errors="backslashreplace")))

    thread = threading.Thread(target=pass_on, name=name, daemon=True)
    thread.start()
    return thread
