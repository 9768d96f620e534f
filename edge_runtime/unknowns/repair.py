"""The file of strangers without its damaged rows, and with what is good of files that were set aside."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from edge_runtime.errors import UnknownsError
from edge_runtime.storage.database import BrokenError, asides, set_aside
from edge_runtime.storage.salvage import Repaired, salvage
from edge_runtime.storage.sqlite import delete_whole
from edge_runtime.unknowns.crowd import Unknown
from edge_runtime.unknowns.file import META, UNKNOWNS, Kind, UnknownsFile, open_meta, unknown_of, view_of
from edge_runtime.unknowns.sealing import place


def repair(path: Path, device_key: bytes) -> Repaired:
    """Delete damaged rows, and take back sound strangers of files that were set aside, which are deleted then.

    Nobody else may use the file meanwhile.

    Raises:
        UnknownsError: the file cannot be read or written.
    """
    try:
        fault = _broken(path, device_key)
        if fault is not None:
            set_aside(path)
        damaged = back = lost = taken = 0
        if path.exists():
            with UnknownsFile(path, device_key, None) as file:
                damaged = file.delete_damaged()
        for aside in asides(path):
            found = _take(path, aside, device_key)
            if found is not None:
                back, lost, taken = back + found[0], lost + found[1], taken + 1
                delete_whole(aside)
        left = asides(path)
        kept = 0
        if path.exists():
            with UnknownsFile(path, device_key, None) as file:
                kept = len(file.strangers())
    except (BrokenError, sqlite3.Error, OSError) as error:
        if isinstance(error, UnknownsError):
            raise
        raise UnknownsError(f"{path}: strangers cannot be repaired ({error}); make room on the disk") from error
    if fault is None and not damaged and not taken:
        return Repaired(path)
    lines = (f"{taken} files that were set aside: {back} strangers taken back",) if taken else ()
    told = fault or (f"{damaged} rows are damaged" if damaged else "files were set aside")
    return Repaired(path, told, {"strangers": kept}, {"rows": damaged + lost}, lines, left[-1] if left else None)


def _broken(path: Path, device_key: bytes) -> str | None:
    """Why a file cannot be used, or None."""
    if not path.exists():
        return None
    try:
        UnknownsFile(path, device_key, None).close()
    except BrokenError as error:
        return str(error)
    return None


def _take(path: Path, aside: Path, device_key: bytes) -> tuple[int, int] | None:
    """Take back the strangers of a file who are not in the present one; how many, and how many rows were damaged.

    None: nothing in it can be read with this device key, or it is of another encoder than the present file.
    """
    try:
        tables = salvage(aside, UNKNOWNS).tables
        sealing, meta = open_meta([row for table in META for row in tables[table]], device_key)
    except BrokenError:
        return None
    kind = Kind(meta["encoder_hash"], meta["preprocessing_hash"], meta["code_size"])
    views = {
        row["id"]: (row["stranger_id"], view, row) for row in tables["view"] if (view := view_of(row, sealing, kind))
    }
    good = {row["id"]: row for row in tables["stranger"] if sealing.is_sound("stranger", row)}
    lost = len({row["id"] for row in tables["view"]} - views.keys())
    lost += len({row["id"] for row in tables["stranger"]} - good.keys())
    with UnknownsFile(path, device_key, kind) as file:
        if file.kind != kind:
            return None
        here = {one.stranger_id for one in file.strangers()}
        back: dict[str, Unknown | None] = {}
        crops = {}
        for stranger_id, row in good.items():
            own = sorted((view for whose, view, _ in views.values() if whose == stranger_id), key=lambda one: one.at_s)
            if own and stranger_id not in here:
                back[stranger_id] = unknown_of(row, own)
        for view_id, (whose, _, row) in views.items():
            crop = sealing.read(row["crop"], place("crop", row, kind.encoder_hash))
            if whose in back and crop is not None:
                crops[view_id] = crop
        file.write(back, crops, (max(file.clock_s, meta["clock_s"]), file.wall_s or meta["wall_s"]))
    return len(back), lost
