"""One daemon a gallery, and nothing that changes its key meanwhile."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from edge_runtime.errors import BusyError, GalleryError
from edge_runtime.storage.files import give_to_owner
from edge_runtime.storage.ownership import what_helps


@contextmanager
def exclusive_lock(database: Path, who: str, what: str = "gallery", key: str = "[gallery] path") -> Iterator[None]:
    """Keep a second daemon from this gallery; the lock is the kernel's, so a dead daemon holds no lock.

    Args:
        database: path of the gallery, or of the log of events.
        who: wants to use it alone, for the message.
        what: it is, and the ``key`` that names another one, likewise.
        key: of the configuration.

    Raises:
        BusyError: another program uses it.
        GalleryError: the lock cannot be made.
    """
    path = database.with_name(database.name + ".lock")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        give_to_owner(path)
    except OSError as error:
        raise GalleryError(
            f"{path}: the {what}'s lock cannot be made ({error.strerror}); {what_helps(path, what)}, or set {key}"
        ) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            owner = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
            raise BusyError(
                f"{database}: the {who} expected a {what} that no other daemon uses, process {owner} does; "
                f"stop that one (systemctl stop familiar), or set {key}"
            ) from error
        # On a full disk the lock holds without its owner's number.
        with suppress(OSError):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)
