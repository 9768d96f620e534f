"""One sink's way through the log: on a thread of its own, so that no sink waits for another."""

from __future__ import annotations

import dataclasses
import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from edge_runtime.errors import EventLogError, SinkRefusedError
from edge_runtime.events.filters import EventFilter
from edge_runtime.events.footage import Footage
from edge_runtime.events.reader import EventReader
from edge_runtime.events.record import Record
from edge_runtime.gallery.directory import Directory
from edge_runtime.protocols import Sink
from edge_runtime.sinks import CommonKeys
from edge_runtime.timing.retry import delay_s
from edge_runtime.types import Event

FIRST_RETRY_S = 0.5
LAST_RETRY_S = 60.0
REFUSALS = 8
"""A sink that refuses so often in a row is set aside: a server that starts may refuse for a moment."""
ASIDE_RETRY_S = 900.0
_RECALL = 500


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
        aside: whether it refuses until somebody changes something: events no longer wait for it beyond their time.
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
        keys: CommonKeys | None = None,
        reader: Callable[[], EventReader] | None = None,
        footage: Footage | None = None,
    ) -> None:
        """Prepare; :meth:`start` begins.

        Args:
            name: of the sink.
            sink: see ``protocols.Sink``.
            fetch: the next events behind ``taken``, which it moves on; may raise ``EventLogError``.
            directory: who is who now.
            on_trouble: called from the thread with the first of a row of errors, again when the sink is set aside, and
                with None when it is over.
            retry_s: first and last wait before another try, seconds.
            keys: which events it gets; None: all.
            reader: opens the log, for what the filter has to know of earlier events and for pictures.
            footage: snapshots beside the log; None: there are none.
        """
        self.name, self.sink = name, sink
        self.position: int | None = None
        self.taken = 0
        self.delivered = 0
        self.skipped = 0
        self.error: Exception | None = None
        self.aside = False
        self.moved = False
        self._fetch, self._directory, self._on_trouble, self._retry_s = fetch, directory, on_trouble, retry_s
        self._filter, self._reader, self._footage = EventFilter(keys), reader, footage
        self._recall = False
        self._refusals = 0
        self._held: list[Record] = []
        self._news = threading.Event()
        self._closing = threading.Event()
        self._hurry = threading.Event()
        # A daemon thread: a write that never returns must not keep the process alive.
        self._thread = threading.Thread(target=self._run, name=f"sink {name}", daemon=True)

    def start(self) -> None:
        """Start the thread; it waits for :meth:`begin`."""
        self._thread.start()

    def begin(self, event_id: int, skipped: int, again: bool) -> None:
        """Hand over what is behind this number; ``again``: it has had what is before."""
        self._recall = again
        self.position = self.taken = event_id
        self.skipped = skipped
        self.wake()

    def wake(self) -> None:
        """There are new events."""
        self._news.set()

    def retry(self) -> None:
        """Somebody has changed something: what was set aside is tried again now."""
        self._refusals = 0
        self._hurry.set()

    def close(self, timeout_s: float) -> bool:
        """Deliver what is stored, for at most ``timeout_s`` and without another try; whether the sink was closed."""
        self._closing.set()
        self._hurry.set()
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
                self._note(error)
                self._hurry.clear()
                if not self._closing.is_set():
                    wait_s = delay_s(attempt, random.random(), *self._retry_s)
                    self._hurry.wait(max(wait_s, ASIDE_RETRY_S) if self.aside else wait_s)
                attempt += 1
                continue
            attempt = self._refusals = 0
            self.aside = False
            if self.error is not None:
                self.error = None
                self._on_trouble(self, None)
            if idle:
                if self._closing.is_set():
                    break
                self._news.wait()
        with suppress(Exception):
            self.sink.close()

    def _note(self, error: Exception) -> None:
        """Remember why a sink takes nothing; what refuses again and again is set aside."""
        if isinstance(error, EventLogError):
            return  # a log that cannot be read is the log's own trouble, and it knows
        self._refusals = self._refusals + 1 if isinstance(error, SinkRefusedError) else 0
        aside = self._refusals >= REFUSALS
        news = self.error is None or aside != self.aside
        self.aside = aside
        if news:
            self.error = error
            self._on_trouble(self, error)

    def _deliver(self) -> None:
        """Give the sink what is held; what it had for good by an error is not given again."""
        if self._recall and self._held:
            self._remember()
        done = given = passed = 0
        directory = self._directory()
        self._filter.restore()
        try:
            for record in self._held:
                event = record.event(directory)
                if event is not None and not event.ignored and self._filter.admits(event):
                    self.sink.emit(self._with_picture(event, record, directory))
                    self._filter.note(event)
                    given += 1
                passed += not record.sound
                done += 1
        finally:
            if done:
                self.sink.flush()
                self._filter.keep()
                self.position = self._held[done - 1].event_id
                self.delivered += given
                self.skipped += passed
                self.moved = self.sink.lasting
                del self._held[:done]

    def _remember(self) -> None:
        """Let the filter know what the sink has had before this run."""
        if self._reader is not None and self._filter.memory_s and self.position:
            directory, since_s, at = self._directory(), time.time() - self._filter.memory_s, 0
            with self._reader() as reader:
                while records := reader.after(at, _RECALL, since_s):
                    at = records[-1].event_id
                    for record in records:
                        event = record.event(directory) if record.event_id <= self.position else None
                        if event is not None and not event.ignored and self._filter.admits(event):
                            self._filter.note(event)
            self._filter.keep()
        self._recall = False

    def _with_picture(self, event: Event, record: Record, directory: Directory) -> Event:
        if self.sink.pictures == "none" or self._reader is None:
            return event
        snapshot = clip = None
        if self._footage is not None and self.sink.pictures in ("snapshot", "clip"):
            snapshot = self._footage.beside("snapshot", record, directory)
        if self._footage is not None and self.sink.pictures == "clip":
            clip = self._footage.beside("clip", record, directory)
        with self._reader() as reader:
            return dataclasses.replace(event, crop=snapshot or reader.crop(record, directory)[1], clip=clip)
