"""Frames from a process of their own: a read that hangs in the kernel (opencv#22677) can then be killed.

The process is started afresh, never forked from one with threads. It ends by itself when the daemon's end of their
channel closes, so it can be no orphan, and nothing with a name (shared memory, a FIFO) can stay behind.
"""

from __future__ import annotations

import dataclasses
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Self

from edge_runtime.capture import channel
from edge_runtime.capture.channel import Message, ShownSlots
from edge_runtime.config import CameraConfig, WrongCamera
from edge_runtime.errors import CameraError, ConfigError, FamiliarError, revive
from edge_runtime.system.closing import Closing
from edge_runtime.system.environment import harmless_environment
from edge_runtime.system.log import log
from edge_runtime.system.relay import relay
from edge_runtime.text.address import Address
from edge_runtime.types import Frame

DEATH_S = 2.0
"""What a dying process may take to be gone: a busy machine needs a while to clear its memory away."""
_GRACE_S = 0.4
"""How long a stop gives the process to end by itself, and again after SIGKILL."""
"""The longest line of a capture process that is passed on in one piece."""
# What to open comes over the channel: arguments are for everybody to read, and an address may hold a password.
_PROGRAM = (
    "import json, socket, sys; channel = socket.socket(fileno=int(sys.argv[1])); "
    "request = json.loads(channel.recv(1 << 20)); sys.path[:] = request.pop('path'); "
    "from edge_runtime.capture.child import serve; serve(channel, **request)"
)


class CaptureLostError(CameraError):
    """The capture process died or missed its deadline; the source itself may be well."""


class CaptureProcess(Closing):
    """One opening of one source; see ``protocols.FrameSource``. Iterate it, or drive it from a selector:

    ``ask()``, wait until ``fileno()`` is readable or ``due_s`` has come, ``take()``, and again. A frame's pixels
    are read-only and stay as they are for as long as anybody holds them.

    Attributes:
        live: whether the newest frame wins; None until the source is open.
        sensor: whether its pictures are never twice the same.
        dropped: frames of a live source that nobody asked for in time.
        unusable: pictures that were not whole, or no pictures, and were passed over.
        ended: the source came to its own end.
        due_s: monotonic seconds at which there is something to do even if nothing is readable.
    """

    def __init__(
        self,
        spec: str | Address,
        camera: str,
        deadline_s: float = CameraConfig.deadline_s,
        first_frame_s: float = CameraConfig.first_frame_s,
        first_seq: int = 0,
        *,
        max_megapixels: float = CameraConfig.max_megapixels,
        snapshot_fps: float = CameraConfig.snapshot_fps,
    ) -> None:
        """Start the process; whether the source opens shows with the first frame.

        Args:
            spec: as for ``sources.open_source``.
            camera: name the frames carry.
            deadline_s: longest wait for another frame, seconds.
            first_frame_s: longest wait for the first one, in which Python, OpenCV and the camera start.
            first_seq: frames before this one are read but not given, to go on after a loss.
            max_megapixels: largest picture; the process may take memory for a few of these.
            snapshot_fps: see ``protocols.FrameSource``.
        """
        self.live: bool | None = None
        self.sensor = False
        self.dropped = self.unusable = 0
        self.ended = False
        self._what = f"camera {camera}: expected frames of {(address := Address(spec))}"
        self._camera = camera
        self._deadline, self._next_deadline = ("first_frame_s", first_frame_s), ("deadline_s", deadline_s)
        self._asked = False
        self._broken = False
        self._hung_up_s = 0.0
        self._slots: ShownSlots | None = None
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _PROGRAM, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                pass_fds=[theirs.fileno()],
                # A source that does not open ends in one line, ours.
                env={"OPENCV_LOG_LEVEL": "OFF", **harmless_environment()},
                # Ctrl-C in a terminal goes to a whole process group: the daemon's, which then ends this one. And
                # whatever the source starts is ended with it.
                process_group=0,
            )
        # What OpenCV, FFmpeg or a camera's program says may hold the address.
        assert self._process.stderr is not None
        self._lines = relay(self._process.stderr, "capture's lines")
        self._life = os.pidfd_open(self._process.pid)
        self._channel.setblocking(False)
        request = {"path": sys.path, "spec": address.reveal(), "camera": camera, "first_seq": first_seq}
        request |= {"max_megapixels": max_megapixels, "snapshot_fps": snapshot_fps}
        request["log_settings"] = dataclasses.asdict(log.settings)
        with suppress(OSError):
            self._channel.send(json.dumps(request).encode())
        self.ask()

    @classmethod
    def of(cls, camera: str, config: CameraConfig, first_seq: int = 0) -> Self:
        """Start the process of a configured camera.

        Raises:
            ConfigError: its table has a mistake.
        """
        if isinstance(config, WrongCamera):
            raise ConfigError(config.reason)
        return cls(
            config.source,
            camera,
            config.deadline_s,
            config.first_frame_s,
            first_seq,
            max_megapixels=config.max_megapixels,
            snapshot_fps=config.snapshot_fps,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def gone(self) -> bool:
        """Whether the process has ended."""
        if self._process.poll() is None:
            return False
        self._look_away()
        return True

    @property
    def stuck(self) -> str:
        """Where the process waits that no signal reaches, in words, or "" if it is nowhere of the kind."""
        try:
            stat = Path(f"/proc/{self.pid}/stat").read_text()
            place = Path(f"/proc/{self.pid}/wchan").read_text()
        except OSError:
            return ""
        if stat.rpartition(")")[2].split()[0] != "D":
            return ""
        return f"its process {self.pid} is stuck in the kernel ({place if place.strip('0') else 'state D'})"

    def fileno(self) -> int:
        """What is readable when there is something to take, or when a process that was asked to end has ended."""
        return self._life if self._broken or self._channel.fileno() < 0 else self._channel.fileno()

    def ask(self) -> None:
        """Ask for the next frame, once."""
        if not self._asked:
            self._asked = True
            self.due_s = time.monotonic() + self._deadline[1]
            # Where the process is gone, take() says so, behind whatever was sent before.
            with suppress(OSError):
                channel.ask(self._channel, self._slots.released() if self._slots else [])

    def take(self) -> Frame | None:
        """The frame asked for, if it is here; never waits.

        Returns:
            None while it is not, and after the end, which sets ``ended``.

        Raises:
            CaptureLostError: the process died, or the frame is overdue.
            FamiliarError: what the source raised, with its own class and line.
        """
        while not self.ended and not self._broken:
            try:
                message = channel.receive(self._channel)
                if message is None:
                    self._broken = True
                    self.due_s = time.monotonic() + DEATH_S
                elif (frame := self._act(message)) is not None:
                    self._asked = False
                    self._deadline = self._next_deadline
                    return frame
            except BlockingIOError:
                if time.monotonic() < self.due_s:
                    return None
                key, limit_s = self._deadline
                raise self._lost(
                    f" within {limit_s:g} s, found none", f"check the camera's cable and power, or raise {key}"
                ) from None
            except (ValueError, TypeError, OSError) as error:
                if isinstance(error, FamiliarError):
                    raise
                raise self._lost(f", found a message that cannot be read ({error})", "report this") from error
        if self._broken and (how := self._end()):
            raise self._lost(f", its capture process {how}", "see the lines before this one, or the kernel's log")
        return None

    def __iter__(self) -> Iterator[Frame]:
        """Frames to the source's end; raises as :meth:`take` does."""
        while not self.ended:
            self.ask()
            while (frame := self.take()) is None and not self.ended:
                select.select([self], [], [], max(self.due_s - time.monotonic(), 0.0))
            if frame is not None:
                yield frame
                del frame

    def hang_up(self) -> None:
        """Tell the process to end, without waiting for it; its time to do so starts now."""
        self.ended = True
        self._slots = None
        if self._channel.fileno() >= 0:
            self._channel.close()
            self._hung_up_s = time.monotonic()

    def kill(self) -> None:
        """End the process, and what it started, by force, without waiting until they are ``gone``."""
        self.hang_up()
        # Not yet waited for, so the number cannot be somebody else's by now.
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)

    def close(self) -> None:
        """End the process within a second, by force if it does not by itself; may be called again.

        Several that were asked to hang up before take no longer than one.
        """
        self.hang_up()
        self._wait(self._hung_up_s + _GRACE_S)
        self.kill()
        self._wait(max(self._hung_up_s + 2 * _GRACE_S, time.monotonic() + _GRACE_S / 8))
        if self.gone:
            self._lines.join(_GRACE_S)
        else:
            # It goes when the driver lets it go.
            self._look_away()
            log.warning("a capture process does not die", camera=self._camera, pid=self.pid)

    def _look_away(self) -> None:
        if self._life >= 0:
            os.close(self._life)
            self._life = -1

    def _wait(self, until_s: float) -> None:
        if self._life >= 0:
            select.select([self._life], [], [], max(until_s - time.monotonic(), 0.0))

    def _act(self, message: Message) -> Frame | None:
        if message.kind == channel.FRAME and self._slots is not None:
            self.dropped, self.unusable = message.dropped, message.unusable
            pixels = self._slots.take(message.slot, message.height, message.width)
            return Frame(pixels, self._camera, message.seq, message.captured_s, message.wall_time, bool(self.live))
        if message.kind == channel.OPENED:
            self.live, self.sensor = bool(message.height), bool(message.width)
        elif message.kind == channel.MEMORY:
            try:
                self._slots = ShownSlots(message.descriptor, message.height)
            finally:
                os.close(message.descriptor)
        elif message.kind == channel.COUNTS:
            self.dropped, self.unusable = message.dropped, message.unusable
        elif message.kind == channel.END:
            self.ended = True
        elif message.kind == channel.ERROR:
            self.dropped, self.unusable = message.dropped, message.unusable
            raise revive(*json.loads(message.text))
        else:
            raise ValueError(f"kind {message.kind!r}")
        return None

    def _end(self) -> str:
        """How the process ended, once its channel has: in words, or "" while that is to be waited for."""
        # Only looked at, not taken: its number must stay its own until what it started is killed, too.
        status = os.waitid(os.P_PIDFD, self._life, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if status is not None:
            killed = status.si_code in (os.CLD_KILLED, os.CLD_DUMPED)
            name = signal.Signals(status.si_status).name if killed else ""
            return f"was ended by {name}" if killed else f"ended with code {status.si_status}"
        return "closed its channel" if time.monotonic() >= self.due_s else ""

    def _lost(self, found: str, advice: str) -> CaptureLostError:
        return CaptureLostError(f"{self._what}{found}; {advice}")
