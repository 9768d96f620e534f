"""The server of the control socket, for root, the owner and the group."""

from __future__ import annotations

import os
import pwd
import selectors
import socket
import stat
import struct
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edge_runtime.control.client import ControlClient, group_name
from edge_runtime.control.protocol import MAX_PAYLOAD, REQUEST_S, Answer, MessageReader, PeerGoneError, packed
from edge_runtime.errors import ControlError, FamiliarError, UsageError
from edge_runtime.system.closing import Closing
from edge_runtime.system.log import log

_DRAIN_S = 1.0
"""How long what nobody wants is still read from a client that was answered."""
Handler = Callable[[str, dict[str, Any], bytes], Answer]

MOST_AT_ONCE = 8
"""Requests that are answered at once; the next one waits, for as long as a silent client may be silent at most."""
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
        except PeerGoneError:
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
            connection.sendall(packed(answer))
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
        reader = MessageReader(connection, self._request_s, f"control socket: user {uid}")
        header = reader.header()
        command, arguments, size = header.get("command"), header.get("arguments", {}), header.get("payload", 0)
        if not isinstance(command, str) or not isinstance(arguments, dict) or type(size) is not int:
            raise UsageError(f"control socket: expected command, arguments and payload, received {sorted(header)}")
        if not 0 <= size <= MAX_PAYLOAD:
            raise UsageError(f"control socket: expected at most {MAX_PAYLOAD >> 20} MiB, received {size >> 20} MiB")
        return self._handler(command, arguments, reader.exactly(size))


def check_peer(connection: socket.socket, group: int) -> int:
    """The user id behind a connection, as the kernel states it (unix(7), SO_PEERCRED).

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
        f"control socket: expected root, the daemon's user or group {group_name(group)!r}, "
        f"found {user or uid}; sudo usermod -aG {group_name(group)} {user or uid}"
    )


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
