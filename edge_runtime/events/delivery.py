"""One sink's way through the log: on a thread of its own, so that none waits for another."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from contextlib import suppress

from edge_runtime.errors import EventLogError
from edge_runtime.events.record import Record
from edge_runtime.gallery.directory import Directory
from edge_runtime.protocols import Sink
from edge_runtime.system.retry import delay_s

FIRST_RETRY_S = 0.5
LAST_RETRY_S = 60.0


class Delivery:
    """Hands a sink every event of the log in order, at least once, and tries again for as long as it raises.

    Attributes:
        name: of the sink, as its position is kept under.
        sink: owned, and closed at the end.
        position: number of the last event that the sink has had for good; None until the log is open.
        taken: number of the last event taken from the log, had or not.
        delivered: events the sink has had from this delivery.
        skipped: events that were deleted before it had them, or that are damaged, over all runs.
        error: why the sink cannot take events now; None: it can.
        moved: whether a lasting sink's ``position`` has changed since somebody last cleared this.
    """

    def __init__(
        self,
        name: str,
        sink: Sink,
        fetch: Callable[[Delivery], list[Record]],
        directory: Callable[[], Directory],
        on_trouble: Callable[[Delivery, Exception | None], None],
        retry_s: tuple[float, float] = (FIRST_RETRY_S, LAST_RETRY_S),
    ) -> None:
        """Prepare; :meth:`start` begins.

        Args:
            name: of the sink.
            sink: see ``protocols.Sink``.
            fetch: the next events behind ``taken``, which it moves on; may raise ``EventLogError``.
            directory: who is who now.
            on_trouble: called from the thread with the first of a row of errors, and with None when it is over.
            retry_s: first and last wait before another try, seconds.
        """
        self.name, self.sink = name, sink
        self.position: int | None = None
        self.taken = 0
        self.delivered = 0
        self.skipped = 0
        self.error: Exception | None = None
        self.moved = False
        self._fetch, self._directory, self._on_trouble, self._retry_s = fetch, directory, on_trouble, retry_s
        self._held: list[Record] = []
        self._news = threading.Event()
        self._closing = threading.Event()
        # A daemon thread: a write that never returns must not keep the process alive.
        self._thread = threading.Thread(target=self._run, name=f"sink {name}", daemon=True)

    def start(self) -> None:
        """Start the thread; it waits for :meth:`begin`."""
        self._thread.start()

    def begin(self, event_id: int, skipped: int) -> None:
        """Hand over what is behind this number."""
        self.position = self.taken = event_id
        self.skipped = skipped
        self.wake()

    def wake(self) -> None:
        """There are new events."""
        self._news.set()

    def close(self, timeout_s: float) -> bool:
        """Deliver what is stored, for at most ``timeout_s`` and without another try; whether the sink was closed."""
        self._closing.set()
        self._news.set()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def owes(self, newest: int) -> bool:
        """Whether a sink of this run alone, whose reader is still there, has not had the event of this number."""
        gone = isinstance(self.error, BrokenPipeError)
        return not self.sink.lasting and not gone and self.position not in (None, newest)

    def _run(self) -> None:
        attempt = 0
        while True:
            self._news.clear()
            try:
                if not self._held:
                    self._held = self._fetch(self)
                idle = not self._held
                self._deliver()
            except Exception as error:
                if self._closing.is_set():
                    break
                # A log that cannot be read is the log's own trouble, and it knows.
                if self.error is None and not isinstance(error, EventLogError):
                    self.error = error
                    self._on_trouble(self, error)
                self._closing.wait(delay_s(attempt, random.random(), *self._retry_s))
                attempt += 1
                continue
            attempt = 0
            if self.error is not None:
                self.error = None
                self._on_trouble(self, None)
            if idle:
                if self._closing.is_set():
                    break
                self._news.wait()
        with suppress(Exception):
            self.sink.close()

    def _deliver(self) -> None:
        """Give the sink what is held; what it had for good by an error is not given again."""
        done = given = passed = 0
        directory = self._directory()
        try:
            for record in self._held:
                event = record.event(directory)
                if event is not None and not event.ignored:
                    self.sink.emit(event)
                    given += 1
                passed += not record.sound
                done += 1
        finally:
            if done:
                self.sink.flush()
                self.position = self._held[done - 1].event_id
                self.delivered += given
                self.skipped += passed
                self.moved = self.sink.lasting
                del self._held[:done]
