"""Writing the log: events, how far each sink is, what is kept and what is forgotten. For one thread at a time."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_runtime.errors import EventLogError
from edge_runtime.events import database
from edge_runtime.events.record import COLUMNS, FORGOTTEN, to_row
from edge_runtime.gallery.directory import Directory
from edge_runtime.storage.files import is_still
from edge_runtime.storage.sqlite import is_damage, scrub, transaction
from edge_runtime.system.closing import Closing
from edge_runtime.types import Event

PRUNE_ROWS = 1000
_PRUNE_BYTES = 1 << 20
"""Deleted in one transaction at most, whichever comes first."""
_SPARE_PAGES = 64
"""Free pages kept for what comes next; more of them go back to the disk."""
_VACUUM_PAGES = 512


@dataclass(frozen=True)
class Position:
    """How far a sink is.

    Attributes:
        event_id: the last event it has had.
        skipped: events that were deleted before it had them.
    """

    event_id: int
    skipped: int = 0


@dataclass(frozen=True)
class Pruned:
    """One step of deleting what is old.

    Attributes:
        event_ids: deleted, in order.
        more: whether there is more to delete.
    """

    event_ids: tuple[int, ...] = ()
    more: bool = False


def forget_without_daemon(path: Path, directory: Directory) -> None:
    """Delete what a log holds about everybody whom the gallery has forgotten; no log, nothing to do.

    Raises:
        EventLogError: the log cannot be written.
    """
    if not path.exists():
        return
    try:
        with EventStore(path) as store:
            store.forget(directory.forgotten)
    except (database.BrokenLogError, sqlite3.Error, OSError) as error:
        if isinstance(error, EventLogError):
            raise
        raise EventLogError(
            f"{path}: who is forgotten is out of the gallery, but the events could not be deleted ({error}); "
            "the next familiar run does it"
        ) from error


class EventStore(Closing):
    """A log, open for writing. Everything raises ``sqlite3.Error`` where the disk or the file fails.

    Attributes:
        newest: number of the newest event stored.
        clock_s, wall_s: of the last commit, see ``LogClock``.
        lost: events that could not be stored, over all runs.
        clean: whether the last run closed it.
    """

    def __init__(self, path: Path, newest: int = 0) -> None:
        """Open or make it.

        Args:
            path: of the log.
            newest: a new log's first event gets the next number.

        Raises:
            EventLogError, BrokenLogError, sqlite3.Error, OSError: see ``database.connect``.
        """
        self.path = path
        self._connection = database.connect(path, newest)
        try:
            meta = self._connection.execute("SELECT * FROM meta").fetchone()
            row = self._connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'event'").fetchone()
            if meta is None or row is None:
                raise database.BrokenLogError("a log without its own first rows")
        except BaseException as error:
            self._connection.close()
            if is_damage(error):
                raise database.BrokenLogError(str(error)) from error
            raise
        self.newest = int(row[0])
        self.clock_s: float = meta["clock_s"]
        self.wall_s: float | None = meta["wall_s"]
        self.lost: int = meta["lost"]
        self.clean = bool(meta["clean"])
        self._rid_of: str | None = meta["rid_of"]
        self._opened = path.stat()

    @property
    def in_place(self) -> bool:
        """Whether the file opened is still the one of that name."""
        return is_still(self.path, self._opened)

    def positions(self) -> dict[str, Position]:
        """How far each sink was, by its name."""
        rows = self._connection.execute("SELECT name, position, skipped FROM sink").fetchall()
        return {row["name"]: Position(row["position"], row["skipped"]) for row in rows}

    def commit(
        self,
        events: Sequence[tuple[Event, Directory]],
        forgotten: frozenset[str],
        clock: tuple[float, float | None],
        positions: Mapping[str, Position],
        lost: int,
        clean: bool = False,
    ) -> int:
        """Store events and the log's own state in one transaction; on disk for good when this returns.

        Args:
            events: each with the directory of the moment it was made.
            forgotten: ids of everybody forgotten since.
            clock: ``clock_s`` and ``wall_s``.
            positions: of sinks, by name.
            lost: events that could not be stored, over all runs.
            clean: nothing follows; whoever opens it next need not read all of it to trust it.

        Returns:
            How many events hold values that no log can: one such must not keep the others out.
        """
        newest, clock_s = self.newest, clock[0]
        rows, unfit = [], 0
        for event, directory in events:
            try:
                row = to_row(event, directory, forgotten, newest + 1, clock_s)
            except (TypeError, ValueError):
                unfit += 1
                continue
            if row is not None:
                newest += 1
                rows.append(row)
        with transaction(self._connection, write=True):
            marks = ", ".join(f":{name}" for name in COLUMNS)
            self._connection.executemany(f"INSERT INTO event ({', '.join(COLUMNS)}) VALUES ({marks})", rows)
            self._connection.executemany(
                "INSERT INTO sink (name, position, skipped) VALUES (?, ?, ?)"
                " ON CONFLICT (name) DO UPDATE SET position = excluded.position, skipped = excluded.skipped",
                [(name, position.event_id, position.skipped) for name, position in positions.items()],
            )
            self._connection.execute(
                "UPDATE meta SET clock_s = ?, wall_s = ?, lost = ?, clean = ?", (*clock, lost + unfit, clean)
            )
        self.newest, self.clean, self.lost = newest, clean, lost + unfit
        self.clock_s, self.wall_s = clock
        return unfit

    def prune(self, before_s: float, delivered: int, keep_bytes: int) -> Pruned:
        """Delete a few of the oldest events.

        Args:
            before_s: ``clock_s`` below which an event is old.
            delivered: old events up to this number go; all sinks have had them.
            keep_bytes: while the log is larger, the oldest go whoever has had them.
        """
        rows = self._connection.execute(
            "SELECT event_id, clock_s, length(body) + ifnull(length(crop), 0) AS bytes FROM event"
            " ORDER BY event_id LIMIT ?",
            (PRUNE_ROWS + 1,),
        ).fetchall()
        surplus = self._used_bytes() - keep_bytes
        going: list[int] = []
        gone_bytes, more = 0, False
        for row in rows:
            if gone_bytes >= surplus and not (row["clock_s"] < before_s and row["event_id"] <= delivered):
                break
            if more := len(going) == PRUNE_ROWS or gone_bytes >= _PRUNE_BYTES:
                break
            gone_bytes += row["bytes"]
            going.append(row["event_id"])
        if going:
            with transaction(self._connection, write=True):
                self._connection.execute("DELETE FROM event WHERE event_id <= ?", (going[-1],))
        if self._pragma("freelist_count") > _SPARE_PAGES:
            # It gives a row a page, without columns, of which ``execute`` would take the first alone.
            self._connection.executescript(f"PRAGMA incremental_vacuum({_VACUUM_PAGES})")
        return Pruned(tuple(going), more)

    def forget(self, person_ids: frozenset[str]) -> int:
        """Delete what is about people, here and in logs that were set aside; returns how many events went.

        Their tracks go whole, from the first sight to leaving, but for what was decided of others. Events of
        strangers whom a person came near stay, without that person and without the crop. Nothing is done where the
        log has been rid of the same people before.

        Args:
            person_ids: of everybody ever forgotten.
        """
        digest = hashlib.sha256("/".join(sorted(person_ids)).encode()).hexdigest()
        if digest == self._rid_of:
            return 0
        gone = 0
        with transaction(self._connection, write=True):
            for person_id in person_ids & self._mentioned():
                cursor = self._connection.execute(
                    "DELETE FROM event WHERE person_id = :id OR (person_id IS NULL AND track_id IN"
                    " (SELECT track_id FROM event WHERE person_id = :id))",
                    {"id": person_id},
                )
                gone += cursor.rowcount
                self._connection.execute(
                    "UPDATE event SET candidate_id = ?, template_id = NULL, crop = NULL WHERE candidate_id = ?",
                    (FORGOTTEN, person_id),
                )
                self._connection.execute(
                    "UPDATE event SET runner_up_id = ? WHERE runner_up_id = ?", (FORGOTTEN, person_id)
                )
            self._connection.execute("UPDATE meta SET rid_of = ?", (digest,))
        clean = scrub(self._connection)
        if not clean:  # another program still reads what was deleted: the next time it is tried again
            self._connection.execute("UPDATE meta SET rid_of = NULL")
        # A new log has nothing to do with those set aside before it, unless they are about the same people.
        database.delete_aside(self.path, person_ids, every=self._rid_of is not None)
        self._rid_of = digest if clean else None
        return gone

    def close(self) -> None:
        """Let go of the file; may be called again."""
        self._connection.close()

    def _mentioned(self) -> set[str]:
        """Ids of the people in any event."""
        return {
            row[0]
            for column in ("person_id", "candidate_id", "runner_up_id")
            for row in self._connection.execute(f"SELECT DISTINCT {column} FROM event").fetchall()
        }

    def _used_bytes(self) -> int:
        return (self._pragma("page_count") - self._pragma("freelist_count")) * self._pragma("page_size")

    def _pragma(self, name: str) -> int:
        return int(self._connection.execute(f"PRAGMA {name}").fetchone()[0])
