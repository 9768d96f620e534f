"""The daemon's control socket: one request a connection, JSON before raw bytes, for root, the owner and the group.

A message is four bytes with the length of a JSON header (big-endian), the header, and as many raw bytes as its
``payload`` says. The answer is one such message without raw bytes: ``{"answer": …}`` or ``{"error": class name,
"message": line}``.
"""

from __future__ import annotations

import grp
import json
import os
import pwd
import selectors
import socket
import stat
import struct
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from edge_runtime.closing import Closing
from edge_runtime.errors import ControlError, FamiliarError, InputError, UsageError, revive
from edge_runtime.log import log

Answer = dict[str, Any]
Handler = Callable[[str, dict[str, Any], bytes], Answer]

MAX_PAYLOAD = 64 << 20
REQUEST_S = 10.0
"""How long a client may take over its request."""
MOST_AT_ONCE = 8
"""Requests that are answered at once; the next one waits, for as long as a silent client may be silent at most."""
ANSWER_S = 120.0
"""How long a client waits: a large photo on a small device takes seconds, and others may be before it."""
_DRAIN_S = 1.0
"""How long what nobody wants is still read from a client that was answered."""
_MAX_HEADER = 16 << 20
_LENGTH = struct.Struct(">I")
_PEER = struct.Struct("3i")


class ControlServer(Closing):
    """Answers requests, each on a thread of its own, so that a slow client keeps no other one waiting."""

    def __init__(
        self, path: Path, handler: Handler, request_s: float = REQUEST_S, most_at_once: int = MOST_AT_ONCE
    ) -> None:
        """Listen at ``path`` and start the thread.

        Args:
            path: of the socket, mode 0660; its folder is made, for its owner alone, where it is missing.
            handler: gets command, arguments and payload, on several threads at once; what it raises reaches the
                client as the same error.
            request_s: how long a client may take over its request, seconds.
            most_at_once: requests answered at the same time.

        Raises:
            ControlError: a running daemon has this socket, or it cannot be made.
        """
        self.path = path
        self._handler = handler
        self._request_s = request_s
        self._listener = _listen(path)
        self._identity = _identity(path)
        self._slots = threading.BoundedSemaphore(most_at_once)
        self._most_at_once = most_at_once
        self._wake, self._woken = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name="control", daemon=True)
        self._thread.start()

    def close(self, timeout_s: float = 0.5) -> None:
        """Stop answering and remove the socket; may be called again."""
        if self._listener.fileno() < 0:
            return
        if _identity(self.path) == self._identity:
            self.path.unlink()
        self._wake.close()
        self._thread.join(timeout_s)
        self._listener.close()
        # Every slot back: nobody is being answered any more.
        until = time.monotonic() + timeout_s
        for _ in range(self._most_at_once):
            self._slots.acquire(timeout=max(until - time.monotonic(), 0.0))

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector, self._woken:
            selector.register(self._listener, selectors.EVENT_READ)
            selector.register(self._woken, selectors.EVENT_READ)
            while all(key.fileobj is not self._woken for key, _ in selector.select()):
                try:
                    connection, _ = self._listener.accept()
                except OSError:
                    time.sleep(0.1)  # out of descriptors: what holds them has to end first
                    continue
                if not self._slots.acquire(timeout=self._request_s):
                    with connection:
                        busy = f"control socket: {self._most_at_once} requests are being answered; try again"
                        self._send(connection, {"error": "ControlError", "message": busy})
                    continue
                threading.Thread(target=self._serve_in_slot, args=(connection,), name="control", daemon=True).start()

    def _serve_in_slot(self, connection: socket.socket) -> None:
        try:
            with connection:
                self._serve(connection)
        finally:
            self._slots.release()

    def _serve(self, connection: socket.socket) -> None:
        try:
            answer: Answer = {"answer": self._answer(connection)}
        except _PeerGoneError:
            return
        except FamiliarError as error:
            answer = {"error": type(error).__name__, "message": str(error)}
        except Exception as error:
            log.error("a request failed", error=type(error).__name__, trace=traceback.format_exc())
            answer = {"error": "FamiliarError", "message": f"the daemon failed: {type(error).__name__}: {error}"}
        self._send(connection, answer)

    def _send(self, connection: socket.socket, answer: Answer) -> None:
        try:
            connection.settimeout(self._request_s)
            connection.sendall(_packed(answer))
            connection.shutdown(socket.SHUT_WR)
            # What was sent and not read would reset the connection before the answer is read.
            until = time.monotonic() + min(self._request_s, _DRAIN_S)
            while (left_s := until - time.monotonic()) > 0:
                connection.settimeout(left_s)
                if not connection.recv(1 << 16):
                    break
        except OSError:
            pass  # the client did not wait; what it asked for is done

    def _answer(self, connection: socket.socket) -> Answer:
        uid = check_peer(connection, self._identity[2])
        reader = _Reader(connection, self._request_s, f"control socket: user {uid}")
        header = reader.header()
        command, arguments, size = header.get("command"), header.get("arguments", {}), header.get("payload", 0)
        if not isinstance(command, str) or not isinstance(arguments, dict) or type(size) is not int:
            raise UsageError(f"control socket: expected command, arguments and payload, received {sorted(header)}")
        if not 0 <= size <= MAX_PAYLOAD:
            raise UsageError(f"control socket: expected at most {MAX_PAYLOAD >> 20} MiB, received {size >> 20} MiB")
        return self._handler(command, arguments, reader.exactly(size))


class ControlClient:
    """The other end; each call is a connection of its own, so nothing breaks when the daemon restarts."""

    def __init__(self, path: Path) -> None:
        """Use :meth:`connect`."""
        self.path = path

    @classmethod
    def connect(cls, path: Path) -> ControlClient | None:
        """A client of the daemon behind ``path``, or None if none is running.

        Raises:
            ControlError: one is running, but this user may not speak to it.
        """
        try:
            _connected(path, REQUEST_S).close()
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
            with _connected(self.path, ANSWER_S) as connection:
                connection.sendall(_packed(header) + payload)
                document = _Reader(connection, ANSWER_S, f"{self.path}: the daemon").header()
        except (OSError, _PeerGoneError) as error:
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


def check_peer(connection: socket.socket, group: int) -> int:
    """The user id behind a connection, as the kernel vouches for it (unix(7), SO_PEERCRED).

    Args:
        connection: accepted from a listening socket.
        group: id of the group that may speak, beside root and this process's own user.

    Raises:
        ControlError: somebody else.
    """
    peer: tuple[int, int, int] = _PEER.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
    _, uid, gid = peer
    if uid in (0, os.geteuid()) or gid == group:
        return uid
    try:
        user = pwd.getpwuid(uid).pw_name
    except KeyError:
        user = ""
    if user and group in os.getgrouplist(user, gid):
        return uid
    raise ControlError(
        f"control socket: expected root, the daemon's user or group {_group_name(group)!r}, "
        f"found {user or uid}; sudo usermod -aG {_group_name(group)} {user or uid}"
    )


class _PeerGoneError(Exception):
    """The other end closed its side; nobody is there to be told."""


class _Reader:
    """Whole messages from a connection, before a deadline that covers all of it."""

    def __init__(self, connection: socket.socket, patience_s: float, who: str) -> None:
        self._connection, self._who, self._patience_s = connection, who, patience_s
        self._until = time.monotonic() + patience_s

    def header(self) -> dict[str, Any]:
        (length,) = _LENGTH.unpack(self.exactly(_LENGTH.size))
        if length > _MAX_HEADER:
            raise ControlError(f"{self._who}: expected a header of at most {_MAX_HEADER} bytes, found {length}")
        try:
            document = json.loads(self.exactly(length))
        except ValueError as error:
            raise ControlError(f"{self._who}: expected a JSON header, found something else ({error})") from error
        if not isinstance(document, dict):
            raise ControlError(f"{self._who}: expected a JSON object, found {type(document).__name__}")
        return document

    def exactly(self, size: int) -> bytes:
        buffer = bytearray()
        while len(buffer) < size:
            self._connection.settimeout(max(self._until - time.monotonic(), 0.001))
            try:
                chunk = self._connection.recv(min(size - len(buffer), 1 << 20))
            except TimeoutError as error:
                raise ControlError(
                    f"{self._who}: expected {size} bytes within {self._patience_s:g} s, found {len(buffer)}; try again"
                ) from error
            except ConnectionResetError as error:
                raise _PeerGoneError from error
            if not chunk:
                raise _PeerGoneError
            buffer += chunk
        return bytes(buffer)


def _packed(document: Mapping[str, Any]) -> bytes:
    text = json.dumps(document).encode()
    return _LENGTH.pack(len(text)) + text


def _connected(path: Path, timeout_s: float) -> socket.socket:
    """Connect, or raise ``FileNotFoundError`` / ``ConnectionRefusedError`` where nobody listens."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(timeout_s)
    try:
        connection.connect(str(path))
    except BaseException as error:
        connection.close()
        if isinstance(error, PermissionError):
            raise ControlError(
                f"{path}: a daemon's socket is there, this user may not use it; "
                f"sudo usermod -aG {_group_name(_group_of(path))} $USER and log in again, or use sudo"
            ) from error
        if isinstance(error, TimeoutError):
            raise ControlError(f"{path}: the daemon does not answer; see journalctl -u familiar") from error
        if isinstance(error, OSError) and error.errno is None:
            raise ControlError(
                f"{path}: no socket can be here ({error}); set [control] socket to a short path"
            ) from error
        raise
    return connection


def _listen(path: Path) -> socket.socket:
    """A listening socket in the place of a dead daemon's, but not of a living one's."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.is_symlink() or path.exists():
            if path.is_symlink() or not stat.S_ISSOCK(path.stat().st_mode):
                raise ControlError(f"{path}: expected a socket or nothing, found a file; set [control] socket")
            if ControlClient.connect(path) is not None:
                raise ControlError(
                    f"{path}: a daemon is running here already; stop it (systemctl stop familiar), "
                    "or set [control] socket for a second one"
                )
            log.warning("replacing the socket of a daemon that is gone", path=str(path))
            path.unlink()
        listener.bind(str(path))
        # Nobody can connect before listen(), so there is no moment at which others could.
        path.chmod(0o660)
        listener.listen(16)
    except OSError as error:
        listener.close()
        if isinstance(error, ControlError):
            raise
        raise ControlError(
            f"{path}: the control socket cannot be made ({error.strerror or error}); "
            "set [control] socket to a short path that this user may write"
        ) from error
    return listener


def _identity(path: Path) -> tuple[int, int, int]:
    """(device, inode, group) of the socket, to know it from one that replaced it."""
    try:
        found = path.stat()
    except OSError:
        return (0, 0, -1)
    return (found.st_dev, found.st_ino, found.st_gid)


def _group_of(path: Path) -> int:
    try:
        return path.stat().st_gid
    except OSError:
        return -1


def _group_name(group: int) -> str:
    try:
        return grp.getgrgid(group).gr_name
    except (KeyError, OverflowError):
        return "familiar"
