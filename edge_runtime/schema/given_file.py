"""A file that somebody named: a pipe would keep its reader for ever, a device would fill its memory."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

_PIECE_BYTES = 1 << 20


def read_given(path: str | Path, most_bytes: int) -> bytes:
    """The bytes of a file.

    Raises:
        OSError: it cannot be read, is a folder, pipe or device, or is longer; ``strerror`` says so.
    """
    try:
        # A pipe would wait for somebody to write, before it is clear that it is one.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except ValueError as error:
        raise OSError(errno.EINVAL, f"no file can have this name: {error}") from error
    with os.fdopen(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is a folder, pipe or device, and no file")
        # In pieces: memory for all that is allowed would be taken at once, however short the file is.
        pieces, length = [], 0
        while length <= most_bytes and (piece := stream.read(_PIECE_BYTES)):
            pieces.append(piece)
            length += len(piece)
    if length > most_bytes:
        raise OSError(errno.EFBIG, f"it holds more than {most_bytes >> 10} KiB")
    return b"".join(pieces)
