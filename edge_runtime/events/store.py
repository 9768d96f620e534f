"""Writing the log: events, how far each sink is, what is kept and what is forgotten. For one thread at a time."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_runtime.errors import EventLogError
from edge_runtime.events import database
from edge_runtime.events.footage import Footage
from edge_runtime.events.record import COLUMNS, FORGOTTEN, PLAIN_COLUMNS, is_sound, signed, to_row
from edge_runtime.gallery.directory import Directory
from edge_runtime.storage.database import BrokenError, asides
from edge_runtime.storage.sqlite import is_damage, pragma, scrub, transaction
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


def forget_without_daemon(path: Path, directory: Directory) -> bool:
    """Delete what a log holds about everybody whom the gallery has forgotten; no log, nothing to do.

    Returns:
        Whether nothing is left of it on the disk; if not, the next opening of the log finishes it.

    Raises:
        EventLogError: the log cannot be written.
    """
    if not path.exists():
        return True
    try:
        with EventStore(path) as store:
            store.forget(directory.forgotten)
            return not store.remains
    except (BrokenError, sqlite3.Error, OSError) as error:
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
        remains: whether something that :meth:`forget` deleted is still in the write-ahead log, as another program
            reads it; the next call tries again.
        lost_positions: whether the place of a sink was damaged when :meth:`positions` was called; one without a place
            then begins with the oldest event kept.
    """

    def __init__(self, path: Path, newest: int = 0, footage: Footage | None = None) -> None:
        """Open or make it.

        Args:
            path: of the log.
            newest: a new log's first event gets the next number.
            footage: snapshots and clips, which go with their events; None: those that lie beside the log.

        Raises:
            EventLogError, BrokenError, sqlite3.Error, OSError: see ``database.open_log``.
        """
        self.path = path
        self.remains = self.lost_positions = False
        self._footage = footage or Footage(path)
        self._database = database.open_log(path, newest)
        self._connection = self._database.connection
        try:
            self.newest = database.newest_number(self._connection)
            sound = database.rows_of(self._connection, "meta")
            # Where the row was damaged, the events themselves tell enough.
            left = {"clock_s": self._latest_clock_s(), "wall_s": None, "lost": 0, "clean": 0, "rid_of": None}
            meta: dict[str, Any] = sound[0] if sound else left
        except BaseException as error:
            self._connection.close()
            if is_damage(error):
                raise BrokenError(str(error)) from error
            raise
        self.clock_s: float = meta["clock_s"]
        self.wall_s: float | None = meta["wall_s"]
        self.lost: int = meta["lost"]
        self.clean = bool(meta["clean"])
        self._rid_of: str | None = meta["rid_of"]
        self._deleted: str | None = self._rid_of

    @property
    def in_place(self) -> bool:
        """Whether the file opened is still the one of that name."""
        return self._database.in_place

    @property
    def damaged(self) -> int:
        """How many rows are not as they were written; each is looked at."""
        return database.damaged_rows(self._connection)

    def positions(self) -> dict[str, Position]:
        """How far each sink was, by its name; see ``lost_positions``."""
        rows = database.rows_of(self._connection, "sink")
        (kept,) = self._connection.execute("SELECT count(*) FROM sink").fetchone()
        self.lost_positions = kept != len(rows)
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
            if self.lost_positions and positions:
                self._connection.execute("DELETE FROM sink")
            for name, position in positions.items():
                row = {"name": name, "position": position.event_id, "skipped": position.skipped}
                database.put(self._connection, "sink", row)
            self._put_meta(clock=clock, lost=lost + unfit, clean=clean)
        self.newest, self.clean, self.lost = newest, clean, lost + unfit
        self.clock_s, self.wall_s = clock
        self.lost_positions &= not positions
        return unfit

    def prune(self, before_s: float, delivered: int, keep_bytes: int) -> Pruned:
        """Delete a few of the oldest events.

        Args:
            before_s: ``clock_s`` below which an event is old.
            delivered: old events up to this number go; all sinks have had them.
            keep_bytes: while the log is larger, the oldest go whoever has had them.
        """
        rows = self._connection.execute(
            "SELECT event_id, cast(clock_s AS REAL) AS clock_s, length(body) + ifnull(length(crop), 0)"
            " + ifnull(length(face), 0) AS bytes, footage"
            " FROM event ORDER BY event_id LIMIT ?",
            (PRUNE_ROWS + 1,),
        ).fetchall()
        surplus = self._used_bytes() - keep_bytes
        going: list[int] = []
        tokens: list[str | None] = []
        gone_bytes, more = 0, False
        for row in rows:
            old = not before_s <= row["clock_s"] <= self.clock_s  # one from the future was damaged
            if gone_bytes >= surplus and not (old and row["event_id"] <= delivered):
                break
            if more := len(going) == PRUNE_ROWS or gone_bytes >= _PRUNE_BYTES:
                break
            gone_bytes += row["bytes"]
            going.append(row["event_id"])
            tokens.append(row["footage"])
        if going:
            with transaction(self._connection, write=True):
                self._connection.execute("DELETE FROM event WHERE event_id <= ?", (going[-1],))
            self._footage.remove(tokens)
        if pragma(self._connection, "freelist_count") > _SPARE_PAGES:
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
        first = digest != self._deleted
        if first:
            gone = self._delete_people(person_ids)
            # A new log has nothing to do with those set aside before it, unless they are about the same people.
            database.delete_aside(self.path, person_ids, every=self._rid_of is not None)
            if not asides(self.path):
                self._footage.reconcile(self.tokens())  # pictures of events of those logs
            self._deleted = digest
        # Where another program still reads what was deleted, it is tried again by every call, without a wait.
        self.remains = not scrub(self._connection, wait=first)
        if not self.remains:
            self._rid_of = digest
            self._put_meta()
        return gone

    def tokens(self) -> set[str]:
        """Names of the snapshots and clips that belong to events."""
        rows = self._connection.execute("SELECT footage FROM event WHERE footage IS NOT NULL").fetchall()
        return {row[0] for row in rows}

    def _delete_footage(self, person_ids: Iterable[str]) -> None:
        """Delete pictures of people, and those that show them with others; before the rows that tell which."""
        for person_id in person_ids:
            values = {"id": person_id}
            tracks = self._connection.execute("SELECT DISTINCT track_id FROM event WHERE person_id = :id", values)
            self._footage.forget({row[0] for row in tracks.fetchall() if row[0]})
            near = self._connection.execute(
                "SELECT footage FROM event WHERE :id IN (person_id, candidate_id) AND footage IS NOT NULL", values
            )
            self._footage.remove([row[0] for row in near.fetchall()])

    def _delete_people(self, person_ids: frozenset[str]) -> int:
        gone = 0
        self._delete_footage(person_ids & self._mentioned())
        with transaction(self._connection, write=True):
            # What is damaged may be about people whose ids no search finds in it.
            self._delete(database.unsound(self._connection) if person_ids else [])
            for person_id in person_ids & self._mentioned():
                cursor = self._connection.execute(
                    "DELETE FROM event WHERE person_id = :id OR (person_id IS NULL AND track_id IN"
                    " (SELECT track_id FROM event WHERE person_id = :id))",
                    {"id": person_id},
                )
                gone += cursor.rowcount
                self._leave_out(person_id)
        return gone

    def _leave_out(self, person_id: str) -> None:
        """Keep the events of others without a person who came near."""
        columns = ", ".join(PLAIN_COLUMNS)
        for found in self._connection.execute(
            f"SELECT {columns} FROM event WHERE candidate_id = :id OR runner_up_id = :id", {"id": person_id}
        ).fetchall():
            row = dict(found)
            if row["candidate_id"] == person_id:
                row |= {"candidate_id": FORGOTTEN, "template_id": None}
                self._connection.execute(
                    "UPDATE event SET crop = NULL, face = NULL, footage = NULL WHERE event_id = :event_id", row
                )
            if row["runner_up_id"] == person_id:
                row["runner_up_id"] = FORGOTTEN
            self._connection.execute(
                "UPDATE event SET candidate_id = :candidate_id, template_id = :template_id,"
                " runner_up_id = :runner_up_id, mac = :mac WHERE event_id = :event_id",
                signed(row),
            )

    def _delete(self, event_ids: Iterable[int]) -> None:
        self._connection.executemany("DELETE FROM event WHERE event_id = ?", [(number,) for number in event_ids])

    def _put_meta(
        self,
        clock: tuple[float, float | None] | None = None,
        lost: int | None = None,
        clean: bool | None = None,
    ) -> None:
        """Write the log's own row; what is not given is as it was."""
        clock_s, wall_s = (self.clock_s, self.wall_s) if clock is None else clock
        row = {
            "id": 1,
            "clock_s": clock_s,
            "wall_s": wall_s,
            "lost": self.lost if lost is None else lost,
            "clean": int(self.clean if clean is None else clean),
            "rid_of": self._rid_of,
        }
        database.put(self._connection, "meta", row)

    def _latest_clock_s(self) -> float:
        """The clock of the newest sound event; 0 without one."""
        columns = ", ".join(PLAIN_COLUMNS)
        rows = self._connection.execute(f"SELECT {columns} FROM event ORDER BY event_id DESC")
        return next((float(row["clock_s"]) for row in rows if is_sound(row)), 0.0)

    @property
    def count(self) -> int:
        """How many events are kept."""
        return int(self._connection.execute("SELECT count(*) FROM event").fetchone()[0])

    def delete_damaged(self) -> int:
        """Delete rows that are not as they were written, and write the log's own anew; returns how many went."""
        damaged = self.damaged
        if damaged:
            places = database.rows_of(self._connection, "sink")
            with transaction(self._connection, write=True):
                self._delete(database.unsound(self._connection))
                self._connection.execute("DELETE FROM sink")
                for row in places:
                    database.put(self._connection, "sink", {name: row[name] for name in database.SINK})
                self._put_meta()
        return damaged

    def take_back(self, rows: Sequence[Mapping[str, Any]]) -> int:
        """Store rows of a log that was set aside, under their own numbers; returns how many were not here."""
        with transaction(self._connection, write=True):
            # Else they would be of the future by this log's own clock.
            self.clock_s = max([self.clock_s, *(row["clock_s"] for row in rows)])
            self._put_meta()
            before = self._connection.total_changes
            marks = ", ".join(f":{name}" for name in COLUMNS)
            self._connection.executemany(f"INSERT OR IGNORE INTO event ({', '.join(COLUMNS)}) VALUES ({marks})", rows)
            taken = self._connection.total_changes - before
        self.newest = database.newest_number(self._connection)
        return taken

    def close(self) -> None:
        """Let go of the file; may be called again."""
        self._database.close()

    def _mentioned(self) -> set[str]:
        """Ids of the people in any event."""
        return {
            row[0]
            for column in ("person_id", "candidate_id", "runner_up_id")
            for row in self._connection.execute(f"SELECT DISTINCT {column} FROM event").fetchall()
        }

    def _used_bytes(self) -> int:
        page_count, free, size = (
            pragma(self._connection, name) for name in ("page_count", "freelist_count", "page_size")
        )
        return (page_count - free) * size
