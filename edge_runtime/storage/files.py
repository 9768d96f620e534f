"""Files and folders that are there whole or not at all, and names that outlive a power cut."""

from __future__ import annotations

import errno
import fcntl
import glob
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from edge_runtime.errors import InputError

_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EFBIG})
"""What a disk says that takes no more, whatever was written to it."""

_HERE, _EXCHANGE = -100, 2
"""AT_FDCWD and RENAME_EXCHANGE of Linux."""


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


def give_to_owner(path: Path, folder: Path | None = None) -> None:
    """Let a file that root has made belong to whom its folder does: the service must be able to use it.

    Args:
        path: of the file.
        folder: which it is going to lie in; None: the one it lies in.

    Raises:
        OSError: it cannot be looked at.
    """
    if os.geteuid() == 0:
        owner = (folder or path.parent).stat()
        os.chown(path, owner.st_uid, owner.st_gid)


def sync_folder(path: Path) -> None:
    """Make the names in a folder outlive a power cut."""
    _sync(path, os.O_DIRECTORY)


def write_whole(path: Path, data: bytes | memoryview | str, mode: int | None = None) -> None:
    """Write a file whole or not at all; see :func:`replacing`.

    Args:
        path: of the file, which is replaced if it exists.
        data: all of it; text is written as UTF-8.
        mode: see :func:`replacing`.

    Raises:
        InputError: it cannot be written; what was there stays.
    """
    with replacing(path, mode, make_folder=False) as draft, draft.open("r+b") as stream:
        stream.write(data.encode() if isinstance(data, str) else data)


def write_state(path: Path, text: str) -> None:
    """Write a file of the state folder, whole or not at all: for its owner alone, who is the folder's.

    Raises:
        InputError: it cannot be written; what was there stays.
    """
    with replacing(path, 0o600, make_folder=False) as draft:
        give_to_owner(draft)
        with draft.open("r+b") as stream:
            stream.write(text.encode())


@contextmanager
def replacing(path: str | Path, mode: int | None = None, make_folder: bool = True) -> Iterator[Path]:
    """Give an empty file to write to, which takes the place of ``path`` when the block ends well, else it goes.

    When the block has ended well, bytes and name are on the disk for good. The draft lies beside ``path``; its name
    begins with a dot and keeps the suffix, which some writers go by. What a killed process leaves is deleted by a
    later writer of the same file.

    Args:
        path: of the file.
        mode: of the new file, less what the process's umask takes away; None: as the present file's, else 0666.
        make_folder: make its folder if it is missing.

    Raises:
        InputError: it cannot be written; what was there stays.
    """
    path = Path(path)
    try:
        # As root, a move would put a file in the place of a device.
        other = not path.name or (path.exists() and not path.is_file())
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be written ({error}); name another place") from error
    if other:
        raise InputError(f"{path}: expected a file to write, found a folder or device; name another place")
    draft = path.with_name(f".partial-{secrets.token_hex(4)}-{path.name}")
    with _explained(path, draft), ExitStack() as held:
        try:
            if make_folder:
                path.parent.mkdir(parents=True, exist_ok=True)
            _delete_stale(path)
            _hold(held, os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666 if mode is None else mode))
            if mode is None:
                _take_after(draft, path)
            yield draft
            _sync(draft)
            draft.replace(path)
            sync_folder(path.parent)
        finally:
            with suppress(OSError):
                draft.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Give an empty folder to write to, which takes the place of ``path`` when the block ends well, else it goes.

    The two exchange their places at once. Where a file system cannot do that, what was there is moved aside first and
    comes back if the new one cannot take its place. When the block has ended well, every file in it is on the disk for
    good.

    Args:
        path: of the folder; the one above it is made if it is missing.

    Raises:
        InputError: it cannot be written; what was there stays.
    """
    path = path.absolute()
    beside = path.with_name(f".partial-{secrets.token_hex(4)}-{path.name}")
    draft, old = beside / "new", beside / "old"
    with _explained(path, beside), ExitStack() as held:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _delete_stale(path)
            beside.mkdir()
            _hold(held, os.open(beside, os.O_RDONLY | os.O_DIRECTORY))
            draft.mkdir()
            yield draft
            for found in (*draft.rglob("*"), draft):
                _sync(found)
            if not (path.is_dir() and _exchange(draft, path)):
                if path.is_dir():
                    path.rename(old)
                try:
                    draft.rename(path)
                except OSError:
                    if old.is_dir():
                        old.rename(path)
                    raise
            sync_folder(path.parent)
        finally:
            shutil.rmtree(beside, ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
    """Let two folders take each other's names at once, renameat2(2); False: this system or disk cannot, or may not."""
    import ctypes  # Light commands read files too, and need none of it.

    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError):
        return False
    return bool(rename(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) == 0)


@contextmanager
def _explained(path: Path, draft: Path) -> Iterator[None]:
    """Turn what the file system says of ``path`` or its draft into one line; what it says of others passes through."""
    try:
        yield
    except OSError as error:
        told = Path(os.fsdecode(error.filename)) if isinstance(error.filename, str | bytes) else None
        own = told is None or told == path.parent or told == path or draft in (told, *told.parents)
        if error.errno in _DISK or (own and error.errno is not None):
            raise InputError(
                f"{path}: cannot be written ({error.strerror}); make room, or name another place"
            ) from error
        raise


def _take_after(draft: Path, path: Path) -> None:
    """Give a draft the mode, and where we may the owner, of the file that it is to replace."""
    try:
        present = path.stat()
    except OSError:
        return
    if os.geteuid() == 0:
        os.chown(draft, present.st_uid, present.st_gid)
    draft.chmod(stat.S_IMODE(present.st_mode))


def _hold(held: ExitStack, descriptor: int) -> None:
    """Keep a draft locked for as long as its writer lives; the lock is the kernel's, so a dead writer holds no lock."""
    held.callback(os.close, descriptor)
    fcntl.flock(descriptor, fcntl.LOCK_EX)


def _delete_stale(path: Path) -> None:
    """Delete what killed processes have left of drafts of ``path``."""
    for left in path.parent.glob(f".partial-{'[0-9a-f]' * 8}-{glob.escape(path.name)}"):
        with suppress(OSError), ExitStack() as held:
            descriptor = os.open(left, os.O_RDONLY)
            held.callback(os.close, descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink()


def _sync(path: Path, flags: int = 0) -> None:
    descriptor = os.open(path, os.O_RDONLY | flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
