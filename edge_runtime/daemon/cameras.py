"""All cameras of the daemon: each gets its turn, and other threads see what they show."""

from __future__ import annotations

import select
import threading
import time
from collections.abc import Callable, Iterator, Mapping

from edge_runtime.capture.own_cameras import no_such_camera
from edge_runtime.config import CameraConfig, DecideConfig
from edge_runtime.daemon.camera import Camera
from edge_runtime.daemon.film import Film
from edge_runtime.daemon.recording import Recording
from edge_runtime.daemon.waker import Waker
from edge_runtime.decision.matcher import Matcher
from edge_runtime.errors import CameraError, FamiliarError
from edge_runtime.pipeline import Pipeline
from edge_runtime.requests.live_view import Sightings
from edge_runtime.types import Event, Frame


class Cameras(Mapping[str, Camera]):
    """By name; one thread gives the turns, any thread may ask.

    Attributes:
        lock: held during a step of a pipeline, and by whoever looks at more than one thing of a camera.
        recording: gets every frame with what was found; None: nobody does.
        film: keeps pictures of what happens; None: nobody does.
    """

    def __init__(self, configured: Mapping[str, CameraConfig]) -> None:
        """Start without an open camera.

        Args:
            configured: by name.
        """
        self.lock = threading.Lock()
        self.recording: Recording | None = None
        self.film: Film | None = None
        self._configured = configured
        self._cameras: dict[str, Camera] = {}

    def __getitem__(self, name: str) -> Camera:
        return self._cameras[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._cameras)

    def __len__(self) -> int:
        return len(self._cameras)

    @property
    def one_has_opened(self) -> bool:
        """Whether any camera has opened since the start."""
        return any(camera.live is not None for camera in self._cameras.values())

    @property
    def keep_running(self) -> bool:
        """Whether more is to be expected of any; where there is none, the page waits for the first."""
        return not self._configured or any(camera.keeps_running for camera in self._cameras.values())

    @property
    def wake_s(self) -> float:
        """Monotonic seconds at which one has something to do even if no frame has come."""
        return min((camera.wake_s for camera in self._cameras.values()), default=float("inf"))

    @property
    def broken(self) -> list[FamiliarError]:
        """Why cameras are lost, or ended before their time."""
        return [camera.error for camera in self._cameras.values() if camera.error is not None]

    def open(self, pipeline_for: Callable[[str], Pipeline]) -> None:
        """Start capturing from each.

        Args:
            pipeline_for: makes a camera's pipeline, by its name.
        """
        for name, camera in self._configured.items():
            with self.lock:
                self._cameras[name] = Camera(name, camera, pipeline_for(name))

    def wait(self, waker: Waker, until_s: float) -> None:
        """Return when a frame has come, ``waker`` wakes, or it is monotonic ``until_s``."""
        captures = [camera.capture.fileno() for camera in self._cameras.values() if camera.capture is not None]
        readable, _, _ = select.select([waker.fileno(), *captures], [], [], max(until_s - time.monotonic(), 0.0))
        if waker.fileno() in readable:
            waker.clear()

    def turns(self) -> Iterator[list[Event]]:
        """Let each take its turn, and give what came of it.

        Raises:
            ConfigError: a source can never open.
        """
        for camera in self._cameras.values():
            with self.lock:
                frames = camera.frames
                events = camera.turn()
                if camera.frames > frames and camera.latest is not None:
                    if self.recording is not None:
                        self.recording.add(camera.latest, camera.pipeline.sightings())
                    if self.film is not None:
                        events = self.film.take(camera.latest, camera.pipeline, events)
            yield events

    def finish(self) -> Iterator[list[Event]]:
        """End all captures, and give the events of tracks that leave."""
        for camera in self._cameras.values():
            camera.hang_up()
        for camera in self._cameras.values():
            yield camera.finish()
        for camera in self._cameras.values():
            camera.close()

    def decide_by(self, decide: DecideConfig) -> None:
        """Decide by these keys from the next frame on; the lock is held."""
        for camera in self._cameras.values():
            camera.pipeline.decide = decide

    def match_with(self, matcher: Callable[[], Matcher]) -> None:
        """Compare with another gallery from the next frame on.

        Args:
            matcher: asked under the lock, as a newer one may have come meanwhile.
        """
        with self.lock:
            for camera in self._cameras.values():
                camera.pipeline.matcher = matcher()

    def latest(self, name: str) -> Frame:
        """A camera's latest frame.

        Raises:
            InputError: there is no such camera.
            CameraError: it shows nothing at the moment.
        """
        camera = self._cameras.get(name)
        if camera is None:
            raise no_such_camera(name, self._configured)
        if camera.latest is None or camera.state != "running":
            raise CameraError(f"camera {name}: expected a picture, it is {camera.state} ({camera.error or 'wait'})")
        return camera.latest

    def sightings(self, name: str) -> tuple[Frame, Sightings]:
        """A camera's latest frame, and who is in it; raises as :meth:`latest` does."""
        with self.lock:
            return self.latest(name), self._cameras[name].pipeline.sightings()
