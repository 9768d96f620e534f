"""One client of the control socket: its request comes in and its answer goes out in pieces, and nobody waits."""

from __future__ import annotations

import io
import json
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from enum import Enum, auto
from typing import Any

from edge_runtime.control.protocol import LENGTH, MAX_PAYLOAD, Answer, packed
from edge_runtime.errors import ControlError, FamiliarError, UsageError

MAX_REQUEST_HEADER = 256 << 10
"""Bytes of a request's JSON: names and numbers. A parsed one takes some thirty times that at most."""
_PIECE_BYTES = 1 << 18
_DRAIN_S = 1.0
"""How long what nobody wants is still read from a client that was answered."""


class Phase(Enum):
    """Where a connection is."""

    READING = auto()
    PAUSED = auto()
    """There is no room for its payload yet."""
    READY = auto()
    ANSWERING = auto()
    WRITING = auto()
    DRAINING = auto()
    OVER = auto()


class Budget:
    """Bytes that all requests together may hold at a time."""

    def __init__(self, limit: int) -> None:
        self._left = limit
        self._lock = threading.Lock()

    def take(self, size: int) -> bool:
        """Take bytes, if they are there."""
        with self._lock:
            if size > self._left:
                return False
            self._left -= size
            return True

    def give_back(self, size: int) -> None:
        """Take them back."""
        with self._lock:
            self._left += size


class Connection:
    """Driven by ``ControlServer``'s one thread, but for :meth:`answer_with`.

    Attributes:
        phase: see ``Phase``.
        command, arguments, payload: of the request, once ``READY``.
        until_s: monotonic seconds at which its time is over.
    """

    def __init__(self, peer: socket.socket, uid: int, patience_s: float, budget_for: Callable[[int], Budget]) -> None:
        """Begin to read.

        Args:
            peer: accepted; from now on it never blocks.
            uid: who it is.
            patience_s: how long its request, and then its answer, may take.
            budget_for: gives the budget that a payload of so many bytes is taken from.
        """
        peer.setblocking(False)
        self.peer, self.uid = peer, uid
        self.phase = Phase.READING
        self.command = ""
        self.arguments: dict[str, Any] = {}
        self.payload = b""
        self.until_s = time.monotonic() + patience_s
        self._patience_s = patience_s
        self._budget_for = budget_for
        self._expect(LENGTH.size, self._header_follows)
        self._taken: tuple[Budget, int] | None = None
        self._wanted = 0
        self._out = memoryview(b"")

    def read(self) -> None:
        """Take what is there, at most a piece."""
        if self.phase is Phase.DRAINING:
            self._drain()
            return
        try:
            count = self.peer.recv_into(self._room[self._filled :], min(len(self._room) - self._filled, _PIECE_BYTES))
        except BlockingIOError:
            return
        except OSError:
            count = 0
        if not count:
            self.close()  # nobody is there to be told
            return
        self._filled += count
        self._advance()

    def resume(self) -> None:
        """Read the payload, if there is room by now."""
        budget = self._budget_for(self._wanted)
        if budget.take(self._wanted):
            self._taken = budget, self._wanted
            self._expect(self._wanted, self._complete)
            self.phase = Phase.READING
            self._advance()

    def write(self) -> None:
        """Send what the other side takes."""
        try:
            self._out = self._out[self.peer.send(self._out[:_PIECE_BYTES]) :]
            if not self._out:
                self.peer.shutdown(socket.SHUT_WR)
                # What was sent and not read would reset the connection before the answer is read.
                self.phase, self.until_s = Phase.DRAINING, time.monotonic() + min(self._patience_s, _DRAIN_S)
        except BlockingIOError:
            pass
        except OSError:
            self.close()  # the client did not wait; what it asked for is done

    def refuse(self, error: FamiliarError) -> None:
        """Answer with an error."""
        self.answer_with({"error": type(error).__name__, "message": str(error)})

    def answer_with(self, answer: Answer) -> None:
        """What is to be sent; the request's bytes go. May be called from the thread that answers."""
        self.forget_request()
        self._out = memoryview(packed(answer))
        self.until_s = time.monotonic() + self._patience_s
        self.phase = Phase.WRITING

    def forget_request(self) -> None:
        """Let go of the request's bytes."""
        self.payload, self._room, self._buffer = b"", memoryview(b""), io.BytesIO()
        if self._taken is not None:
            budget, size = self._taken
            self._taken = None
            budget.give_back(size)

    def expire(self) -> None:
        """Its time is over: say so if it has been reading, and end it otherwise."""
        if self.phase not in (Phase.READING, Phase.PAUSED, Phase.READY):
            self.close()
            return
        within = f"within {self._patience_s:g} s"
        if self.phase is Phase.READING:
            found = f"expected {len(self._room)} bytes {within}, found {self._filled}"
        else:
            found = f"expected to come to it {within}, others are before it"
        self.refuse(ControlError(f"control socket: user {self.uid}: {found}; try again"))

    def close(self) -> None:
        """End it; may be called again."""
        self.forget_request()
        self.phase = Phase.OVER
        with suppress(OSError):
            self.peer.close()

    def _expect(self, size: int, following: Callable[[], None]) -> None:
        self._buffer = io.BytesIO(bytes(size))
        self._room, self._filled, self._next = self._buffer.getbuffer(), 0, following

    def _advance(self) -> None:
        if self._filled < len(self._room):
            return
        try:
            self._next()
        except FamiliarError as error:
            self.refuse(error)

    def _header_follows(self) -> None:
        (size,) = LENGTH.unpack(self._room)
        if size > MAX_REQUEST_HEADER:
            most = f"a header of at most {MAX_REQUEST_HEADER} bytes"
            raise ControlError(f"control socket: user {self.uid}: expected {most}, found {size}")
        self._expect(size, self._header_is_here)
        self._advance()

    def _header_is_here(self) -> None:
        header = _parsed(bytes(self._room), f"control socket: user {self.uid}")
        command, arguments, size = header.get("command"), header.get("arguments", {}), header.get("payload", 0)
        if not isinstance(command, str) or not isinstance(arguments, dict) or type(size) is not int:
            raise UsageError("control socket: expected command, arguments and payload, received something else")
        if not 0 <= size <= MAX_PAYLOAD:
            raise UsageError(f"control socket: expected a payload of 0 to {MAX_PAYLOAD >> 20} MiB, received another")
        self.command, self.arguments, self._wanted = command, arguments, size
        self._expect(0, self._complete)
        self.phase = Phase.PAUSED
        self.resume()

    def _complete(self) -> None:
        # Not copied: a copy of the largest payload would hold the interpreter's lock for as long as several frames.
        self._room.release()
        self.payload, self._buffer = self._buffer.getvalue(), io.BytesIO()
        self._room = self._buffer.getbuffer()
        self.phase = Phase.READY

    def _drain(self) -> None:
        try:
            if not self.peer.recv(_PIECE_BYTES):
                self.close()
        except BlockingIOError:
            pass
        except OSError:
            self.close()


def _parsed(text: bytes, who: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ControlError(f"{who}: expected a JSON header, found something else ({error})") from error
    if not isinstance(document, dict):
        raise ControlError(f"{who}: expected a JSON object, found {type(document).__name__}")
    return document
