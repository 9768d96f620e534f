"""What the signals of a service manager do to the daemon."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def signals(stop: Callable[[], None], reload: Callable[[], None], wakeup_fd: int) -> Iterator[None]:
    """SIGTERM and SIGINT stop, SIGHUP reloads; outside the main thread signals are somebody else's.

    Args:
        stop: called in the handler of the first two.
        reload: called in the handler of the third; must only ask for it.
        wakeup_fd: of a socket that does not block; gets a byte for each signal.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    actions = {
        signal.SIGTERM: lambda number, frame: stop(),
        signal.SIGINT: lambda number, frame: stop(),
        signal.SIGHUP: lambda number, frame: reload(),
    }
    before = {number: signal.signal(number, action) for number, action in actions.items()}
    wakeup = signal.set_wakeup_fd(wakeup_fd, warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(wakeup)
        for number, action in before.items():
            signal.signal(number, action)
