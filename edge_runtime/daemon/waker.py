"""Wakes the loop of the daemon while it waits: from any thread, and from signal handlers."""

from __future__ import annotations

import socket
from contextlib import suppress

from edge_runtime.system.closing import Closing


class Waker(Closing):
    """A pair of sockets: what is written into one ends a ``select`` on the other."""

    def __init__(self) -> None:
        """Open both."""
        self._ours, self._loops = socket.socketpair()
        self._ours.setblocking(False)
        self._loops.setblocking(False)

    @property
    def signal_fd(self) -> int:
        """To be given to ``signal.set_wakeup_fd``."""
        return self._ours.fileno()

    def fileno(self) -> int:
        """Readable once somebody has woken the loop."""
        return self._loops.fileno()

    def wake(self) -> None:
        """End the wait; may be called from any thread, at any time."""
        # Full: it will wake anyway. Closed: nobody is left to wake.
        with suppress(OSError):
            self._ours.send(b".")

    def clear(self) -> None:
        """The loop is awake: the next wait is a new one."""
        self._loops.recv(4096)

    def close(self) -> None:
        """Let go of both; may be called again."""
        self._ours.close()
        self._loops.close()
