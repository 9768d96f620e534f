"""How a command's worker processes start and end: none outlives it, and Ctrl-C is for the command alone."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker


@contextmanager
def starting_workers() -> Iterator[None]:
    """Hold Ctrl-C and SIGTERM until every process is wholly started; those started within never see Ctrl-C."""
    held: list[int] = []
    resource_tracker.ensure_running()  # otherwise the first process starts it, which opens the mask again
    before = {
        number: signal.signal(number, lambda number, frame: held.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    # The mask is for them, as they inherit it; here the libraries' threads have none, so the handlers are needed too.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        for number, action in before.items():
            signal.signal(number, action)
        if held:
            signal.raise_signal(held[0])


def follow_parent() -> None:
    """End with the parent, however it ends; to be called first in a worker process."""
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A pool's workers would wait for ever for a parent that was killed."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    multiprocessing.connection.wait([parent.sentinel])
    os._exit(1)
