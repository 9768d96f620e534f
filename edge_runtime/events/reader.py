"""Reading the log: for sinks that catch up, and for people."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge_runtime.errors import EventLogError, MissingEventError
from edge_runtime.events.database import REPAIR, damaged_rows, newest_number, open_reading, unreadable
from edge_runtime.events.record import PLAIN_COLUMNS, Record, open_crop, open_face
from edge_runtime.gallery.directory import Directory
from edge_runtime.system.closing import Closing
from edge_runtime.types import Floats

_COLUMNS = ", ".join([*PLAIN_COLUMNS, "crop IS NOT NULL AS has_crop", "footage"])


class EventReader(Closing):
    """A log, open for reading while another process may write."""

    def __init__(self, path: Path) -> None:
        """Open it.

        Raises:
            EventLogError: see ``database.open_reading``.
        """
        self.path = path
        self._connection = open_reading(path)

    @property
    def newest(self) -> int:
        """The number of the newest event ever stored."""
        with self._explained():
            return newest_number(self._connection)

    @property
    def damaged(self) -> int:
        """How many rows are not as they were written."""
        with self._explained():
            return damaged_rows(self._connection)

    def after(
        self,
        event_id: int,
        limit: int,
        since_s: float | None = None,
        camera: str | None = None,
        kind: str | None = None,
    ) -> list[Record]:
        """The first events behind a number, in order.

        Args:
            event_id: only events after this one.
            limit: so many at most.
            since_s: only those whose wall time is at least this, seconds since the Unix epoch.
            camera: only this one's.
            kind: only of this kind.
        """
        return self._chosen(limit, "", event_id, since_s, camera, kind)

    def latest(
        self, limit: int, since_s: float | None = None, camera: str | None = None, kind: str | None = None
    ) -> list[Record]:
        """The last ``limit`` events, in order; see :meth:`after`."""
        return self._chosen(limit, "DESC", 0, since_s, camera, kind)[::-1]

    def find(self, event_id: int) -> Record:
        """One event.

        Raises:
            MissingEventError: there is no event of this number.
            EventLogError: there is no event of this number, or it is damaged.
        """
        rows = self._rows(f"SELECT {_COLUMNS} FROM event WHERE event_id = ?", (event_id,))
        if not rows:
            first = self._rows("SELECT min(event_id) FROM event")[0][0]
            kept = "none is kept" if first is None else f"kept are {first} to {self.newest}"
            raise MissingEventError(
                f"event {event_id}: expected one that is kept, found none ({kept}); familiar events lists them"
            )
        record = Record.of(rows[0])
        if not record.sound:
            raise EventLogError(f"event {event_id}: expected a sound one, found it damaged; {REPAIR} deletes it")
        return record

    def last_seen(self) -> dict[str, float]:
        """When each person was last in view by name, seconds since the Unix epoch, by the gallery's opaque ids."""
        rows = self._rows(
            "SELECT person_id, max(at_s) AS at_s FROM event WHERE kind IN ('identified', 'left') GROUP BY person_id"
        )
        return {row["person_id"]: row["at_s"] for row in rows if row["person_id"]}

    def face(self, record: Record, directory: Directory) -> tuple[str, Floats] | None:
        """The encoder and the embedding float32 (D,) that a name was decided on; None where they are not kept, or the
        key is gone.
        """
        rows = self._rows("SELECT face FROM event WHERE event_id = ?", (record.event_id,))
        sealed = rows[0]["face"] if rows else None
        return None if sealed is None else open_face(sealed, record, directory)

    def crop(self, record: Record, directory: Directory) -> tuple[bool, bytes | None]:
        """Whether a crop is kept beside an event, and its JPEG as long as the key is there."""
        rows = self._rows("SELECT crop FROM event WHERE event_id = ?", (record.event_id,))
        sealed = rows[0]["crop"] if rows else None
        return sealed is not None, None if sealed is None else open_crop(sealed, record, directory)

    def _chosen(
        self, limit: int, order: str, event_id: int, since_s: float | None, camera: str | None, kind: str | None
    ) -> list[Record]:
        wanted = {"at_s >= ?": since_s, "camera = ?": camera, "kind = ?": kind}
        given = {clause: value for clause, value in wanted.items() if value is not None}
        clauses = "".join(f" AND {clause}" for clause in given)
        rows = self._rows(
            f"SELECT {_COLUMNS} FROM event WHERE event_id > ?{clauses} ORDER BY event_id {order} LIMIT ?",
            (event_id, *given.values(), limit),
        )
        return [Record.of(row) for row in rows]

    def _rows(self, query: str, values: tuple[object, ...] = ()) -> list[sqlite3.Row]:
        with self._explained():
            return self._connection.execute(query, values).fetchall()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise unreadable(self.path, error) from error

    def close(self) -> None:
        """Let go of the file; may be called again."""
        self._connection.close()


def read_after(path: Path, event_id: int, limit: int) -> list[Record]:
    """The first events behind a number, read at once: nothing stays open.

    Raises:
        EventLogError: the log cannot be read.
    """
    with EventReader(path) as reader:
        return reader.after(event_id, limit)
