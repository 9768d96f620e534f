"""The doctor's table, made at most every few seconds however often it is asked for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from edge_runtime.control.protocol import Answer
from edge_runtime.errors import UsageError

Examine = Callable[[Answer], list[Answer]]
"""Gives the doctor's rows, JSON-ready, by the daemon's status."""

_FRESH_S = 10.0


class Checkup:
    """Safe to use from several threads; there is one examination at a time."""

    def __init__(self, examine: Examine | None) -> None:
        """Look with ``examine``; None: this program cannot."""
        self._examine = examine
        self._lock = threading.Lock()
        self._rows: list[Answer] = []
        self._made_s = -_FRESH_S

    def rows(self, status: Callable[[], Answer]) -> list[Answer]:
        """The rows, of now or of a moment ago.

        Raises:
            UsageError: this program cannot examine the device.
        """
        if self._examine is None:
            raise UsageError("expected a daemon that familiar run has started; familiar doctor looks without one")
        with self._lock:
            if time.monotonic() - self._made_s >= _FRESH_S:
                self._rows = self._examine(status())
                self._made_s = time.monotonic()
            return self._rows
