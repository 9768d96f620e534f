"""Frames from a process of their own: a read that hangs in the kernel (opencv#22677) can then be killed.

The process is started afresh, never forked from one with threads, and talks over a socket pair: one byte asks
for a frame, a header and the raw pixels answer. It ends by itself when the other end closes, so it can be no
orphan, and nothing with a name (shared memory, a FIFO) can stay behind.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import suppress

import numpy as np

from edge_runtime.closing import Closing
from edge_runtime.errors import CameraError, FamiliarError, revive
from edge_runtime.log import log
from edge_runtime.types import Frame, Pixels

START_S = 20.0
"""What a first frame may take beyond the deadline: Python, OpenCV and the camera must start."""
_GRACE_S = 0.4
_HEAD = struct.Struct("<cQQQddQ")
"""Kind, seq, height or length, width, captured_s, wall_time, dropped."""
_OPENED, _FRAME, _END, _ERROR = b"O", b"F", b"Z", b"E"
_PROGRAM = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from edge_runtime.capture import serve; serve(sys.argv[2:])"
)


class CaptureLostError(CameraError):
    """The capture process died or missed its deadline; the source itself may be well."""


class CaptureProcess(Closing):
    """One opening of one source; see ``protocols.FrameSource``. Iterate it, or drive it from a selector:

    ``ask()``, wait until ``fileno()`` is readable or ``due_s`` has come, ``take()``, and again.

    Attributes:
        live: whether the newest frame wins; None until the source is open.
        dropped: frames of a live source that nobody asked for in time.
        ended: the source came to its own end.
        due_s: monotonic seconds at which the frame asked for is overdue.
    """

    def __init__(self, spec: str, camera: str, deadline_s: float = 10.0, first_seq: int = 0) -> None:
        """Start the process; whether the source opens shows with the first frame.

        Args:
            spec: as for ``sources.open_source``.
            camera: name the frames carry.
            deadline_s: longest wait for a frame, seconds.
            first_seq: frames before this one are read but not given, to go on after a loss.
        """
        self.live: bool | None = None
        self.dropped = 0
        self.ended = False
        self._spec, self._camera, self._deadline_s = spec, camera, deadline_s
        self._asked = False
        self._hung_up_s = 0.0
        self._head: bytearray | None
        self._stamps = (0, 0.0, 0.0)
        self._payload: Pixels
        self._missing: memoryview
        self._channel, theirs = socket.socketpair()
        with theirs:
            arguments = [json.dumps(sys.path), str(theirs.fileno()), spec, camera, str(first_seq)]
            self._process = subprocess.Popen(
                [sys.executable, "-c", _PROGRAM, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                # A source that does not open ends in one line, ours.
                env={"OPENCV_LOG_LEVEL": "OFF", **os.environ},
                # Ctrl-C in a terminal goes to a whole process group: the daemon's, which then ends this one.
                process_group=0,
            )
        self._channel.setblocking(False)
        self._expect_head()
        self.ask()
        self.due_s += START_S

    @property
    def pid(self) -> int:
        return self._process.pid

    def fileno(self) -> int:
        return self._channel.fileno()

    def ask(self) -> None:
        """Ask for the next frame, once."""
        if not self._asked:
            self._asked = True
            self.due_s = time.monotonic() + self._deadline_s
            # Where the process is gone, take() tells so, behind whatever was sent before.
            with suppress(BrokenPipeError):
                self._channel.send(b".")

    def take(self) -> Frame | None:
        """The frame asked for, if it is wholly here; never waits.

        Returns:
            None while it is not, and after the end, which sets ``ended``.

        Raises:
            CaptureLostError: the process died, or the frame is overdue.
            FamiliarError: what the source raised, with its own class and line.
        """
        while not self.ended:
            try:
                received = self._channel.recv_into(self._missing)
            except BlockingIOError:
                if time.monotonic() < self.due_s:
                    return None
                raise CaptureLostError(
                    f"camera {self._camera}: expected a frame of {self._spec} within {self._deadline_s:g} s, "
                    "found none; check the camera's cable and power, or raise deadline_s"
                ) from None
            except ConnectionResetError:
                received = 0
            if received == 0:
                raise self._death()
            self._missing = self._missing[received:]
            if not len(self._missing) and (frame := self._complete()):
                self._asked = False
                return frame
        return None

    def __iter__(self) -> Iterator[Frame]:
        """Frames to the source's end; raises as :meth:`take` does."""
        while not self.ended:
            self.ask()
            while (frame := self.take()) is None and not self.ended:
                select.select([self], [], [], max(self.due_s - time.monotonic(), 0.0))
            if frame is not None:
                yield frame

    def hang_up(self) -> None:
        """Tell the process to end, without waiting for it; its time to do so starts now."""
        self.ended = True
        if self._channel.fileno() >= 0:
            self._channel.close()
            self._hung_up_s = time.monotonic()

    def close(self, grace_s: float = _GRACE_S) -> None:
        """End the process within a second, by force ``grace_s`` after :meth:`hang_up`; may be called again."""
        self.hang_up()
        try:
            self._process.wait(max(self._hung_up_s + grace_s - time.monotonic(), 0.0))
        except subprocess.TimeoutExpired:
            self._process.kill()
            try:
                self._process.wait(_GRACE_S)
            except subprocess.TimeoutExpired:
                # Stuck in the kernel beyond any signal: it goes when the driver lets it go.
                log.warning("a capture process does not die", camera=self._camera, pid=self.pid)

    def _expect_head(self) -> None:
        self._head = bytearray(_HEAD.size)
        self._missing = memoryview(self._head)

    def _complete(self) -> Frame | None:
        """Act on the part that has just been filled: a header, an error's text, or a frame's pixels."""
        if self._head is None:
            seq, captured_s, wall_time = self._stamps
            payload = self._payload
            self._expect_head()
            if payload.ndim == 1:
                raise revive(*json.loads(payload.tobytes()))
            return Frame(payload, self._camera, seq, captured_s, wall_time)
        kind, seq, height, width, captured_s, wall_time, dropped = _HEAD.unpack(self._head)
        if kind == _OPENED:
            self.live = bool(height)
            self._expect_head()
        elif kind == _END:
            self.ended = True
        else:
            self.dropped = dropped
            self._head, self._stamps = None, (seq, captured_s, wall_time)
            self._payload = np.empty((height, width, 3) if kind == _FRAME else height, np.uint8)
            self._missing = self._payload.data.cast("B")
        return None

    def _death(self) -> CaptureLostError:
        try:
            code = self._process.wait(_GRACE_S)
            how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        except subprocess.TimeoutExpired:
            how = "closed its channel"
        return CaptureLostError(
            f"camera {self._camera}: expected frames of {self._spec}, its capture process {how}; "
            "see the lines before this one, or the kernel's log"
        )


def serve(arguments: Sequence[str]) -> None:
    """The capture process itself; ``arguments`` are the channel's descriptor, spec, camera, and first seq."""
    # The daemon decides when this ends; a signal to the whole service must not look like a lost camera.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    descriptor, spec, camera, first_seq = arguments
    outbox = _Outbox(socket.socket(fileno=int(descriptor)))
    try:
        from edge_runtime.sources import open_source

        with open_source(spec, camera) as source:
            outbox.open(source.live)
            for frame in source:
                if frame.seq >= int(first_seq) and not outbox.put(frame):
                    return
        outbox.finish(_END)
    except FamiliarError as error:
        outbox.finish(_ERROR, [type(error).__name__, str(error)])
    except Exception as error:
        traceback.print_exc()
        outbox.finish(_ERROR, ["CameraError", f"camera {camera}: {spec} failed ({type(error).__name__}: {error})"])


class _Outbox:
    """One frame's room between the source and the channel, with a thread each for sending and for listening."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._changed = threading.Condition()
        self._frame: Frame | None = None
        self._last: bytes | None = None
        self._wanted = 0
        self._dropped = 0
        self._live = False
        self._gone = False
        threading.Thread(target=self._listen, daemon=True).start()
        self._sender = threading.Thread(target=self._send, daemon=True)

    def open(self, live: bool) -> None:
        """Say that the source is there."""
        self._live = live
        with suppress(OSError):
            self._channel.sendall(_HEAD.pack(_OPENED, 0, live, 0, 0.0, 0.0, 0))
        self._sender.start()

    def put(self, frame: Frame) -> bool:
        """Leave a frame: a live one takes the last one's place, others wait for room. False if nobody is there."""
        with self._changed:
            if self._live and self._frame is not None:
                self._dropped += 1
            elif self._frame is not None:
                self._changed.wait_for(lambda: self._frame is None or self._gone)
            self._frame = frame
            self._changed.notify_all()
            return not self._gone

    def finish(self, kind: bytes, text: list[str] | None = None) -> None:
        """Send the end or an error, behind the last frame."""
        payload = json.dumps(text).encode() if text else b""
        with self._changed:
            self._last = _HEAD.pack(kind, 0, len(payload), 0, 0.0, 0.0, self._dropped) + payload
            self._changed.notify_all()
        if not self._sender.ident:
            self._sender.start()
        self._sender.join()

    def _send(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._gone or (self._wanted and (self._frame or self._last)))
                if self._gone:
                    return
                frame, self._frame = self._frame, None
                self._wanted -= 1
                dropped = self._dropped
                self._changed.notify_all()
            try:
                if frame is None:
                    self._channel.sendall(self._last or b"")
                    return
                height, width = frame.pixels.shape[:2]
                times = (frame.captured_s, frame.wall_time)
                self._channel.sendall(_HEAD.pack(_FRAME, frame.seq, height, width, *times, dropped))
                self._channel.sendall(np.ascontiguousarray(frame.pixels).data.cast("B"))
            except OSError:
                return  # the other end has gone; the listener ends this process

    def _listen(self) -> None:
        with suppress(OSError):
            while asked := self._channel.recv(64):
                with self._changed:
                    self._wanted += len(asked)
                    self._changed.notify_all()
        with self._changed:
            self._gone = True
            self._changed.notify_all()
        # Time for the source to close in order; then by force, as its read may never return.
        time.sleep(_GRACE_S / 2)
        os._exit(0)
