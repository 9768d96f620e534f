"""Whether the databases are sound: every page, every index, every row."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

from edge_runtime.config import events_path, unknowns_path
from edge_runtime.doctor.rows import Examination, Row, said
from edge_runtime.errors import FamiliarError
from edge_runtime.events.reader import EventReader
from edge_runtime.gallery.faults import REPAIR
from edge_runtime.gallery.opening import key_source
from edge_runtime.storage.database import BrokenError, asides, damage_of
from edge_runtime.unknowns.file import examine

FIX = f"sudo systemctl stop familiar; {REPAIR}; sudo systemctl start familiar"


def event_log(examination: Examination) -> Iterator[Row]:
    """Every event kept is as it was written, and no log was set aside."""
    path = events_path(examination.config)

    def damaged() -> int:
        with EventReader(path) as reader:
            return reader.damaged

    yield from _examined("log of events", path, damaged)


def unknowns(examination: Examination) -> Iterator[Row]:
    """Every stranger remembered is as they were written, and no file was set aside."""
    path = unknowns_path(examination.config)
    yield from _examined("strangers", path, lambda: examine(path, key_source(examination.config).load()))


def _examined(check: str, path: Path, damaged: Callable[[], int]) -> Iterator[Row]:
    aside = ", ".join(file.name for file in asides(path))
    if not path.exists() and not aside:
        yield Row(check, "ok", f"{path} is not there yet")
        return
    try:
        fault = damage_of(path) if path.exists() else None
        count = damaged() if path.exists() and fault is None else 0
    except (FamiliarError, BrokenError, sqlite3.Error) as error:
        yield Row(check, "fail", f"{path}: {said(error)}", FIX)
        return
    if fault is not None:
        yield Row(check, "fail", f"{path} is damaged ({fault})", FIX)
    elif count:
        yield Row(check, "warn", f"{count} rows are damaged and passed over", FIX)
    elif aside:
        yield Row(check, "warn", f"set aside as damaged: {aside}", FIX)
    else:
        yield Row(check, "ok", f"{path}, every row as it was written")
