"""Files that are there whole or not at all, and names that outlive a power cut."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from edge_runtime.errors import InputError


def with_sides(path: Path) -> tuple[Path, ...]:
    """A database's file, and those that SQLite keeps beside it."""
    return (path, *(path.with_name(path.name + side) for side in ("-wal", "-shm")))


def is_still(path: Path, opened: os.stat_result) -> bool:
    """Whether a file that was opened is still the one of that name: not moved, deleted or replaced since.

    Raises:
        OSError: it cannot be looked at.
    """
    try:
        return os.path.samestat(opened, path.stat())
    except FileNotFoundError:
        return False


def write_new(path: Path, data: bytes | memoryview, mode: int) -> None:
    """Write a file that is not there yet; its bytes are on the disk for good when this returns.

    Raises:
        OSError: it is there, or cannot be written.
    """
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def sync_folder(path: Path) -> None:
    """Make the names in a folder outlive a power cut."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_whole(path: Path, data: bytes | memoryview, mode: int = 0o666) -> None:
    """Write beside its place, to the disk for good, then move it there.

    Args:
        path: of the file, which is replaced if it exists.
        data: all of it.
        mode: of the new file, less what the process's umask takes away.

    Raises:
        InputError: it cannot be written; what was there stays.
    """
    try:
        # As root, a move would put a file in the place of a device.
        other = path.exists() and not path.is_file()
        draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be written ({error}); name another place") from error
    if other:
        raise InputError(f"{path}: expected a file to write, found a folder or device; name another place")
    try:
        write_new(draft, data, mode)
        draft.replace(path)
    except OSError as error:
        raise InputError(
            f"{path}: cannot be written ({error.strerror or error}); make room, or name another place"
        ) from error
    finally:
        draft.unlink(missing_ok=True)
