"""How a command's worker processes start and end: no process outlives it, and Ctrl-C is for the command alone."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import resource_tracker
from typing import Any, TypeVar

from edge_runtime.errors import InputError

Item = TypeVar("Item")
Result = TypeVar("Result")


@contextmanager
def starting_workers() -> Iterator[None]:
    """Hold Ctrl-C and SIGTERM until every process is wholly started; those started within never see Ctrl-C."""
    held: list[int] = []
    resource_tracker.ensure_running()  # otherwise the first process starts it, which opens the mask again
    before = {
        number: signal.signal(number, lambda number, frame: held.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    # The mask is for them, as they inherit it; the libraries' threads here have no mask, so handlers are needed too.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        for number, action in before.items():
            signal.signal(number, action)
        if held:
            signal.raise_signal(held[0])


@contextmanager
def spread(
    work: Callable[[Item], Result],
    items: Sequence[Item],
    jobs: int,
    chunk: int,
    start: Callable[..., None],
    arguments: tuple[Any, ...],
) -> Iterator[Iterator[Result]]:
    """The results of ``work``, in order, from worker processes that end with the block.

    Args:
        work: of one item; a module's function.
        items: what to work on.
        jobs: how many processes at most.
        chunk: items sent at a time.
        start: called once in each process, with ``arguments``.
        arguments: of ``start``.

    Raises:
        InputError: the system killed a process.
    """
    jobs = max(min(jobs, -(-len(items) // chunk)), 1)
    pool = process_pool(jobs, start, arguments)
    try:
        with starting_workers():
            results = pool.map(work, items, chunksize=chunk)
        yield results
    except BrokenProcessPool as error:
        raise InputError(
            f"expected {jobs} processes, found one killed by the system; free memory or use fewer --jobs"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def process_pool(jobs: int, start: Callable[..., None], arguments: tuple[Any, ...]) -> ProcessPoolExecutor:
    """``jobs`` worker processes that begin with ``start`` and end with this one, however it ends."""
    # Spawned, not forked: neither OpenCV's threads nor the interpreter's survive a fork.
    return ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), begin, (start, *arguments))


def begin(start: Callable[..., None], *arguments: Any) -> None:
    """First thing in a worker process: end with the parent, however it ends; then ``start``."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    start(*arguments)


def _end_with_parent() -> None:
    """A pool's workers would wait for ever for a parent that was killed."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    multiprocessing.connection.wait([parent.sentinel])
    os._exit(1)
