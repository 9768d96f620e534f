"""Between a capture process and the daemon: small messages on a socket pair, pictures in memory both have mapped.

The memory has no name: its descriptor is handed over the socket, so it goes when the last of the two does, however
they end. It holds a few pictures of one size; another size gets another memory. The capture process draws into a
slot that is free, and a slot is free again when the daemon has let go of the last array over it.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import socket
import struct
import sys
import weakref
from collections import deque
from dataclasses import dataclass, replace

import numpy as np

from edge_runtime.types import Pixels

SLOTS = 5
"""Three the daemon holds, one that waits for it, one to draw in; what is never drawn in takes no memory."""
HELD = 3
"""Slots the daemon holds at a time; whoever keeps more pictures than these gets copies."""
OPENED, MEMORY, FRAME, COUNTS, END, ERROR = b"O", b"M", b"F", b"C", b"Z", b"E"
TEXT_BYTES = 8192
"""The longest text of an error."""
_HEAD = struct.Struct("<cIQQQddQQ")
_SLOT = struct.Struct("<I")
_CONTROL_BYTES = socket.CMSG_LEN(4)
"""Room for one descriptor."""
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
_PAGE = mmap.PAGESIZE


@dataclass(frozen=True, slots=True)
class Message:
    """From the capture process.

    Attributes:
        kind: ``OPENED``, ``MEMORY``, ``FRAME``, ``COUNTS``, ``END`` or ``ERROR``.
        slot: of a frame; slots count on from one memory to the next.
        seq, height, width, captured_s, wall_time: of a frame; of memory, ``height`` is a picture's bytes;
            when opened, ``height`` and ``width`` are ``live`` and ``sensor``.
        dropped: frames nobody asked for, so far.
        unusable: pictures that were not whole or no pictures, so far.
        text: of an error.
        descriptor: of memory; whoever receives it closes it. -1: no memory.
    """

    kind: bytes
    slot: int = 0
    seq: int = 0
    height: int = 0
    width: int = 0
    captured_s: float = 0.0
    wall_time: float = 0.0
    dropped: int = 0
    unusable: int = 0
    text: bytes = b""
    descriptor: int = -1


def send(channel: socket.socket, message: Message) -> None:
    """Send one message; a frame's is 61 bytes.

    Raises:
        OSError: nobody is there.
    """
    m = message
    head = _HEAD.pack(m.kind, m.slot, m.seq, m.height, m.width, m.captured_s, m.wall_time, m.dropped, m.unusable)
    descriptors = [message.descriptor] if message.descriptor >= 0 else []
    socket.send_fds(channel, [head + message.text[:TEXT_BYTES]], descriptors)


def receive(channel: socket.socket) -> Message | None:
    """The next message; None at the other side's end.

    Raises:
        BlockingIOError: there is no message yet, and the channel does not wait.
        ValueError: it is no message.
    """
    try:
        # Not socket.recv_fds: before Python 3.12 it takes flags and does not pass them on.
        data, control, _, _ = channel.recvmsg(_HEAD.size + TEXT_BYTES, _CONTROL_BYTES, socket.MSG_CMSG_CLOEXEC)
    except ConnectionResetError:
        return None
    if not data:
        return None
    if len(data) < _HEAD.size:
        raise ValueError(f"expected {_HEAD.size} bytes or more, found {len(data)}")
    descriptor = int.from_bytes(control[0][2], sys.byteorder) if control else -1
    return replace(Message(*_HEAD.unpack(data[: _HEAD.size])), text=data[_HEAD.size :], descriptor=descriptor)


def ask(channel: socket.socket, released: list[int]) -> None:
    """Ask for the next frame, and give back slots.

    Raises:
        OSError: nobody is there.
    """
    channel.send(b"?" + b"".join(_SLOT.pack(slot) for slot in released))


def asked(channel: socket.socket) -> list[int] | None:
    """Wait until the daemon asks; the slots it gives back, or None at its end."""
    try:
        data = channel.recv(1 + 64 * _SLOT.size)
    except OSError:
        return None
    return [slot for (slot,) in _SLOT.iter_unpack(data[1:])] if data else None


class DrawnSlots:
    """The capture process's side of one memory; not for two threads at a time.

    Attributes:
        picture_bytes: of one picture.
        free: slots to draw in.
    """

    def __init__(self, picture_bytes: int, first_slot: int) -> None:
        """Map memory for pictures of one length; its slots are ``first_slot``, a multiple of SLOTS, and the next."""
        self.picture_bytes = picture_bytes
        self.first_slot = first_slot
        self.free = list(range(first_slot, first_slot + SLOTS))
        self.descriptor = os.memfd_create("familiar-frames", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(self.descriptor, SLOTS * _stride(picture_bytes))
        # Nobody can cut it under the other side, which would end it by SIGBUS.
        fcntl.fcntl(self.descriptor, fcntl.F_ADD_SEALS, _SEALS)
        self._memory = mmap.mmap(self.descriptor, 0)

    def picture(self, slot: int, height: int, width: int) -> Pixels:
        """Where the slot's picture is drawn, uint8 (H, W, 3)."""
        offset = (slot - self.first_slot) * _stride(self.picture_bytes)
        return np.frombuffer(self._memory, np.uint8, self.picture_bytes, offset).reshape(height, width, 3)

    def release(self, slots: list[int]) -> None:
        """Take back slots; others' are passed over."""
        own = range(self.first_slot, self.first_slot + SLOTS)
        self.free += [slot for slot in dict.fromkeys(slots) if slot in own and slot not in self.free]

    def close(self) -> None:
        """Let go of the descriptor; the memory stays as long as arrays lie over it."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


class ShownSlots:
    """The daemon's side of one memory."""

    def __init__(self, descriptor: int, picture_bytes: int) -> None:
        """Map what was handed over, to read only; the descriptor stays the caller's.

        Raises:
            ValueError: it is not what the other side says it is.
            OSError: it cannot be mapped.
        """
        self._picture_bytes = picture_bytes
        self._lent: set[int] = set()
        self._released: deque[int] = deque()
        if not fcntl.fcntl(descriptor, fcntl.F_GET_SEALS) & fcntl.F_SEAL_SHRINK:
            raise ValueError("expected memory that cannot shrink, found other")
        size = os.fstat(descriptor).st_size
        if not 0 < picture_bytes <= size // SLOTS:
            raise ValueError(f"expected {SLOTS} pictures of {picture_bytes} bytes, found memory of {size} bytes")
        self._memory = mmap.mmap(descriptor, size, prot=mmap.PROT_READ)

    def take(self, slot: int, height: int, width: int) -> Pixels:
        """The slot's picture, uint8 (H, W, 3), read-only; the slot is released with the last array over it.

        Where as many pictures are held already as slots may be, it is a copy and the slot is released at once.

        Raises:
            ValueError: no such slot, or another size.
        """
        offset = slot % SLOTS * _stride(self._picture_bytes)
        if min(height, width) < 1 or height * width * 3 != self._picture_bytes:
            raise ValueError(f"expected a picture of {self._picture_bytes} bytes, found {height}x{width}x3")
        lent = np.frombuffer(self._memory, np.uint8, self._picture_bytes, offset)
        if len(self._lent) >= HELD:
            self._released.append(slot)
            return lent.reshape(height, width, 3).copy()
        self._lent.add(slot)
        # Every view of it, and every view of a view, keeps this array as its base.
        weakref.finalize(lent, self._release, slot).atexit = False
        return lent.reshape(height, width, 3)

    def released(self) -> list[int]:
        """Slots nobody looks at any more, each reported once."""
        return [self._released.popleft() for _ in range(len(self._released))]

    def _release(self, slot: int) -> None:
        self._lent.discard(slot)  # on whichever thread drops the last view
        self._released.append(slot)


def _stride(picture_bytes: int) -> int:
    return -(-picture_bytes // _PAGE) * _PAGE
