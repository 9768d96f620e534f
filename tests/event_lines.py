"""A daemon's events as they come out of a pipe, one JSON line each."""

from __future__ import annotations

import json
import os
import select
import time
from typing import Any


class EventLines:
    """Reads events from a file descriptor; what was read and not asked for yet is in ``rest``."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.rest = b""

    def next_event(self, kinds: tuple[str, ...], timeout_s: float) -> dict[str, Any]:
        """Wait for the next event of these kinds, ``timeout_s`` in all; others before it are passed over."""
        until_s = time.monotonic() + timeout_s
        while True:
            line, newline, rest = self.rest.partition(b"\n")
            if newline:
                self.rest = rest
                event: dict[str, Any] = json.loads(line)
                if event["kind"] in kinds:
                    return event
            else:
                wait_s = max(until_s - time.monotonic(), 0.0)
                assert wait_s and select.select([self._descriptor], [], [], wait_s)[0], f"none of {kinds} came"
                more = os.read(self._descriptor, 65536)
                assert more, f"the daemon ended before one of {kinds}"
                self.rest += more
