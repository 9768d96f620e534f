"""Something done in a forked process: killed at a moment, or judged by what it leaves."""

from __future__ import annotations

import io
import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout

HANG_S = 120.0


def killed(work: Callable[[int], None], after_acks: int, after_s: float) -> bytes:
    """Let ``work`` run with a pipe for its acknowledgements, kill it, and return what it said.

    Args:
        work: gets the descriptor to write to.
        after_acks: lines to wait for first.
        after_s: then so long.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        _be_quiet()
        try:
            os.close(reading)
            work(writing)
        except BaseException:
            traceback.print_exc(file=sys.__stderr__)
            os.write(writing, b"failed\n")
        finally:
            os._exit(0)
    os.close(writing)
    said = b""
    until = time.monotonic() + HANG_S
    while said.count(b"\n") < after_acks and time.monotonic() < until:
        part = os.read(reading, 1) if select.select([reading], [], [], 1.0)[0] else None
        if part == b"":
            break
        said += part or b""
    time.sleep(after_s)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    while part := os.read(reading, 65536):
        said += part
    os.close(reading)
    return said


def judged(work: Callable[[], str]) -> str:
    """What ``work`` returns, from a process of its own; "hang" or "crash" where it returns nothing."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        _be_quiet()
        try:
            said = work()
        except BaseException:
            said = f"traceback: {traceback.format_exc()}"
        os.write(writing, said.encode(errors="replace")[:60_000] or b" ")
        os._exit(0)
    os.close(writing)
    ready = select.select([reading], [], [], HANG_S)[0]
    parts = []
    while ready and (part := os.read(reading, 65536)):
        parts.append(part)
    os.close(reading)
    if not ready:
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return b"".join(parts).decode(errors="replace").strip(" ") if parts else ("crash" if ready else "hang")


def _be_quiet() -> None:
    """What a forked process says to people is not of interest."""
    redirect_stdout(io.StringIO()).__enter__()
    redirect_stderr(io.StringIO()).__enter__()
