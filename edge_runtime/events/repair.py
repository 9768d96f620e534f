"""The log of events without its damaged rows, and with what is good of logs that were set aside."""

from __future__ import annotations

import sqlite3
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

from edge_runtime.errors import EventLogError
from edge_runtime.events.database import LOG, is_ours
from edge_runtime.events.record import COLUMNS, is_sound
from edge_runtime.events.store import EventStore
from edge_runtime.storage.database import BrokenError, asides, set_aside
from edge_runtime.storage.salvage import Repaired, salvage
from edge_runtime.storage.sqlite import delete_whole


def repair(path: Path, forgotten: AbstractSet[str]) -> Repaired:
    """Delete damaged rows, and take back sound events of logs that were set aside, which are deleted then.

    Nobody else may use the log meanwhile.

    Args:
        path: of the log.
        forgotten: ids of people whose events are not taken back.

    Raises:
        EventLogError: the log cannot be read or written.
    """
    try:
        fault = _broken(path)
        aside = None
        if fault is not None:
            aside = set_aside(path)
        old = [file for file in asides(path) if is_ours(file)]
        with EventStore(path) as store:
            damaged = store.delete_damaged()
            back = lost = 0
            for file in old:
                found, gone = _take(store, file, forgotten)
                back, lost = back + found, lost + gone
                delete_whole(file)
            kept = store.count
    except (BrokenError, sqlite3.Error, OSError) as error:
        if isinstance(error, EventLogError):
            raise
        raise EventLogError(f"{path}: the log of events cannot be repaired ({error}); make room on the disk") from error
    if fault is None and not damaged and not old:
        return Repaired(path)
    lines = tuple(f"{len(old)} logs that were set aside: {back} events taken back" for _ in old[:1])
    left = aside if aside is not None and aside.exists() else None
    told = fault or (f"{damaged} rows are damaged" if damaged else "logs were set aside")
    return Repaired(path, told, {"events": kept}, {"events": damaged + lost}, lines, left)


def _broken(path: Path) -> str | None:
    """Why a log cannot be used, or None."""
    if not path.exists():
        return None
    try:
        EventStore(path).close()
    except BrokenError as error:
        return str(error)
    return None


def _take(store: EventStore, file: Path, forgotten: AbstractSet[str]) -> tuple[int, int]:
    """Take back the sound events of a log; how many, and how many were damaged."""
    rows = salvage(file, LOG).tables["event"]
    good: dict[int, dict[str, Any]] = {row["event_id"]: row for row in rows if is_sound(row)}
    lost = len({row["event_id"] for row in rows} - good.keys())
    people = ("person_id", "candidate_id", "runner_up_id")
    wanted = [row for row in good.values() if not forgotten & {row[name] for name in people}]
    return store.take_back([{name: row.get(name) for name in COLUMNS} for row in wanted]), lost
