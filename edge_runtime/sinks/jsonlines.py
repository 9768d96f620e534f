"""One JSON object a line: to standard output, or behind what a file already holds."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from edge_runtime.errors import ConfigError
from edge_runtime.types import Event


def open(argument: str) -> JsonLinesSink:
    """A sink to the file ``argument``; ``-`` is standard output."""
    return JsonLinesSink(argument)


class JsonLinesSink:
    """See ``protocols.Sink``; each event is one ``write`` of a whole line, never held back in a buffer."""

    def __init__(self, path: str) -> None:
        """Open the file; a new one is readable by its owner alone, as it says who was where.

        Raises:
            ConfigError: it cannot be opened.
        """
        try:
            if path == "-":
                sys.stdout.flush()
                self._descriptor = os.dup(sys.stdout.fileno())
            else:
                Path(path).parent.mkdir(parents=True, exist_ok=True)
                self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"[events] path: expected a file that can be written, {path!r} cannot "
                f"({getattr(error, 'strerror', None) or error}); name another one, or - for standard output"
            ) from error

    def emit(self, event: Event) -> None:
        """Write one line.

        Raises:
            BrokenPipeError: the reader has gone.
            OSError: the disk is full, or the file cannot be written any more.
            ValueError: closed.
        """
        if self._descriptor < 0:
            raise ValueError("sink: closed; open it again")
        line = json.dumps(event.as_json(), ensure_ascii=False, allow_nan=False).encode() + b"\n"
        while line:
            line = line[os.write(self._descriptor, line) :]

    def close(self) -> None:
        """Close the file; may be called again."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
