"""One camera of the daemon: its capture, its pipeline, its losses and its returns."""

from __future__ import annotations

import random
import time
from typing import Literal

from edge_runtime.capture.process import DEATH_S, CaptureLostError, CaptureProcess
from edge_runtime.config import CameraConfig, Config, WrongCamera
from edge_runtime.errors import CameraError, ConfigError, FamiliarError
from edge_runtime.pipeline import Pipeline
from edge_runtime.schema.table import collected
from edge_runtime.sources import check_source
from edge_runtime.timing.retry import delay_s
from edge_runtime.tracking.freeze import FreezeDetector
from edge_runtime.types import Event, EventKind, Frame

FIRST_RETRY_S = 0.5
LAST_RETRY_S = 60.0
_CLIP_RETRIES = 5
"""How often in a row the capture of a clip may die at the same frame before the clip is given up."""
_STEADY_S = 30.0
"""How long a camera must run before its next loss counts as its first: one that comes and goes is tried ever later."""
_MOST_ABANDONED = 3
"""A camera that this many stuck captures hang on is not opened again until one of them goes."""

State = Literal["opening", "running", "lost", "ended", "disabled"]


def retry_delay_s(attempt: int, share: float) -> float:
    """How long to wait before opening a camera again.

    Args:
        attempt: failures in a row before this one; the wait doubles with each, up to ``LAST_RETRY_S``.
        share: 0..1, drawn at random: moves the wait by up to a quarter, so that cameras do not retry together.
    """
    return delay_s(attempt, share, FIRST_RETRY_S, LAST_RETRY_S)


class Camera:
    """Takes frames through a pipeline, one a turn, and opens its source again when it is lost.

    Attributes:
        name: from the configuration.
        pipeline: tracks and decisions; they outlive a loss of the capture.
        state: ``opening`` until the first frame, then ``running``, ``lost``, ``ended`` or ``disabled``.
        wanted: False: it is to be disabled, and stays so until this is True again; any thread may say so.
        live: whether the source is one that goes on for ever; None until it was open.
        error: why it is lost, or ended before its time; None while all is well.
        frames: taken so far.
        dropped: frames of a live source that passed unread.
        unusable: pictures that were not whole, or no pictures.
        losses: how often it was lost.
        abandoned: numbers of capture processes that were killed and have not ended yet.
    """

    def __init__(self, name: str, config: CameraConfig, pipeline: Pipeline) -> None:
        """Start capturing."""
        self.name = name
        self.pipeline = pipeline
        self.state: State = "opening"
        self.wanted = True
        self.live: bool | None = None
        self.error: FamiliarError | None = None
        self.frames = 0
        self.losses = 0
        self.started_s = self.latest_s = time.monotonic()
        self._config = config
        self._dropped = self._unusable = 0
        self._attempt = 0
        self._retry_at_s = self._give_up_s = 0.0
        self._next_seq = 0
        self._latest: Frame | None = None
        self._capture: CaptureProcess | None = None
        self._dying: tuple[CaptureProcess, CameraError | ConfigError] | None = None
        """A capture that was killed, and why."""
        self._abandoned: list[CaptureProcess] = []
        self._back_s = 0.0
        self._stillness = FreezeDetector()
        self._frozen = False
        self._untold: list[Event] = []
        self._open()

    @property
    def source(self) -> str:
        """For people to read: without passwords."""
        return str(self._config.source)

    @property
    def capture(self) -> CaptureProcess | None:
        """What to wait on; None while it is lost or has ended."""
        return self._dying[0] if self._dying else self._capture

    @property
    def abandoned(self) -> list[int]:
        self._abandoned = [capture for capture in self._abandoned if not capture.gone]
        return [capture.pid for capture in self._abandoned]

    @property
    def dropped(self) -> int:
        return self._dropped + (self._capture.dropped if self._capture else 0)

    @property
    def unusable(self) -> int:
        return self._unusable + (self._capture.unusable if self._capture else 0)

    @property
    def keeps_running(self) -> bool:
        """Whether more is to be expected: a camera that never opened is not waited for, one that did is."""
        return self.state != "ended" and (self.state != "lost" or self.live is not None)

    @property
    def wake_s(self) -> float:
        """Monotonic seconds at which ``turn`` has something to do even if no frame has come."""
        if self._dying is not None:
            return self._give_up_s
        if self._to_switch or self._untold:
            return 0.0
        if self._capture is not None:
            return self._capture.due_s
        return self._retry_at_s if self.state == "lost" else float("inf")

    @property
    def latest(self) -> Frame | None:
        """The frame taken last, or None before the first."""
        return self._latest

    @property
    def clip_s(self) -> float:
        """Captured seconds of the latest frame."""
        return self._latest.captured_s if self._latest else 0.0

    def turn(self) -> list[Event]:
        """Take a frame if there is one, or note a loss, or open again when it is time; never waits."""
        if self._untold:
            events, self._untold = self._untold, []
            return events
        if self._dying is not None:
            return self._bury(*self._dying)
        if self._to_switch:
            return self._switch()
        if self._capture is None:
            if self.state == "lost" and time.monotonic() >= self._retry_at_s:
                self._try_again()
            return []
        try:
            frame = self._capture.take()
            self.live = self._capture.live if self.live is None else self.live
        except (CameraError, ConfigError) as error:
            self.live = self._capture.live if self.live is None else self.live
            return self._lose(error)
        if frame is not None:
            return self._step(self._capture, frame)
        if self._capture.ended:
            return self._end()
        return []

    @property
    def _to_switch(self) -> bool:
        return self.state != "ended" and self.wanted == (self.state == "disabled")

    def _switch(self) -> list[Event]:
        """Off: let go of the source, and let the open tracks leave. On: open it, as after a loss."""
        if self.wanted:
            self.state, self._attempt, self._next_seq = "lost", 0, 0
            self._open()
            return []
        if self._capture is not None:
            self._let_go(self._capture)
        self.state, self.error = "disabled", None
        return [*self.finish(), self._event("camera_lost", self.clip_s, time.time(), "switched off")]

    def finish(self) -> list[Event]:
        """Let the open tracks leave."""
        if self._latest is None:
            return []
        return self.pipeline.finish(self._latest.captured_s, self._latest.wall_time)

    def hang_up(self) -> None:
        """Tell the capture to end, without waiting for it."""
        if self._capture is not None:
            self._capture.hang_up()

    def close(self) -> None:
        """End the capture; may be called again."""
        if self._dying is not None:
            self._dying[0].close()
            self._dying = None
        for capture in self._abandoned:
            capture.close()
        if self._capture is not None:
            self._count(self._capture)
            self._capture.close()
            self._capture = None

    def _count(self, capture: CaptureProcess) -> None:
        """Keep what a capture counted beyond its end."""
        self._dropped += capture.dropped
        self._unusable += capture.unusable

    def _try_again(self) -> None:
        if len(self.abandoned) < _MOST_ABANDONED:
            self._open()
        else:
            self._retry_later()

    def _retry_later(self) -> None:
        self._retry_at_s = time.monotonic() + retry_delay_s(self._attempt, random.random())
        self._attempt += 1

    def _open(self) -> None:
        self._stillness.reopened()
        try:
            self._start()
        except ConfigError as error:
            self.state, self.error = "ended", error
            self.losses += 1
            self._untold = [self._event("camera_lost", self.clip_s, time.time(), str(error))]
        except OSError as error:
            # No memory, process, or descriptor left: as every other loss, it may pass.
            self.state = "lost"
            self.error = CameraError(f"camera {self.name}: expected a process to capture with, found none ({error})")
            self._retry_later()

    def _start(self) -> None:
        # A clip goes on where it was; a camera numbers its frames from 0 each time.
        first_seq = 0 if self.live else self._next_seq
        self._capture = CaptureProcess.of(self.name, self._config, first_seq)

    def _step(self, capture: CaptureProcess, frame: Frame) -> list[Event]:
        if capture.sensor and (error := self._frozen_at(frame)):
            return self._lose(error)
        if self._frozen:
            capture.ask()
            return []
        events: list[Event] = []
        if self.state == "opening":
            self.started_s = time.monotonic()
        if self.state == "lost":
            events.append(self._event("camera_back", frame.captured_s, frame.wall_time))
        if self.state != "running":
            self._back_s = time.monotonic()
        if not capture.live or time.monotonic() - self._back_s >= _STEADY_S:
            self._attempt = 0
        self.state, self.error = "running", None
        self.frames += 1
        self._latest, self._next_seq = frame, frame.seq + 1
        # The next frame of a clip is fetched meanwhile; of a camera, the newest one is wanted afterwards.
        if not capture.live:
            capture.ask()
        events += self.pipeline.step(frame)
        capture.ask()
        self.latest_s = time.monotonic()
        return events

    def _frozen_at(self, frame: Frame) -> CameraError | None:
        """Why the camera is to be given up at this frame, if it shows the same one for too long."""
        limit_s = self._config.frozen_s
        if not limit_s:
            return None
        still_s = self._stillness.seconds(frame)
        # Once frozen, the same picture again is no sign of life, even from a camera opened anew.
        self._frozen = self._frozen and self._stillness.same
        if still_s < limit_s:
            return None
        self._frozen = True
        return CameraError(
            f"camera {self.name}: frozen: expected changing pictures of {self.source}, found the very same for "
            f"{still_s:.0f} s; it is opened again: where that does not help, switch it off and on, or raise frozen_s"
        )

    def _lose(self, error: CameraError | ConfigError) -> list[Event]:
        capture, self._capture = self._capture, None
        assert capture is not None
        self._count(capture)
        capture.kill()
        self._dying = capture, error
        self._give_up_s = time.monotonic() + DEATH_S
        return self._bury(capture, error)

    def _bury(self, capture: CaptureProcess, error: CameraError | ConfigError) -> list[Event]:
        """Tell of a loss once its capture is dead, or once it is clear that it does not die."""
        if not capture.gone:
            if time.monotonic() < self._give_up_s:
                return []
            self._abandoned.append(capture)
            where = capture.stuck or f"its process {capture.pid} does not die"
            error = CameraError(f"{error}; {where} and is left behind; if it stays, start the device anew")
        self._dying = None
        was, self.error = self.state, error
        # What a clip or folder says of itself, or a source of its name, stays true however often it is opened.
        beyond = not isinstance(error, CaptureLostError) or self._attempt >= _CLIP_RETRIES
        hopeless = isinstance(error, ConfigError) or (self.live is False and beyond)
        self.state = "ended" if hopeless else "lost"
        self._retry_later()
        events: list[Event] = []
        if was != "lost" or hopeless:
            self.losses += 1
            events = self.finish() if self.live or hopeless else []
            wall_time = self._latest.wall_time if self._latest and not self.live else time.time()
            events.append(self._event("camera_lost", self.clip_s, wall_time, str(error)))
        return events

    def _end(self) -> list[Event]:
        assert self._capture is not None
        self._let_go(self._capture)
        self.state = "ended"
        return self.finish()

    def _let_go(self, capture: CaptureProcess) -> None:
        """It has nothing more to do, and is not waited for."""
        self._capture = None
        self._count(capture)
        capture.kill()
        self._abandoned.append(capture)

    def _event(self, kind: EventKind, captured_s: float, wall_time: float, reason: str | None = None) -> Event:
        return Event(kind, self.name, wall_time, captured_s, reason=reason)


def check_cameras(config: Config) -> None:
    """See that there is something to look at, or a page that says how to come to it.

    Raises:
        ConfigError: neither camera nor page is configured, or not one camera is whose table and source are written as
            they must be; a wrong one beside others costs the others nothing.
    """
    if not config.camera:
        if config.web.listen:
            return
        raise ConfigError(
            "expected at least one camera, found none; add to the configuration file a section [camera.front] with "
            'the line source = "v4l2:0", or try familiar run --camera front=v4l2:0'
        )
    faults: list[ConfigError] = []
    for name, camera in config.camera.items():
        with collected(faults):
            if isinstance(camera, WrongCamera):
                raise ConfigError(camera.reason)
            check_source(camera.source, name)
    if len(faults) == len(config.camera):
        raise faults[0]
