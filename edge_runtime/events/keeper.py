"""The log's file in good and bad times: opened again after trouble, set aside when broken, kept within its limits."""

from __future__ import annotations

import errno
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from edge_runtime.errors import EventLogError
from edge_runtime.events.clock import LogClock
from edge_runtime.events.database import LOG, REPAIR, newest_in
from edge_runtime.events.footage import Footage
from edge_runtime.events.queue import Waiting
from edge_runtime.events.store import EventStore, Position, Pruned
from edge_runtime.storage.database import SMALL_BYTES, BrokenError, asides, damage_of, set_aside
from edge_runtime.storage.sqlite import is_busy, is_damage

_DAY_S = 86_400.0
_PROBE_BYTES = 65_536


class LogTroubleError(Exception):
    """The log takes nothing now.

    Attributes:
        reason: in a few words; None: it was set aside, and the next try begins a new one.
    """

    def __init__(self, reason: str | None) -> None:
        super().__init__(reason)
        self.reason = reason


class Keeper:
    """Keeps one log, for one thread; every method may raise ``LogTroubleError`` or ``EventLogError``.

    Attributes:
        path: of the log.
        newest: number of the newest event stored.
        positions: how far the sinks were when the log was opened.
        remains: whether something that was to be forgotten is still in the write-ahead log; the next call tries again.
        is_open: whether the file is open now.
        doubted: whether the file has to be looked through before it is trusted again; may be set by any thread.
    """

    def __init__(
        self,
        path: Path,
        keep_days: float,
        keep_mb: float,
        say: Callable[[str], None],
        on_replaced: Callable[[], None],
        on_damage: Callable[[str | None], None] = lambda reason: None,
        footage: Footage | None = None,
    ) -> None:
        """Prepare; :meth:`ready` opens the log.

        Args:
            path: of the log, mode 0600.
            keep_days: after which events are deleted.
            keep_mb: megabytes (10^6 bytes) the log may take.
            say: gets a line for people.
            on_replaced: called when another log took the place of the one that was open.
            on_damage: called with what is damaged and the command that saves the rest, and with None when nothing is.
            footage: see ``EventStore``.
        """
        self.path = path
        self._footage = footage or Footage(path)
        self.newest = 0
        self.positions: dict[str, Position] = {}
        self.remains = False
        self.doubted = False
        self._keep_s, self._keep_bytes = keep_days * _DAY_S, int(keep_mb * 1e6)
        self._say, self._on_replaced, self._on_damage = say, on_replaced, on_damage
        self._aside: Path | None = None
        self._store: EventStore | None = None
        self._clock = LogClock(0.0, None, self._keep_s / 2)
        self._lost_before = 0
        self._first = True
        self._lost_positions = self._uncounted = False
        self._kept: tuple[Mapping[str, Position], int] = ({}, 0)

    @property
    def is_open(self) -> bool:
        return self._store is not None

    def open(self) -> None:
        """Open the log where it is not open, or no longer the file of its name."""
        with self._guarded():
            if self._store is not None and not self._store.in_place:
                self._say(f"{self.path}: the log of events was moved or deleted; a new one is begun")
                self._let_go()
                self._on_replaced()
            if self._store is not None:
                return
            self._store = store = EventStore(self.path, self.newest, self._footage)
            if self._first:
                self._first = False
                self._footage.delete_drafts()
                if not asides(self.path):  # else a repair may bring back the events that pictures belong to
                    self._footage.reconcile(store.tokens())
                self._clock = LogClock(store.clock_s, store.wall_s, self._keep_s / 2)
                self._lost_before = store.lost
            # Where an older copy was put in place, numbers go on all the same.
            self.newest = store.newest = max(store.newest, self.newest)
            self.positions = store.positions()
            self._lost_positions = store.lost_positions
            self._uncounted = self.path.stat().st_size <= SMALL_BYTES
            self._kept = self.positions, self._kept[1]
            self.doubted |= not store.clean

    def ready(self) -> None:
        """Open the log, and look through one that was not closed, or that could not be read."""
        self.open()
        with self._guarded() as store:
            if self.doubted:
                if (found := damage_of(self.path, LOG)) is not None:
                    raise BrokenError(found)
                self.doubted, self._uncounted = False, True
            if self._uncounted:
                self._uncounted = False
                self._count(store.damaged)

    def commit(
        self, events: Sequence[Waiting], forgotten: frozenset[str], positions: Mapping[str, Position], lost: int
    ) -> int:
        """Store events, positions and the count of what was lost in this run; see ``EventStore.commit``."""
        if not events and self._is_kept(positions, lost):
            return 0
        with self._guarded() as store:
            unfit = store.commit(events, forgotten, self._tick(), positions, self._lost_before + lost)
            self.newest = store.newest
            self._kept = {**self._kept[0], **positions}, lost + unfit
            return unfit

    def start_of(self, name: str) -> Position | None:
        """Where a lasting sink was; None: it is new. Where its place was damaged it gets everything kept once more."""
        return self.positions.get(name) or (Position(0) if self._lost_positions else None)

    def forget(self, forgotten: frozenset[str]) -> None:
        """See ``EventStore.forget``."""
        with self._guarded() as store:
            store.forget(forgotten)
            self.remains = store.remains
            if self._aside is not None and not self._aside.exists():
                self._aside = None
                self._on_damage(None)

    def prune(self, delivered: int) -> Pruned:
        """Delete a few events that are old and delivered, or too many; see ``EventStore.prune``."""
        with self._guarded() as store:
            return store.prune(self._tick()[0] - self._keep_s, delivered, self._keep_bytes)

    def close(self, positions: Mapping[str, Position], lost: int) -> None:
        """Store the last of the log's own state, and let go of the file; may be called again."""
        with suppress(LogTroubleError, EventLogError), self._guarded() as store:
            if self.is_open and not self.doubted and not (store.clean and self._is_kept(positions, lost)):
                store.commit([], frozenset(), self._tick(), positions, self._lost_before + lost, clean=True)
        self._let_go()

    def _is_kept(self, positions: Mapping[str, Position], lost: int) -> bool:
        kept, kept_lost = self._kept
        return lost == kept_lost and all(kept.get(name) == position for name, position in positions.items())

    def _tick(self) -> tuple[float, float | None]:
        return self._clock.tick(time.time(), time.monotonic()), self._clock.wall_s

    @contextmanager
    def _guarded(self) -> Iterator[EventStore]:
        try:
            yield self._store  # type: ignore[misc]  # ``open`` alone works without one
        except BrokenError as error:
            self._set_aside(error)
            raise LogTroubleError(None) from error
        except EventLogError:
            self._let_go()
            raise
        except (sqlite3.Error, OSError, UnicodeDecodeError) as error:
            if is_damage(error):
                self._set_aside(BrokenError(str(error)))
                raise LogTroubleError(None) from error
            self._let_go()
            raise LogTroubleError(_reason(error, self.path)) from error

    def _set_aside(self, error: BrokenError) -> None:
        was_open = self._store is not None
        self._let_go()
        self.doubted = False
        self.newest = max(self.newest, newest_in(self.path))
        try:
            aside = set_aside(self.path)
        except OSError as refused:
            raise LogTroubleError(_reason(refused, self.path)) from refused
        told = f"{self.path}: expected a sound log of events, found {error}; it is set aside as {aside.name}"
        saves = f"; stop the daemon, then {REPAIR} takes back what is good of it" if error.fault == "damaged" else ""
        self._footage.begin_anew()
        self._say(f"{told}, a new one is begun{saves}")
        if saves:
            self._aside = aside
            self._on_damage(f"was damaged and is set aside as {aside.name}{saves}")
        if was_open:
            self._on_replaced()

    def _count(self, damaged: int) -> None:
        """Tell how many rows are damaged, as long as no whole log is."""
        if self._aside is None:
            saves = f"; stop the daemon, then {REPAIR} deletes them"
            self._on_damage(f"{damaged} rows are damaged and passed over{saves}" if damaged else None)

    def _let_go(self) -> None:
        if self._store is not None:
            with suppress(sqlite3.Error):
                self._store.close()
            self._store = None


def _reason(error: Exception, path: Path) -> str:
    """What keeps the disk from taking anything, in a few words."""
    code = getattr(error, "sqlite_errorcode", -1) & 0xFF
    if is_busy(error):
        return "log of events held by another program"
    number = errno.ENOSPC if code == sqlite3.SQLITE_FULL else getattr(error, "errno", None) or _tried(path.parent)
    told = {errno.ENOSPC: "disk full", errno.EDQUOT: "disk full", errno.EROFS: "disk read-only"}
    return told.get(number or 0) or f"disk error ({getattr(error, 'strerror', None) or error})"


def _tried(folder: Path) -> int | None:
    """What a small file in a folder runs into, as an ``errno``; SQLite keeps it to itself."""
    probe = folder / f".probe.{os.getpid()}"
    try:
        probe.write_bytes(bytes(_PROBE_BYTES))
    except OSError as error:
        return error.errno
    finally:
        with suppress(OSError):
            probe.unlink(missing_ok=True)
    return None
