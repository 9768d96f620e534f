"""The protocol of the control socket: one request a connection, JSON before raw bytes.

A message is four bytes with the length of a JSON header (big-endian), the header, and as many raw bytes as its
``payload`` says. The answer is one such message without raw bytes: ``{"answer": …}`` or ``{"error": class name,
"message": line}``.
"""

from __future__ import annotations

import json
import socket
import struct
import time
from collections.abc import Mapping
from typing import Any

from edge_runtime.errors import ControlError

Answer = dict[str, Any]
MAX_PAYLOAD = 64 << 20
REQUEST_S = 10.0
"""How long a client may take over its request."""
_MAX_HEADER = 16 << 20
LENGTH = struct.Struct(">I")


class PeerGoneError(Exception):
    """The other end closed its side; nobody is there to be told."""


class MessageReader:
    """Whole messages from a connection, before a deadline that covers all of it."""

    def __init__(self, connection: socket.socket, patience_s: float, who: str) -> None:
        self._connection, self._who, self._patience_s = connection, who, patience_s
        self._until = time.monotonic() + patience_s

    def header(self) -> dict[str, Any]:
        (length,) = LENGTH.unpack(self.exactly(LENGTH.size))
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
                raise PeerGoneError from error
            if not chunk:
                raise PeerGoneError
            buffer += chunk
        return bytes(buffer)


def packed(document: Mapping[str, Any]) -> bytes:
    text = json.dumps(document).encode()
    return LENGTH.pack(len(text)) + text
