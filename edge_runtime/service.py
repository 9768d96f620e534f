"""The daemon: cameras through their pipelines to the sinks, on one thread that never waits for any of them.

Frames are captured by processes, events written by threads, people enrolled on the control socket's thread with
a detector and encoder of its own; so a camera that hangs, a full disk or a large photo costs no frame.
"""

from __future__ import annotations

import dataclasses
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from edge_runtime.access import COMMANDS, LocalPeople, open_chain, open_gallery
from edge_runtime.camera import Camera
from edge_runtime.chain import FaceChain
from edge_runtime.closing import Closing
from edge_runtime.config import Config, events_path, gallery_path, socket_path
from edge_runtime.control import Answer, ControlServer
from edge_runtime.enrolment import Enroller
from edge_runtime.errors import BundleError, ConfigError, FamiliarError, UsageError
from edge_runtime.events.delivery import Delivery
from edge_runtime.events.log import EventLog
from edge_runtime.matcher import Matcher, make_matcher
from edge_runtime.notify import notify, watchdog_interval_s
from edge_runtime.pipeline import Pipeline
from edge_runtime.sinks import open_sink
from edge_runtime.sole_use import sole_use
from edge_runtime.summary import camera_status, gallery_status, opening_lines, summary_lines
from edge_runtime.types import Event

_IDLE_S = 5.0
"""Longest pause of the loop: how often systemd's status line and changes of the gallery by others are looked at."""

_DRAIN_S = 0.6
"""How long the last events may take: a stop has two seconds in all."""

_FORGET_S = 10.0
"""How long the events of somebody forgotten may take to go before the answer; they go later then."""


class Service(Closing):
    """A daemon that is open: everything is checked, and ``run`` starts the cameras.

    Attributes:
        config: in force now.
        chain: of the frame loop alone.
        gallery: open until :meth:`close`.
        events: the log of events, likewise.
        cameras: by name; empty until :meth:`run`.
        matcher: for the gallery as it is now.
    """

    def __init__(self, config: Config, reload_config: Callable[[], Config] | None = None) -> None:
        """Open bundle, models, gallery, sink and control socket, and compare the golden outputs.

        Args:
            config: with at least one camera.
            reload_config: reads the configuration again, on SIGHUP or ``reload``; None: it stays as it is.

        Raises:
            ConfigError: no camera is configured.
            SelfTestError: this device computes other codes than the bundle's maker did.
            FamiliarError: bundle, interpreter, gallery, sink or control socket cannot be used, or another
                daemon uses the gallery.
        """
        check_cameras(config)
        self.config = config
        self.cameras: dict[str, Camera] = {}
        self.started_s = time.monotonic()
        self._reload_config = reload_config
        self._stopping = False
        self._reload_wanted = False
        self._ready = False
        self._on_ready: Callable[[], None] | None = None
        self._held: list[Event] = []
        self._lock = threading.Lock()
        """Held during a step of a pipeline and while its matcher is exchanged."""
        self._gallery_lock = threading.Lock()
        """Held while a matcher is made, so that an older gallery never replaces a newer one."""
        self._enrolling: FaceChain | None = None
        with ExitStack() as stack:
            self._waker, self._woken = socket.socketpair()
            stack.callback(self._waker.close)
            stack.callback(self._woken.close)
            self._waker.setblocking(False)
            self._woken.setblocking(False)
            stack.enter_context(sole_use(gallery_path(config), "daemon"))
            self.chain = stack.enter_context(open_chain(config))
            self.chain.bundle.check_golden(self.chain.encoder)
            self.chain.bundle.check_golden_faces(self.chain.detector)
            self._strangers = self.chain.bundle.strangers()
            self.gallery = stack.enter_context(open_gallery(config, self.chain))
            self._version = self.gallery.version
            self.matcher = self._make_matcher()
            stack.callback(self._close_enrolling)
            stack.enter_context(sole_use(events_path(config), "daemon", "log of events", "[events] db"))
            sink = open_sink(spec := f"jsonlines:{config.events.path}")
            stack.callback(sink.close)
            self.events = EventLog(
                events_path(config),
                self.gallery.directory(),
                config.events.keep_days,
                config.events.keep_mb,
                self.events_trouble,
                lambda line: print(f"familiar: warning: {line}", file=sys.stderr),
            )
            stack.callback(self.events.close)
            self.events.attach(spec, sink, self._sink_trouble)
            self._people = LocalPeople(
                self.gallery, self._enroller, config.images.max_megapixels, margin=config.decide.margin
            )
            control = ControlServer(socket_path(config), self.answer)
            stack.callback(control.close)
            self._stack = stack.pop_all()

    def run(self, ready: Callable[[], None] | None = None) -> None:
        """Run until a signal, :meth:`stop`, or the end of every clip; then let open tracks leave and write all events.

        Args:
            ready: called once, when the first camera has opened.

        Raises:
            FamiliarError: no camera could be opened, or a clip ended before its time and nothing else goes on.
        """
        self._on_ready = ready
        with self._signals():
            try:
                for name, camera in self.config.camera.items():
                    with self._lock:
                        pipeline = Pipeline(self.chain, self.matcher, self.config, name)
                        self.cameras[name] = Camera(name, camera, pipeline)
                self._loop()
            finally:
                self._drain()
        broken = [camera.error for camera in self.cameras.values() if camera.error is not None]
        if broken and not self._stopping:
            raise broken[0]

    def opening(self) -> list[str]:
        """What it is about to do, in lines for people."""
        return opening_lines(self.config, self.matcher, self.chain.bundle.manifest.name)

    def summary(self) -> list[str]:
        """What was seen, in lines for people; none if no camera ever opened."""
        return summary_lines(self.cameras, self.events) if self._ready else []

    def status(self) -> Answer:
        """What is going on, JSON-ready."""
        with self._lock:
            return {
                "pid": os.getpid(),
                "uptime_s": round(time.monotonic() - self.started_s, 1),
                "bundle": {"name": self.chain.bundle.manifest.name, "hash": self.chain.bundle.hash},
                "gallery": gallery_status(self.matcher),
                "events": self.events.status(),
                "cameras": {name: camera_status(camera) for name, camera in self.cameras.items()},
            }

    def stop(self) -> None:
        """End :meth:`run` soon; may be called from any thread or signal handler."""
        self._stopping = True
        self._wake()

    def answer(self, command: str, arguments: dict[str, Any], payload: bytes) -> Answer:
        """One request of the control socket: ``status``, ``reload``, or one of ``access.COMMANDS``.

        Raises:
            FamiliarError: what the command raises.
        """
        if command == "status":
            return self.status()
        if command == "reload":
            self.reload()
            return {"reloaded": True}
        if command not in COMMANDS:
            known = ", ".join(("status", "reload", *COMMANDS))
            raise UsageError(f"{command!r}: expected one of {known}; client and daemon differ in version")
        try:
            return self._people.call(command, arguments, payload)
        finally:
            self.refresh()
            if command == "people.forget" and not self.events.flush(_FORGET_S):
                print("familiar: warning: the events of who was forgotten go later", file=sys.stderr)

    def reload(self) -> None:
        """Read the configuration's ``decide`` section and the gallery again; the rest needs a restart.

        Raises:
            ConfigError: the file is not sound; what was in force stays so.
        """
        if self._reload_config is not None:
            decide = self._reload_config().decide
            with self._lock:
                self.config = dataclasses.replace(self.config, decide=decide)
                for camera in self.cameras.values():
                    camera.pipeline.decide = decide
        self.refresh(always=True)

    def refresh(self, always: bool = False) -> None:
        """Match against the gallery as it is now, if it has changed since the last time."""
        with self._gallery_lock:
            version = self.gallery.version
            if version == self._version and not always:
                return
            matcher = self._make_matcher()
            self.events.know(self.gallery.directory())
            self._version = version
            with self._lock:
                self.matcher = matcher
                for camera in self.cameras.values():
                    camera.pipeline.matcher = matcher

    def close(self) -> None:
        """Let go of everything; may be called again."""
        self._stack.close()

    def _make_matcher(self) -> Matcher:
        return make_matcher(self.gallery.templates(), self.chain.bundle, self.config.decide, self._strangers)

    def _loop(self) -> None:
        watchdog_s = watchdog_interval_s() or _IDLE_S
        sign_of_life_s = 0.0
        while not self._stopping and any(camera.keeps_running for camera in self.cameras.values()):
            now = time.monotonic()
            if now >= sign_of_life_s:
                # Sent from here alone: a step that hangs, or a loop that no longer turns, sends nothing.
                notify("WATCHDOG=1", f"STATUS={self._status_line()}")
                sign_of_life_s = now + min(watchdog_s, _IDLE_S)
                self._guarded(self.refresh)
            self._wait(min(sign_of_life_s, *(camera.wake_s for camera in self.cameras.values())))
            if self._reload_wanted:
                self._reload_wanted = False
                if self._guarded(self.reload):
                    print("familiar: [decide] and the gallery are read again", file=sys.stderr)
            for camera in self.cameras.values():
                if self._stopping:
                    break
                with self._lock:
                    events = camera.turn()
                self._emit(events)
            self._check_ready()

    def _wait(self, until_s: float) -> None:
        captures = [camera.capture.fileno() for camera in self.cameras.values() if camera.capture is not None]
        readable, _, _ = select.select([self._woken.fileno(), *captures], [], [], max(until_s - time.monotonic(), 0.0))
        if self._woken.fileno() in readable:
            self._woken.recv(4096)

    def _check_ready(self) -> None:
        if self._ready or not any(camera.live is not None for camera in self.cameras.values()):
            return
        self._ready = True
        notify("READY=1")
        if self._on_ready is not None:
            self._on_ready()
        held, self._held = self._held, []
        self._emit(held)

    def _emit(self, events: list[Event]) -> None:
        if not self._ready:
            # Where no camera opens at all, the error line says so, and events would say it twice.
            self._held += events
            self._check_ready()
            return
        for event in events:
            self.events.append(event)

    def _drain(self) -> None:
        notify("STOPPING=1")
        for camera in self.cameras.values():
            camera.hang_up()
        for camera in self.cameras.values():
            self._emit(camera.finish())
        for camera in self.cameras.values():
            camera.close()
        if not self.events.drain(_DRAIN_S):
            print("familiar: warning: the last events could not be written in time", file=sys.stderr)

    def _guarded(self, action: Callable[[], None]) -> bool:
        """Do something that may fail without ending the loop: what was in force then stays so, and it is False."""
        try:
            action()
        except FamiliarError as error:
            print(f"familiar: warning: {error}", file=sys.stderr)
            return False
        return True

    def events_trouble(self, reason: str | None) -> None:
        """Called from the log's writer: why no event can be stored, or None once they are again."""
        told = f"no event can be stored ({reason}); they wait in memory" if reason else "events are stored again"
        print(f"familiar: warning: {told}", file=sys.stderr)

    def _sink_trouble(self, delivery: Delivery, error: Exception | None) -> None:
        if isinstance(error, BrokenPipeError) and not delivery.sink.lasting:
            self.stop()
            return
        told = f"takes no events ({error}); trying on" if error else "takes events again"
        print(f"familiar: warning: {delivery.name} {told}", file=sys.stderr)

    def _enroller(self) -> Enroller:
        """Called on the control socket's thread: a chain of its own, so that a large photo stalls no camera."""
        chain = open_chain(self.config)
        if chain.bundle.hash != self.chain.bundle.hash:
            chain.close()
            raise BundleError(
                f"{chain.bundle.path}: expected the bundle this daemon was started with, found another one; "
                "restart the daemon"
            )
        self._enrolling = chain
        return Enroller(chain, self.gallery)

    def _close_enrolling(self) -> None:
        if self._enrolling is not None:
            self._enrolling.close()

    def _status_line(self) -> str:
        states = ", ".join(f"{name} {camera.state}" for name, camera in self.cameras.items())
        return f"{states}; {len(self.matcher.templates.names)} people"

    def _wake(self) -> None:
        # Full: it will wake anyway. Closed: nobody is left to wake.
        with suppress(OSError):
            self._waker.send(b".")

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """SIGTERM and SIGINT stop, SIGHUP reloads; outside the main thread signals are somebody else's."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def hang_up(number: int, frame: object) -> None:
            self._reload_wanted = True

        actions = {
            signal.SIGTERM: lambda number, frame: self.stop(),
            signal.SIGINT: lambda number, frame: self.stop(),
            signal.SIGHUP: hang_up,
        }
        before = {number: signal.signal(number, action) for number, action in actions.items()}
        wakeup = signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(wakeup)
            for number, action in before.items():
                signal.signal(number, action)


def check_cameras(config: Config) -> None:
    """See that there is something to look at.

    Raises:
        ConfigError: no camera, or one without a source.
    """
    if not config.camera:
        raise ConfigError(
            "expected at least one camera, found none; add to the configuration file a section [camera.front] with "
            'the line source = "v4l2:0", or try familiar run --camera front=v4l2:0'
        )
    for name, camera in config.camera.items():
        if not camera.source:
            raise ConfigError(f'[camera.{name}]: expected a source, found none; add the line source = "v4l2:0"')
