"""Which work the processor is for: the frame loop first, whatever somebody waits for afterwards."""

from __future__ import annotations

import os
import threading

_NICE = 10


def step_back() -> None:
    """Let this thread, and what it starts, have the processor after others (setpriority(2), in Linux of one thread)."""
    thread = threading.get_native_id()
    os.setpriority(os.PRIO_PROCESS, thread, max(_NICE, os.getpriority(os.PRIO_PROCESS, thread)))
