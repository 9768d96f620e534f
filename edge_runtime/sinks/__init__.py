"""Where events go: one file a sink, opened by ``name:argument``, each behind a queue and a thread of its own."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from edge_runtime.backends import load_backend
from edge_runtime.protocols import Sink
from edge_runtime.types import Event

_HERE = __name__
CAPACITY = 10_000


def open_sink(spec: str) -> Sink:
    """Open a sink by ``name:argument``, as ``jsonlines:-``.

    Raises:
        ConfigError: no such sink, or it cannot be opened.
    """
    name, _, argument = spec.partition(":")
    sink: Sink = load_backend(_HERE, name, "sink").open(argument)
    return sink


class QueuedSink:
    """A sink that never makes its caller wait: a bounded queue, emptied by one thread.

    Attributes:
        written: events the sink took.
        lost: events that found the queue full, or that the sink refused.
    """

    def __init__(self, sink: Sink, on_trouble: Callable[[Exception], None], capacity: int = CAPACITY) -> None:
        """Start the thread.

        Args:
            sink: owned from now on, and closed with this.
            on_trouble: called from the thread, with the first of every row of failures.
            capacity: events held at most; with more the oldest are lost.
        """
        self.written = 0
        self.lost = 0
        self._sink, self._on_trouble, self._capacity = sink, on_trouble, capacity
        self._waiting: deque[Event] = deque()
        self._changed = threading.Condition()
        self._closing = False
        # A daemon thread: a write that never returns must not keep the process alive.
        self._thread = threading.Thread(target=self._run, name="sink", daemon=True)
        self._thread.start()

    def emit(self, event: Event) -> None:
        """Queue an event; never blocks."""
        with self._changed:
            if len(self._waiting) >= self._capacity:
                self._waiting.popleft()
                self.lost += 1
            self._waiting.append(event)
            self._changed.notify()

    def close(self, timeout_s: float = 1.0) -> bool:
        """Write what is queued, for at most ``timeout_s``; False if something had to stay behind. May be repeated."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(timeout_s)
        return not self._thread.is_alive() and not self._waiting

    def _run(self) -> None:
        failing = False
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closing)
                if not self._waiting:
                    break
                event = self._waiting.popleft()
            try:
                self._sink.emit(event)
            except Exception as error:
                self.lost += 1
                if not failing:
                    self._on_trouble(error)
                failing = True
            else:
                self.written += 1
                failing = False
        self._sink.close()
