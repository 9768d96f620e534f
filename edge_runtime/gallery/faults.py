"""What is wrong with a gallery's file, in one line with what fixes it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge_runtime.errors import BusyError, DamagedGalleryError, GalleryError
from edge_runtime.storage.database import BrokenError
from edge_runtime.storage.ownership import what_helps
from edge_runtime.storage.sqlite import BUSY_S, is_busy, is_damage, is_full

REPAIR = "familiar repair"
"""The command that saves what is good."""
SAVE = f"stop the daemon, then run: {REPAIR} (it saves every row that is good)"


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn what SQLite and the file system say of a gallery into one line with the fix.

    Raises:
        DamagedGalleryError: it is damaged.
        BusyError: another program holds it.
        GalleryError: anything else.
    """
    try:
        yield
    except BrokenError as error:
        raise _broken(path, error) from error
    except sqlite3.Error as error:
        told = f"{path}: expected a sound gallery, SQLite says: {error}"
        if is_busy(error):
            fix = f"another program has held it for {BUSY_S:.0f} s; stop that one or try again"
            raise BusyError(f"{told}; {fix}") from error
        if is_damage(error):
            raise DamagedGalleryError(f"{told}; {SAVE}") from error
        if is_full(error):
            fix = "make room on the disk and check that it is sound; what was confirmed before is kept"
        else:
            fix = f"check that the file and its folder are yours to write: {what_helps(path, 'gallery')}"
        raise GalleryError(f"{told}; {fix}") from error
    except FileNotFoundError as error:
        raise GalleryError(
            f"{path}: expected a gallery, found none; make it with: familiar enroll NAME PHOTO"
        ) from error
    except OSError as error:
        raise GalleryError(
            f"{path}: the gallery cannot be opened or made ({error.strerror}); "
            f"{what_helps(path, 'gallery')}, or set [gallery] path"
        ) from error


def _broken(path: Path, error: BrokenError) -> GalleryError:
    if error.fault == "foreign":
        return GalleryError(
            f"{path}: expected a gallery, found {error}; set [gallery] path, or run {REPAIR} if it was one"
        )
    if error.fault == "newer":
        return GalleryError(f"{path}: expected a gallery that this version knows, found {error}; upgrade familiar-edge")
    if error.fault == "older":
        return GalleryError(
            f"{path}: expected a gallery that this version knows, found {error}; export its people with the version "
            "that made it (familiar gallery export) and import them here, or move it away and enrol again"
        )
    return DamagedGalleryError(f"{path}: expected a sound gallery, found it damaged ({error}); {SAVE}")
