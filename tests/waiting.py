"""Waiting for what other threads and processes do."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE_S = 60.0


def wait_for(done: Callable[[], object], patience_s: float = PATIENCE_S) -> None:
    """Return as soon as ``done`` is true; fail if that takes longer than anything ever should."""
    until_s = time.monotonic() + patience_s
    while not done():
        assert time.monotonic() < until_s, "it never came"
        time.sleep(0.01)
