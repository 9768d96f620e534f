"""One JSON object a line, or on a terminal one sentence: to standard output, or behind what a file already holds."""

from __future__ import annotations

import json
import os
import stat
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from edge_runtime.errors import ConfigError
from edge_runtime.schema.table import key
from edge_runtime.storage.files import is_still
from edge_runtime.text.plain import printable
from edge_runtime.text.sentences import event_sentence
from edge_runtime.types import Event


@dataclass(frozen=True)
class Settings:
    """Keys of a ``[[sink]]`` table of this type."""

    path: str = key("-", "file that gets one JSON line an event; -: standard output")
    readable: str = key("auto", "a sentence instead of JSON on a terminal: auto, or never", choices=("auto", "never"))

    @property
    def target(self) -> str:
        """What distinguishes it from others of its kind."""
        return self.path


def open(settings: Settings) -> JsonLinesSink:
    """A sink to the file of that path; ``-`` is standard output."""
    return JsonLinesSink(settings.path, settings.readable == "auto")


class JsonLinesSink:
    """See ``protocols.Sink``; each event is one ``write`` of a whole line, never held back in a buffer.

    A file that was moved or deleted, as by logrotate, is made anew with the next event.
    """

    pictures = "none"
    refused = 0

    def __init__(self, path: str, readable: bool = False) -> None:
        """Open the file; a new one is readable by its owner alone, as it says who was where.

        Args:
            path: of the file; ``-``: standard output.
            readable: on a terminal write sentences.

        Raises:
            ConfigError: it cannot be opened.
        """
        self._path = path
        self._readable = readable
        self._descriptor = -1
        self._closed = False
        try:
            self._open()
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"sink jsonlines, path: expected a file that can be written, {path!r} cannot "
                f"({getattr(error, 'strerror', None) or error}); name another one, or - for standard output"
            ) from error

    def emit(self, event: Event) -> None:
        """Write one line.

        Raises:
            BrokenPipeError: the reader has gone.
            OSError: the disk is full, or the file cannot be written any more.
            ValueError: closed.
        """
        if self._closed:
            raise ValueError("sink: closed; open it again")
        if self.lasting and not self._in_place():
            self._release()
            self._open()
        line = self._line(event).encode() + b"\n"
        end = os.fstat(self._descriptor).st_size
        try:
            while line:
                line = line[os.write(self._descriptor, line) :]
        except OSError:
            if self.lasting:
                # Half a line would spoil the next one.
                with suppress(OSError):
                    os.ftruncate(self._descriptor, end)
            raise

    def _line(self, event: Event) -> str:
        values = event.as_json()
        if not (self._readable and os.isatty(self._descriptor)):
            return json.dumps(values, ensure_ascii=False, allow_nan=False)
        at, number = (
            time.strftime("%H:%M:%S", time.localtime(event.wall_time)),
            (event.track_id or "").rpartition("-")[2],
        )
        return printable(f"{at}  {event.camera}  {number:>3}  {event_sentence(values)}")

    def flush(self) -> None:
        """Make a file outlive a power cut.

        Raises:
            OSError: the disk does not take it.
        """
        if self.lasting and self._descriptor >= 0:
            os.fdatasync(self._descriptor)

    def close(self) -> None:
        """Close the file; may be called again."""
        self._closed = True
        self._release()

    def _open(self) -> None:
        if self._path == "-":
            sys.stdout.flush()
            self._descriptor = os.dup(sys.stdout.fileno())
            self.lasting = False
            return
        Path(self._path).parent.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        found = os.fstat(self._descriptor)
        self.lasting = stat.S_ISREG(found.st_mode)
        if self.lasting and found.st_size and not self._ends_whole():
            os.write(self._descriptor, b"\n")  # a power cut has left half a line

    def _ends_whole(self) -> bool:
        with Path(self._path).open("rb") as stream:
            stream.seek(-1, os.SEEK_END)
            return stream.read(1) == b"\n"

    def _in_place(self) -> bool:
        """Whether the open file is still the one of that name."""
        return self._descriptor >= 0 and is_still(Path(self._path), os.fstat(self._descriptor))

    def _release(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
