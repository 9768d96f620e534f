"""The daemon's log of events: taken from the frame loop without a wait, stored by one thread, then handed to sinks.

The writer stores an event at once, and what comes within the next fifth of a second together: a quiet house costs
one sync an event, a crowd five a second, and the sync of a slow card holds up that thread alone.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edge_runtime.errors import EventLogError
from edge_runtime.events.delivery import FIRST_RETRY_S, LAST_RETRY_S, Delivery
from edge_runtime.events.footage import Footage
from edge_runtime.events.keeper import Keeper, LogTroubleError
from edge_runtime.events.queue import EventQueue
from edge_runtime.events.reader import EventReader, read_after
from edge_runtime.events.record import Record
from edge_runtime.events.store import Position
from edge_runtime.gallery.directory import Directory
from edge_runtime.protocols import Sink
from edge_runtime.sinks import CommonKeys
from edge_runtime.system.closing import Closing
from edge_runtime.types import Event

CAPACITY = 10_000
"""Events held in memory while the disk takes no writes."""
COMMIT_EVERY_S = 0.2
POSITIONS_EVERY_S = 5.0
"""Sinks' positions are stored with the next events, or after this time; a crash repeats what came since."""
PRUNE_EVERY_S = 60.0
_RETRY_S = 1.0
_CLOSE_S = 1.0
_BATCH = 500
_FETCH = 64


class EventLog(Closing):
    """An open log: ``append`` for the frame loop, everything else for any thread.

    Attributes:
        path: of the log.
        stored: events stored by this.
        trouble: why nothing can be stored now; None: it can.
        deliveries: the sinks.
        footage: snapshots and clips beside the log.
    """

    def __init__(
        self,
        path: Path,
        directory: Directory,
        keep_days: float,
        keep_mb: float,
        on_trouble: Callable[[str | None], None],
        say: Callable[[str], None],
        on_damage: Callable[[str | None], None] = lambda reason: None,
        capacity: int = CAPACITY,
        prune_every_s: float = PRUNE_EVERY_S,
    ) -> None:
        """Open the log, or make it, and start the writer.

        A file that is damaged or is no log is set aside; where the disk fails, events wait in memory.

        Args:
            path: of the log, mode 0600.
            directory: who is who now; see :meth:`know`.
            keep_days: after which events are deleted, as soon as all sinks have had them.
            keep_mb: megabytes (10^6 bytes); the oldest events are deleted beyond, whoever has had them.
            on_trouble: called from the writer with why nothing can be stored, and with None when it can again.
            say: called from any thread with a line for people.
            on_damage: called from the writer with what of the log is damaged, and with None when nothing is.
            capacity: events held in memory at most; more while the disk fails are lost, the oldest first.
            prune_every_s: pause between looks for what is to be deleted, seconds.

        Raises:
            EventLogError: others may read it.
        """
        self.path = path
        self.stored = 0
        self.trouble: str | None = None
        self.deliveries: list[Delivery] = []
        self.footage = Footage(path)
        self._directory = directory
        self._on_trouble, self._say, self._prune_every_s = on_trouble, say, prune_every_s
        self._changed = threading.Condition()
        """Guards everything but the file."""
        self._fetching = threading.RLock()
        """Held while a sink takes events and while events are deleted, so that each is counted once."""
        self._queue = EventQueue(capacity)
        self._asked = self._answered = self._refused = 0
        self._closing = False
        self._commit_at_s = self._retry_at_s = self._prune_at_s = self._positions_at_s = 0.0
        self._skipped = 0
        self._keeper = Keeper(path, keep_days, keep_mb, say, self._replaced, on_damage, self.footage)
        if not self._try(self._keeper.open, start=True) and self.trouble is None:
            self._try(self._keeper.open, start=True)
        # A daemon thread: a sync that never returns must not keep the process alive.
        self._thread = threading.Thread(target=self._run, name="events", daemon=True)
        self._thread.start()

    @property
    def lost(self) -> int:
        """Events given up because the disk took no writes for too long."""
        return self._queue.lost

    def append(self, event: Event) -> None:
        """Take an event; never waits for the disk."""
        with self._changed:
            self._queue.put(event, self._directory)
            self._changed.notify_all()

    def attach(
        self,
        name: str,
        sink: Sink,
        on_trouble: Callable[[Delivery, Exception | None], None],
        retry_s: tuple[float, float] = (FIRST_RETRY_S, LAST_RETRY_S),
        keys: CommonKeys | None = None,
    ) -> Delivery:
        """Hand events to a sink: from where it was, or from now if it is new or belongs to this run alone.

        Args:
            name: keeps the place of a lasting sink in the log.
            sink: owned from now on, and closed with this.
            on_trouble: see ``Delivery``.
            retry_s: first and last wait before another try, seconds.
            keys: which events it gets; None: all.
        """
        reader = functools.partial(EventReader, self.path)
        delivery = Delivery(
            name, sink, self._fetch, lambda: self._directory, on_trouble, retry_s, keys, reader, self.footage
        )
        with self._changed:
            self.deliveries.append(delivery)
            self._place()
        delivery.start()
        return delivery

    @property
    def directory(self) -> Directory:
        """Who is who now."""
        return self._directory

    def know(self, directory: Directory) -> None:
        """Who is who from now on; what is about people forgotten goes with the next :meth:`flush`, or soon."""
        with self._changed:
            self._directory = directory.after(self._directory)
            self._asked += 1
            self._changed.notify_all()

    @property
    def remains(self) -> bool:
        """Whether something of somebody forgotten is still on the disk; every look at what is old tries again."""
        return self._keeper.remains

    def flush(self, timeout_s: float) -> bool:
        """Store what waits and delete who is forgotten; False where the disk fails or it takes longer."""
        with self._changed:
            self._asked += 1
            self._retry_at_s = 0.0
            ticket = self._asked
            self._changed.notify_all()
            self._changed.wait_for(lambda: max(self._answered, self._refused) >= ticket, timeout_s)
            return self._answered >= ticket

    def status(self) -> dict[str, Any]:
        """How it does, JSON-ready."""
        with self._changed:
            return {
                "stored": self.stored,
                "waiting": len(self._queue),
                "lost": self.lost,
                "trouble": self.trouble,
                "sinks": {
                    delivery.name: {
                        "delivered": delivery.delivered,
                        "behind": 0 if delivery.position is None else max(self._keeper.newest - delivery.position, 0),
                        "skipped": delivery.skipped,
                        "error": None if delivery.error is None else str(delivery.error),
                        "refused": delivery.sink.refused,
                        "aside": delivery.aside,
                    }
                    for delivery in self.deliveries
                },
            }

    def close(self) -> None:
        """End, with a second for what waits; may be called again."""
        self.drain(_CLOSE_S)

    def drain(self, timeout_s: float) -> bool:
        """Store what waits, deliver it, and end, in at most ``timeout_s``; may be called again.

        Returns:
            Whether everything is stored, and every sink of this run alone has had it; a lasting one gets the rest
            after the next start.
        """
        until_s = time.monotonic() + timeout_s
        whole = not self._thread.is_alive() or self.flush(timeout_s)
        for delivery in self.deliveries:
            delivery.close(max(until_s - time.monotonic(), 0.0))
            whole &= not delivery.owes(self._keeper.newest)
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(max(until_s - time.monotonic(), 0.0))
        return whole and not self._queue

    # On the writer's thread.

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._closing and (left_s := self._due_s() - time.monotonic()) > 0:
                    self._changed.wait(left_s)
                ticket, closing = self._asked, self._closing
            done = self._try(self._pass)
            with self._changed:
                if not done:
                    self._refused = ticket
                elif not self._queue:
                    self._answered = ticket
                self._changed.notify_all()
            if closing:
                break
        self._keeper.close(self._positions(), self.lost)

    def _due_s(self) -> float:
        """Monotonic seconds at which there is something to do; with the lock held."""
        if self._asked > max(self._answered, self._refused):
            return self._retry_at_s
        due_s = self._prune_at_s
        if self._queue:
            due_s = min(due_s, self._commit_at_s)
        if any(delivery.moved for delivery in self.deliveries):
            due_s = min(due_s, self._positions_at_s)
        return max(due_s, self._retry_at_s)

    def _try(self, action: Callable[[], None], start: bool = False) -> bool:
        """Do something with the file; where that fails say so and plan the next try."""
        try:
            action()
        except (LogTroubleError, EventLogError) as error:
            if start and isinstance(error, EventLogError):
                raise
            reason = error.reason if isinstance(error, LogTroubleError) else str(error)
            if reason is not None:
                self._retry_at_s = time.monotonic() + _RETRY_S
                self._tell(reason)
            return False
        self._tell(None)
        return True

    def _tell(self, trouble: str | None) -> None:
        if trouble != self.trouble:
            self.trouble = trouble
            self._on_trouble(trouble)

    def _pass(self) -> None:
        self._keeper.ready()
        with self._changed:
            self._place()
            events, forgotten = self._queue.take(_BATCH), self._directory.forgotten
        try:
            unfit = self._keeper.commit(events, forgotten, self._positions(), self.lost)
        except BaseException:
            with self._changed:
                self._queue.give_back(events)
            raise
        now_s = time.monotonic()
        self._positions_at_s = now_s + POSITIONS_EVERY_S
        if events:
            self._commit_at_s = now_s + (COMMIT_EVERY_S if len(self._queue) < _BATCH else 0.0)
            self.stored += len(events) - unfit
            self._queue.lost += unfit
            for delivery in self.deliveries:
                delivery.wake()
        self._keeper.forget(forgotten)
        if now_s >= self._prune_at_s:
            self._prune()

    def _prune(self) -> None:
        with self._fetching:
            had = [delivery.position or 0 for delivery in self.deliveries if not delivery.aside]
            pruned = self._keeper.prune(min(had, default=self._keeper.newest))
            for delivery in self.deliveries:
                self._skip(delivery, sum(event_id > delivery.taken for event_id in pruned.event_ids))
        self._prune_at_s = time.monotonic() + (0.0 if pruned.more else self._prune_every_s)
        if not pruned.more:
            self._tell_skipped("[events] keep_mb is reached")

    def _replaced(self) -> None:
        """What the sinks had not had of the log that is gone, they will never have."""
        with self._fetching:
            for delivery in self.deliveries:
                self._skip(delivery, self._keeper.newest - delivery.taken)
                delivery.taken = max(delivery.taken, self._keeper.newest)
        self._tell_skipped("the log is another one")

    def _skip(self, delivery: Delivery, count: int) -> None:
        if count > 0 and delivery.position is not None:
            delivery.skipped += count
            self._skipped += count

    def _tell_skipped(self, why: str) -> None:
        if self._skipped:
            self._say(f"{why}: {self._skipped} events are gone that a sink has not had")
            self._skipped = 0

    def _place(self) -> None:
        """Where new sinks begin; with the lock held."""
        if not self._keeper.is_open:
            return
        for delivery in self.deliveries:
            if delivery.position is None:
                known = self._keeper.start_of(delivery.name) if delivery.sink.lasting else None
                start = known or Position(self._keeper.newest)
                delivery.begin(start.event_id, start.skipped, known is not None)

    def _positions(self) -> dict[str, Position]:
        """How far the lasting sinks are."""
        found = {}
        for delivery in self.deliveries:
            delivery.moved = False
            if delivery.sink.lasting and delivery.position is not None:
                found[delivery.name] = Position(delivery.position, delivery.skipped)
        return found

    # On the sinks' threads.

    def _fetch(self, delivery: Delivery) -> list[Record]:
        if delivery.position is None:
            return []
        try:
            with self._fetching:
                newest = self._keeper.newest
                records = read_after(self.path, delivery.taken, _FETCH)
                delivery.taken = records[-1].event_id if records else max(delivery.taken, newest)
                if not records:
                    delivery.position = delivery.taken
        except EventLogError:
            self._doubt()
            raise
        if not all(record.sound for record in records):
            self._doubt()
        if delivery.moved:
            with self._changed:
                self._changed.notify_all()
        return records

    def _doubt(self) -> None:
        """Let the writer look through the log, as something of it cannot be read or believed."""
        with self._changed:
            self._keeper.doubted = True
            self._asked += 1
            self._changed.notify_all()
