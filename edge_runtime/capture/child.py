"""The capture process: reads one source and shows its frames to the daemon that started it."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import socket
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import cv2
import numpy as np

from edge_runtime.capture import channel
from edge_runtime.capture.channel import DrawnSlots, Message
from edge_runtime.capture.limit import PictureLimit, no_memory
from edge_runtime.config import LogConfig
from edge_runtime.errors import FamiliarError
from edge_runtime.system.log import log
from edge_runtime.text.address import Address
from edge_runtime.text.masking import masked
from edge_runtime.types import Frame, Pixels

_COUNT_EVERY_S = 1.0
_GRACE_S = 0.2
"""How long a source may take to close when the daemon has gone."""


def serve(
    daemon: socket.socket,
    spec: str,
    camera: str,
    first_seq: int,
    max_megapixels: float,
    snapshot_fps: float,
    log_settings: Mapping[str, Any],
) -> None:
    """Show the frames of a source from ``first_seq`` on, until its end or the daemon's.

    Args:
        daemon: the socket to it.
        spec: see ``sources.open_source``.
        camera: name the frames carry.
        first_seq: of the first frame to show.
        max_megapixels: larger pictures are refused, and memory is limited to what a few of these take.
        snapshot_fps: see ``protocols.FrameSource``.
        log_settings: the daemon's ``[log]`` section: both write to the same place.
    """
    log.configure(LogConfig(**log_settings))
    # The daemon decides when this ends; a signal to the whole service must not look like a lost camera.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    # A picture is converted in less time than other threads take to wake.
    cv2.setNumThreads(1)
    outbox = _Outbox(daemon, PictureLimit(camera, max_megapixels))
    try:
        from edge_runtime.sources import load_source, open_source

        load_source(spec, camera)
        outbox.limit.bound_memory()
        with open_source(spec, camera) as source:
            width, height = source.announced_wh
            outbox.limit.check(height, width)
            outbox.open(source.live, source.sensor)
            source.room, source.first_seq, source.snapshot_fps = outbox.room, first_seq, snapshot_fps
            outbox.unusable = lambda: source.unusable
            source.passed_over = outbox.count
            for frame in source:
                if frame.seq >= first_seq and not outbox.put(frame):
                    return
        outbox.finish(Message(channel.END))
    except FamiliarError as error:
        outbox.finish(_error(type(error).__name__, str(error)))
    except Exception as error:
        if no_memory(error):
            outbox.finish(_error("CameraError", outbox.limit.exceeded()))
            return
        log.error("a source failed", camera=camera, trace=traceback.format_exc())
        outbox.finish(
            _error("CameraError", f"camera {camera}: {Address(spec)} failed ({type(error).__name__}: {error})")
        )


def _error(kind: str, text: str) -> Message:
    # Cut before it is encoded, so that it stays readable.
    document = json.dumps([kind, masked(text)[: channel.TEXT_BYTES // 8]], ensure_ascii=False)
    return Message(channel.ERROR, text=document.encode())


class _Outbox:
    """One frame's room between source and daemon: a live frame takes the last one's place, others wait for room.

    Messages are sent by whichever of two threads finds that a frame is there and asked for: the source's, or the
    one that listens. They are small, and one an ask, so sending never waits.
    """

    def __init__(self, daemon: socket.socket, limit: PictureLimit) -> None:
        self.limit = limit
        self.unusable: Callable[[], int] = lambda: 0
        """How many pictures the source passed over."""
        self._channel = daemon
        self._changed = threading.Condition()
        self._slots: DrawnSlots | None = None
        self._drawn: tuple[int, Pixels] | None = None
        """Slot and picture lent to the source."""
        self._waiting: Message | None = None
        self._wanted = False
        self._dropped = 0
        self._counted_s = 0.0
        self._live = False
        self._gone = False
        threading.Thread(target=self._listen, daemon=True).start()

    def open(self, live: bool, sensor: bool) -> None:
        """Say that the source is there."""
        self._live = live
        with suppress(OSError):
            channel.send(self._channel, Message(channel.OPENED, height=int(live), width=int(sensor)))

    def room(self, height: int, width: int) -> Pixels:
        """Shared memory to draw the next picture in, uint8 (H, W, 3).

        Raises:
            CameraError: the picture is larger than allowed.
        """
        self.limit.check(height, width)
        with self._changed:
            if self._drawn is not None and self._drawn[1].shape[:2] == (height, width):
                return self._drawn[1]
            slots = self._memory(3 * height * width)
            if self._drawn is not None:
                # Same length, another shape: a picture turned on its side.
                slots.free.append(self._drawn[0])
                self._drawn = None
            if self._live and not slots.free:
                self._drop()
            self._changed.wait_for(lambda: slots.free or self._gone)
            if self._gone:
                return np.empty((height, width, 3), np.uint8)
            slot = slots.free.pop()
            self._drawn = slot, slots.picture(slot, height, width)
            return self._drawn[1]

    def put(self, frame: Frame) -> bool:
        """Leave a frame for the daemon. False if nobody is there."""
        height, width = frame.pixels.shape[:2]
        room = self.room(height, width)
        if self._gone:
            return False
        if frame.pixels is not room:
            np.copyto(room, frame.pixels)
        with self._changed:
            if self._live:
                self._drop()
            else:
                self._changed.wait_for(lambda: self._waiting is None or self._gone)
            if self._drawn is None:
                return False
            times = (frame.captured_s, frame.wall_time)
            self._waiting = Message(channel.FRAME, self._drawn[0], frame.seq, height, width, *times)
            self._drawn = None
            self._send()
            return not self._gone

    def count(self) -> None:
        """Say how many pictures were passed over, as no frame may come that says it; at most once a second."""
        with self._changed:
            if time.monotonic() - self._counted_s >= _COUNT_EVERY_S:
                self._counted_s = time.monotonic()
                with suppress(OSError):
                    channel.send(
                        self._channel, Message(channel.COUNTS, dropped=self._dropped, unusable=self.unusable())
                    )

    def finish(self, last: Message) -> None:
        """Send the end or an error, behind the last frame."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting is None or self._gone)
            self._waiting = last
            self._send()
            self._changed.wait_for(lambda: self._waiting is None or self._gone)

    def _memory(self, picture_bytes: int) -> DrawnSlots:
        """Slots for pictures of this length; other ones than so far are handed over first."""
        if self._slots is not None and self._slots.picture_bytes == picture_bytes:
            return self._slots
        if self._live:
            self._drop()
        self._changed.wait_for(lambda: self._waiting is None or self._gone)
        self._drawn = None
        first_slot = self._slots.first_slot + channel.SLOTS if self._slots else 0
        self._slots = slots = DrawnSlots(picture_bytes, first_slot)
        with suppress(OSError):
            handed = Message(channel.MEMORY, height=picture_bytes, descriptor=slots.descriptor)
            channel.send(self._channel, handed)
        slots.close()
        return slots

    def _drop(self) -> None:
        """Give up the frame that waits, if there is one."""
        if self._waiting is not None and self._slots is not None:
            self._slots.release([self._waiting.slot])
            self._waiting = None
            self._dropped += 1

    def _send(self) -> None:
        """Send what waits if it is asked for."""
        if self._wanted and self._waiting is not None:
            message, self._waiting, self._wanted = self._waiting, None, False
            # Where the other end has gone, the listener ends this process.
            with suppress(OSError):
                channel.send(
                    self._channel, dataclasses.replace(message, dropped=self._dropped, unusable=self.unusable())
                )
            self._changed.notify_all()

    def _listen(self) -> None:
        while (released := channel.asked(self._channel)) is not None:
            with self._changed:
                if self._slots is not None:
                    self._slots.release(released)
                self._wanted = True
                self._send()
                self._changed.notify_all()
        with self._changed:
            self._gone = True
            self._changed.notify_all()
        # Time for the source to close in order; then by force, as its read may never return, and with whatever
        # program the source has started.
        time.sleep(_GRACE_S)
        os.killpg(0, signal.SIGKILL)
