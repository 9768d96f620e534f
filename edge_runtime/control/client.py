"""The client of a running daemon; its people are reached as those of the files are."""

from __future__ import annotations

import grp
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from edge_runtime.control.protocol import MAX_PAYLOAD, REQUEST_S, Answer, MessageReader, PeerGoneError, packed
from edge_runtime.errors import ControlError, InputError, revive

ANSWER_S = 120.0
"""How long a client waits: a large photo on a small device takes seconds, and others may be before it."""


_QUEUE_S = 0.01


class ControlClient:
    """The other end; each call is a connection of its own, so nothing breaks when the daemon restarts."""

    def __init__(self, path: Path) -> None:
        """Use :meth:`connect`."""
        self.path = path

    @classmethod
    def connect(cls, path: Path) -> ControlClient | None:
        """A client of the daemon behind ``path``, or None if no daemon is running.

        Raises:
            ControlError: one is running, but this user may not speak to it.
        """
        try:
            connect(path, REQUEST_S).close()
        except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
            return None
        return cls(path)

    def call(self, command: str, arguments: Mapping[str, Any], payload: bytes = b"") -> Answer:
        """Ask the daemon; returns its answer.

        Raises:
            ControlError: it went away, or did not answer in time.
            InputError: a payload larger than it takes.
            FamiliarError: what the daemon raised, with its own class and line.
        """
        if len(payload) > MAX_PAYLOAD:
            raise InputError(
                f"{command}: expected at most {MAX_PAYLOAD >> 20} MiB, found {len(payload) >> 20} MiB; "
                "shrink the picture"
            )
        header = {"command": command, "arguments": dict(arguments), "payload": len(payload)}
        try:
            with connect(self.path, ANSWER_S) as connection:
                connection.sendall(packed(header) + payload)
                document = MessageReader(connection, ANSWER_S, f"{self.path}: the daemon").header()
        except (OSError, PeerGoneError) as error:
            if isinstance(error, ControlError):
                raise
            raise ControlError(
                f"{self.path}: expected an answer of the daemon, it went away ({error or 'connection closed'}); "
                "see its log: journalctl -u familiar"
            ) from error
        if "error" in document:
            raise revive(str(document["error"]), str(document.get("message", "")))
        answer: Answer = document["answer"]
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to close."""


def connect(path: Path, timeout_s: float) -> socket.socket:
    """Connect, or raise ``FileNotFoundError`` / ``ConnectionRefusedError`` where nobody listens."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(timeout_s)
    try:
        _connect(connection, path, timeout_s)
    except BaseException as error:
        connection.close()
        if isinstance(error, PermissionError):
            raise ControlError(
                f"{path}: a daemon's socket is there, this user may not use it; "
                f"sudo usermod -aG {group_name(group_of(path))} $USER and log in again, or use sudo"
            ) from error
        if isinstance(error, TimeoutError):
            raise ControlError(f"{path}: the daemon does not answer; see journalctl -u familiar") from error
        if isinstance(error, OSError) and error.errno is None:
            raise ControlError(
                f"{path}: no socket can be here ({error}); set [control] socket to a short path"
            ) from error
        raise
    return connection


def _connect(connection: socket.socket, path: Path, timeout_s: float) -> None:
    """Connect; a queue that is full for a moment is waited for, as a socket with a timeout does not by itself."""
    until_s = time.monotonic() + timeout_s
    while True:
        try:
            connection.connect(str(path))
            return
        except BlockingIOError as error:
            if time.monotonic() > until_s:
                raise TimeoutError from error
            time.sleep(_QUEUE_S)


def group_of(path: Path) -> int:
    try:
        return path.stat().st_gid
    except OSError:
        return -1


def group_name(group: int) -> str:
    try:
        return grp.getgrgid(group).gr_name
    except (KeyError, OverflowError):
        return "familiar"
