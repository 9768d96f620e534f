"""A file that is there whole or not at all."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from edge_runtime.errors import InputError


def write_whole(path: Path, data: bytes | memoryview, mode: int = 0o666) -> None:
    """Write beside its place, to the disk for good, then move it there.

    Args:
        path: of the file, which is replaced if it exists.
        data: all of it.
        mode: of the new file, less what the process's umask takes away.

    Raises:
        InputError: it cannot be written; what was there stays.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror}); make room, or name another place") from error
    finally:
        draft.unlink(missing_ok=True)
