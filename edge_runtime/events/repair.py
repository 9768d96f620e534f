"""The log of events without its damaged rows, and with what is good of logs that were set aside."""

from __future__ import annotations

import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any

from edge_runtime.errors import EventLogError
from edge_runtime.events.database import LOG, is_ours
from edge_runtime.events.footage import Footage, FootageKind
from edge_runtime.events.reader import EventReader
from edge_runtime.events.record import COLUMNS, is_sound, key_of
from edge_runtime.events.store import EventStore
from edge_runtime.gallery.directory import Directory
from edge_runtime.storage.database import BrokenError, asides, set_aside
from edge_runtime.storage.salvage import Repaired, salvage
from edge_runtime.storage.sqlite import delete_whole

_FOOTAGE: tuple[FootageKind, ...] = ("snapshot", "clip")
_BATCH = 500


def repair(path: Path, directory: Directory) -> Repaired:
    """Delete damaged rows, and take back sound events of logs that were set aside, which are deleted then.

    Pictures come back with their event; those of events that are lost are deleted. Nobody else may use the log
    meanwhile.

    Args:
        path: of the log.
        directory: events of people it calls forgotten are not taken back; its keys tell which pictures still open.

    Raises:
        EventLogError: the log cannot be read or written.
    """
    try:
        fault = _broken(path)
        aside = None
        if fault is not None:
            aside = set_aside(path)
        old = [file for file in asides(path) if is_ours(file)]
        footage = Footage(path)
        with EventStore(path, footage=footage) as store:
            damaged = store.delete_damaged()
            back = lost = 0
            for file in old:
                found, gone = _take(store, file, directory)
                back, lost = back + found, lost + gone
                delete_whole(file)
            kept = store.count
            orphans = footage.reconcile(store.tokens())
        if fault is None and not damaged and not old:
            return Repaired(path)
        pictures, shut = _pictures(path, footage, directory)
    except (BrokenError, sqlite3.Error, OSError) as error:
        if isinstance(error, EventLogError):
            raise
        raise EventLogError(f"{path}: the log of events cannot be repaired ({error}); make room on the disk") from error
    lines = [f"{len(old)} logs that were set aside: {back} events taken back" for _ in old[:1]]
    if shut:
        lines.append(f"{shut} pictures do not open: damaged, or their key is gone; they go with their events")
    lost_pictures = {f"{kind}s": count for kind, count in orphans.items() if count}
    left = aside if aside is not None and aside.exists() else None
    told = fault or (f"{damaged} rows are damaged" if damaged else "logs were set aside")
    lost_too = {"events": damaged + lost, **lost_pictures}
    return Repaired(path, told, {"events": kept, **pictures}, lost_too, tuple(lines), left)


def _broken(path: Path) -> str | None:
    """Why a log cannot be used, or None."""
    if not path.exists():
        return None
    try:
        EventStore(path).close()
    except BrokenError as error:
        return str(error)
    return None


def _pictures(path: Path, footage: Footage, directory: Directory) -> tuple[Counter[str], int]:
    """How many crops, snapshots and clips are kept, and how many of them do not open although their key is known."""
    kept: Counter[str] = Counter()
    shut = last = 0
    with EventReader(path) as reader:
        while records := reader.after(last, _BATCH):
            last = records[-1].event_id
            for record in records:
                known = key_of(record, directory) is not None
                if record.has_crop:
                    kept["crops"] += 1
                    shut += known and reader.crop(record, directory)[1] is None
                for kind in _FOOTAGE:
                    if footage.has(kind, record.footage):
                        kept[f"{kind}s"] += 1
                        shut += known and footage.beside(kind, record, directory) is None
    return kept, shut


def _take(store: EventStore, file: Path, directory: Directory) -> tuple[int, int]:
    """Take back the sound events of a log; how many, and how many were damaged."""
    rows = salvage(file, LOG).tables["event"]
    good: dict[int, dict[str, Any]] = {row["event_id"]: row for row in rows if is_sound(row)}
    lost = len({row["event_id"] for row in rows} - good.keys())
    people = ("person_id", "candidate_id", "runner_up_id")
    wanted = [row for row in good.values() if not directory.forgotten & {row[name] for name in people}]
    return store.take_back([{name: row.get(name) for name in COLUMNS} for row in wanted]), lost
