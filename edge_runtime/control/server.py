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
from contextlib import suppress
from pathlib import Path
from typing import Any

from edge_runtime.control.client import ControlClient, group_name
from edge_runtime.control.connection import Budget, Connection, Phase
from edge_runtime.control.protocol import MAX_PAYLOAD, REQUEST_S, Answer
from edge_runtime.errors import ControlError, FamiliarError
from edge_runtime.system.closing import Closing
from edge_runtime.system.log import log
from edge_runtime.system.priority import step_back

Handler = Callable[[str, dict[str, Any], bytes], Answer]

MOST_AT_ONCE = 8
"""Requests that are answered at once."""
MOST_CONNECTIONS = 64
_SMALL_PAYLOAD = 8 << 20
_SMALL_BYTES = 32 << 20
"""Held by all requests of at most 8 MiB together; of larger ones, one is read or answered at a time."""
_ACCEPTED_AT_ONCE = 128
SHARE = 0.1
_SPENT_AT_ONCE_S = 0.02
_LONGEST_REST_S = 0.2
_PEER = struct.Struct("3i")


class ControlServer(Closing):
    """Takes requests and sends answers on one thread that waits for nobody, and answers each on a thread of its own.

    However many clients there are, and however much they send: connections, bytes and threads are bounded, a client
    with a whole request is served before those that hold one back, and the thread takes a share of one processor only.
    """

    def __init__(
        self,
        path: Path,
        handler: Handler,
        request_s: float = REQUEST_S,
        most_at_once: int = MOST_AT_ONCE,
        most_connections: int = MOST_CONNECTIONS,
        share: float = SHARE,
    ) -> None:
        """Listen at ``path`` and start the thread.

        Args:
            path: of the socket, mode 0660; its folder is made, for its owner alone, where it is missing.
            handler: gets command, arguments and payload, on several threads at once; what it raises reaches the
                client as the same error.
            request_s: how long a client may take over its request, and to take its answer, seconds.
            most_at_once: requests answered at the same time; of those with a payload, half as many.
            share: of one processor that requests without a payload may take.
            most_connections: beyond, the one that has been waited for longest is ended.

        Raises:
            ControlError: a running daemon has this socket, or it cannot be made.
        """
        self.path = path
        self._handler = handler
        self._request_s = request_s
        self._listener = _listen(path)
        self._listener.setblocking(False)
        self._identity = _identity(path)
        self._most_at_once, self._most_connections = most_at_once, most_connections
        self._share = share
        self._small, self._large = Budget(_SMALL_BYTES), Budget(MAX_PAYLOAD)
        self._connections: list[Connection] = []
        self._busy: set[Connection] = set()
        self._spent_s = 0.0
        """Processor time of the threads that answered since the last pause."""
        self._wake, self._woken = socket.socketpair()
        self._wake.setblocking(False)
        self._end_s = float("inf")
        """Monotonic seconds at which the thread ends, whoever still waits."""
        self._thread = threading.Thread(target=self._run, name="control", daemon=True)
        self._thread.start()

    def close(self, timeout_s: float = 0.5) -> None:
        """Stop answering and remove the socket; may be called again."""
        if self._listener.fileno() < 0:
            return
        if _identity(self.path) == self._identity:
            self.path.unlink()
        self._end_s = time.monotonic() + timeout_s
        self._rouse()
        self._thread.join(timeout_s)
        self._listener.close()
        self._wake.close()

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector, self._woken:
            selector.register(self._listener, selectors.EVENT_READ)
            selector.register(self._woken, selectors.EVENT_READ)
            while not self._over():
                before_s = time.thread_time()
                for key, _ in selector.select(self._until_next()):
                    if key.fileobj is self._listener and self._end_s < float("inf"):
                        selector.unregister(self._listener)
                    elif key.fileobj is self._listener:
                        self._accept()
                    elif key.fileobj is self._woken:
                        self._woken.recv(4096)
                    else:
                        self._serve(key.data)
                self._move_on()
                self._watch(selector)
                self._spent_s += time.thread_time() - before_s
                if self._end_s == float("inf"):
                    self._rest()
            for connection in self._connections:
                if connection not in self._busy:
                    connection.close()

    def _over(self) -> bool:
        """Whether it was closed, and whoever was being answered has the answer, or does not take it in time."""
        if self._end_s == float("inf"):
            return False
        answered = (Phase.ANSWERING, Phase.WRITING)
        return time.monotonic() >= self._end_s or not any(each.phase in answered for each in self._connections)

    def _until_next(self) -> float | None:
        waiting = [each.until_s for each in self._connections if each.phase is not Phase.ANSWERING]
        until_s = min(*waiting, self._end_s, float("inf"))
        return None if until_s == float("inf") else max(until_s - time.monotonic(), 0.0)

    def _accept(self) -> None:
        for _ in range(_ACCEPTED_AT_ONCE):
            try:
                peer, _ = self._listener.accept()
            except BlockingIOError:
                return
            except OSError:
                self._end_oldest()  # out of descriptors: who waits longest makes room
                return
            try:
                uid = check_peer(peer, self._identity[2])
            except FamiliarError as error:
                connection = Connection(peer, -1, self._request_s, self._budget)
                connection.refuse(error)
            else:
                connection = Connection(peer, uid, self._request_s, self._budget)
            self._connections.append(connection)
            # Whoever has said what it wants is no silent one, though it came last.
            if connection.phase is Phase.READING:
                connection.read()
            if len(self._connections) > self._most_connections:
                self._end_oldest()

    def _end_oldest(self) -> None:
        """End the connection of the phase that deserves least, and in it the one that has been waited for longest."""
        phases = (Phase.DRAINING, Phase.READING, Phase.PAUSED, Phase.WRITING, Phase.READY)
        for phase in phases:
            for connection in self._connections:
                if connection.phase is phase:
                    connection.close()
                    return

    def _budget(self, size: int) -> Budget:
        return self._small if size <= _SMALL_PAYLOAD else self._large

    def _serve(self, connection: Connection) -> None:
        if connection.phase is Phase.WRITING:
            connection.write()
        elif connection.phase in (Phase.READING, Phase.DRAINING):
            connection.read()

    def _move_on(self) -> None:
        """End what is over, let who was waiting go on, and answer who is ready."""
        now = time.monotonic()
        for connection in self._connections:
            if connection.phase is Phase.PAUSED:
                connection.resume()
            if connection.phase is Phase.WRITING:
                connection.write()
            if connection.phase is not Phase.ANSWERING and now >= connection.until_s:
                # On a busy machine it may be this thread that was late.
                self._serve(connection)
            if connection.phase is not Phase.ANSWERING and now >= connection.until_s:
                connection.expire()
        heavy = sum(bool(each.payload) for each in list(self._busy))
        for connection in self._connections:
            if connection.phase is not Phase.READY or len(self._busy) >= self._most_at_once:
                continue
            if connection.payload and heavy >= max(self._most_at_once // 2, 1):
                continue
            heavy += bool(connection.payload)
            connection.phase = Phase.ANSWERING
            self._busy.add(connection)
            threading.Thread(target=self._answer, args=(connection,), name="control", daemon=True).start()

    def _watch(self, selector: selectors.BaseSelector) -> None:
        """Wait for what each connection waits for."""
        wanted = {
            Phase.READING: selectors.EVENT_READ,
            Phase.DRAINING: selectors.EVENT_READ,
            Phase.WRITING: selectors.EVENT_WRITE,
        }
        known = {key.data: (fileobj, key.events) for fileobj, key in list(selector.get_map().items()) if key.data}
        for connection in self._connections:
            events = wanted.get(connection.phase, 0)
            if connection in known and known[connection][1] == events:
                continue
            if connection in known:
                selector.unregister(known[connection][0])
            if events:
                selector.register(connection.peer, events, connection)
        self._connections = [each for each in self._connections if each.phase is not Phase.OVER]

    def _rest(self) -> None:
        """Leave the processor to the cameras: a flood gets a share of it, a request now and then never waits."""
        if self._spent_s > _SPENT_AT_ONCE_S:
            pause_s = min(self._spent_s * (1 / self._share - 1), _LONGEST_REST_S)
            self._spent_s = 0.0
            time.sleep(pause_s)
        else:
            self._spent_s *= 0.9

    def _rouse(self) -> None:
        with suppress(OSError):
            self._wake.send(b".")

    def _answer(self, connection: Connection) -> None:
        before_s = time.thread_time()
        if connection.payload:
            step_back()  # a picture: seconds of work on a small device
        try:
            answer: Answer = {"answer": self._handler(connection.command, connection.arguments, connection.payload)}
        except FamiliarError as error:
            answer = {"error": type(error).__name__, "message": str(error)}
        except Exception as error:
            log.error("a request failed", error=type(error).__name__, trace=traceback.format_exc())
            answer = {"error": "FamiliarError", "message": f"the daemon failed: {type(error).__name__}: {error}"}
        light = not connection.payload
        connection.answer_with(answer)
        self._busy.discard(connection)
        if light:
            self._spent_s += time.thread_time() - before_s
        self._rouse()


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
        listener.listen(128)
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
