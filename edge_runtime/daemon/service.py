"""The daemon: cameras through their pipelines to the sinks, on one thread that never waits for any of them.

Frames are captured by processes, events written by threads, people enrolled on the control socket's threads with
a detector and encoder of their own, the gallery looked after on one more; so a camera that hangs, a full disk, a locked
gallery or a large photo costs no frame.
"""

from __future__ import annotations

import dataclasses
import os
import select
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from typing import Any

from edge_runtime.capture.own_cameras import no_such_camera
from edge_runtime.config import (
    LIVE_SECTIONS,
    Config,
    DecideConfig,
    changed_keys,
    events_path,
    gallery_path,
    socket_path,
    unknowns_path,
)
from edge_runtime.control.protocol import Answer
from edge_runtime.control.server import ControlServer
from edge_runtime.daemon.camera import Camera, check_cameras
from edge_runtime.daemon.controls import Controls
from edge_runtime.daemon.gallery_monitor import GalleryMonitor
from edge_runtime.daemon.health import Health
from edge_runtime.daemon.housekeeping import Housekeeping
from edge_runtime.daemon.lookout import Lookout
from edge_runtime.daemon.measures import export
from edge_runtime.daemon.notify import notify, watchdog_interval_s
from edge_runtime.daemon.outlets import Outlets
from edge_runtime.daemon.signals import signals
from edge_runtime.daemon.summary import camera_status, gallery_status, opening_lines, summary_lines
from edge_runtime.daemon.waker import Waker
from edge_runtime.decision.matcher import Matcher
from edge_runtime.errors import CameraError, GalleryError, UnknownsError
from edge_runtime.events.log import EventLog
from edge_runtime.faces.chain import open_chain
from edge_runtime.faces.golden import check_golden, check_golden_faces
from edge_runtime.gallery.store import Gallery
from edge_runtime.pipeline import Pipeline
from edge_runtime.requests import table
from edge_runtime.requests.access import Holdings
from edge_runtime.requests.live_view import LiveView, Sightings
from edge_runtime.storage.exclusive_lock import exclusive_lock
from edge_runtime.system.closing import Closing
from edge_runtime.system.log import log
from edge_runtime.tracking.scheduler import hottest_c
from edge_runtime.types import Event, Frame
from edge_runtime.unknowns.keeper import UnknownsKeeper
from edge_runtime.unknowns.opening import open_unknowns

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
        events: the log of events, open until :meth:`close`.
        cameras: by name; empty until :meth:`run`.
        health: what is wrong, part by part.
    """

    def __init__(self, config: Config, reload_config: Callable[[], Config] | None = None) -> None:
        """Open bundle, models, gallery, sink and control socket, and compare the golden outputs.

        Args:
            config: with at least one camera.
            reload_config: reads the configuration again, on SIGHUP or ``reload``; None: it stays as it is.

        Raises:
            ConfigError: no camera is configured.
            SelfTestError: this device computes other embeddings than the bundle's maker did.
            FamiliarError: bundle, interpreter, gallery, sink or control socket cannot be used, or another
                daemon uses the gallery.
        """
        check_cameras(config)
        self.config = config
        self.cameras: dict[str, Camera] = {}
        self.started_s = time.monotonic()
        self._reload_config = reload_config
        self._stopping = False
        self._ready = False
        self._on_ready: Callable[[], None] | None = None
        self._held: list[Event] = []
        self._lock = threading.Lock()
        """Held during a step of a pipeline and while its matcher is exchanged."""
        self._controls = Controls(self.cameras, self._lock, lambda: self.config.decide, self._decide, self._wake)
        self._chores = Housekeeping(self.refresh, self.reload, _IDLE_S, _DRAIN_S)
        with ExitStack() as stack:
            self._waker = stack.enter_context(Waker())
            self.health = Health(self._waker.wake)
            self._lookout = Lookout(self.cameras, self.health)
            stack.enter_context(exclusive_lock(gallery_path(config), "daemon"))
            self.chain = stack.enter_context(open_chain(config))
            check_golden(self.chain.bundle, self.chain.encoder)
            check_golden_faces(self.chain.bundle, self.chain.detector)
            self._keeper = stack.enter_context(GalleryMonitor(config, self.chain, self.health, self._latest))
            log.hide(self.matcher.templates.names)
            stack.enter_context(exclusive_lock(events_path(config), "daemon", "log of events", "[events] db"))
            self._strangers = self._open_unknowns(stack)
            self._outlets = Outlets(config, self.health, stack, self.stop)
            self.events = EventLog(
                events_path(config),
                self.gallery.directory(),
                config.events.keep_days,
                config.events.keep_mb,
                self._events_trouble,
                log.warning,
            )
            stack.callback(self.events.close)
            self._outlets.attach(self.events)
            self._live = LiveView(self._sightings)
            control = ControlServer(socket_path(config), self.answer)
            stack.callback(control.close)
            export(self, config.metrics.listen, stack)
            self._stack = stack.pop_all()

    @property
    def matcher(self) -> Matcher:
        """For the gallery as it is now."""
        return self._keeper.matcher

    @property
    def gallery(self) -> Gallery:
        """The open gallery.

        Raises:
            GalleryError: it cannot be read at the moment.
        """
        return self._keeper.gallery

    def run(self, ready: Callable[[], None] | None = None) -> None:
        """Run until a signal, :meth:`stop`, or the end of every clip; then let open tracks leave and write all events.

        Args:
            ready: called once, when the first camera has opened.

        Raises:
            FamiliarError: no camera could be opened, or a clip ended before its time and nothing else goes on.
        """
        self._on_ready = ready
        with signals(self.stop, self._chores.ask_reload, self._waker.signal_fd), self._chores.running():
            try:
                for name, camera in self.config.camera.items():
                    with self._lock:
                        pipeline = Pipeline(self.chain, self.matcher, self.config, name, self._strangers)
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
        """What was seen, in lines for people; no line if no camera ever opened."""
        return summary_lines(self.cameras, self.events) if self._ready else []

    def status(self) -> Answer:
        """What is going on, JSON-ready."""
        with self._lock:
            return {
                **self.health.as_json(),
                "pid": os.getpid(),
                "temperature_c": hottest_c(),
                "uptime_s": round(time.monotonic() - self.started_s, 1),
                "bundle": {"name": self.chain.bundle.manifest.name, "hash": self.chain.bundle.hash},
                "accelerators": self.chain.accelerators,
                "gallery": gallery_status(self.matcher),
                "events": self.events.status(),
                "cameras": {name: camera_status(camera) for name, camera in self.cameras.items()},
            }

    def stop(self) -> None:
        """End :meth:`run` soon; may be called from any thread or signal handler."""
        self._stopping = True
        self._waker.wake()

    @property
    def daemon(self) -> Service:
        """What requests about the daemon are answered with."""
        return self

    @property
    def controls(self) -> Controls:
        """What can be changed in it."""
        return self._controls

    @property
    def holdings(self) -> Holdings:
        """What requests about people are answered with; see ``GalleryMonitor.holdings``."""
        return self._keeper.holdings

    def live(self, camera: str) -> Answer:
        """What a camera shows; see ``LiveView.answer``."""
        return self._live.answer(camera)

    def people(self) -> Mapping[str, str]:
        """Names by the gallery's opaque ids."""
        return self.events.directory.names

    def answer(self, command: str, arguments: dict[str, Any], payload: bytes) -> Answer:
        """One request of the control socket; see ``requests.table``.

        Raises:
            FamiliarError: what the request raises.
        """
        try:
            return table.answer(self, command, arguments, payload)
        finally:
            if command in table.TABLE and table.TABLE[command].may_change:
                self.refresh()
            if command == "people.forget" and not self.events.flush(_FORGET_S):
                log.warning("the events of who was forgotten go later")

    def reload(self) -> list[str]:
        """Take over what may change while it runs (``LIVE_SECTIONS``), and read the gallery again.

        Open tracks keep what is known about them.

        Returns:
            The keys that have changed too and wait for the next start.

        Raises:
            ConfigError: the file is not sound; what was in force stays so.
        """
        waiting: list[str] = []
        if self._reload_config is not None:
            wanted = self._reload_config()
            self._take_over(**{name: getattr(wanted, name) for name in LIVE_SECTIONS})
            log.configure(wanted.log)
            waiting = changed_keys(self.config, wanted)
        self.refresh(always=True)
        for delivery in self.events.deliveries:
            delivery.retry()
        log.info("[decide], [log] and the gallery are read again")
        if waiting:
            log.warning(
                "these keys have changed and need a restart: systemctl restart familiar", keys=", ".join(waiting)
            )
        return waiting

    def _take_over(self, **sections: Any) -> None:
        with self._lock:
            self.config = dataclasses.replace(self.config, **sections)
            for camera in self.cameras.values():
                camera.pipeline.decide = self.config.decide
        self._keeper.config = self.config

    def _decide(self, decide: DecideConfig) -> None:
        self._take_over(decide=decide)
        self.refresh(always=True)

    def _wake(self) -> None:
        self._waker.wake()

    def refresh(self, always: bool = False) -> None:
        """Match against the gallery as it is now, if it has changed since the last time."""
        matcher = self._keeper.refresh(always)
        if matcher is not None:
            log.hide(matcher.templates.names)
            with suppress(GalleryError):  # out of use: whoever is named in events stays so
                self.events.know(self.gallery.directory())
            with self._lock:
                for camera in self.cameras.values():
                    # The keeper's own, which may be newer by now than what this call made.
                    camera.pipeline.matcher = self.matcher

    def close(self) -> None:
        """Let go of everything; may be called again."""
        self._stack.close()

    def _open_unknowns(self, stack: ExitStack) -> UnknownsKeeper | None:
        """Those remembered, kept up as long as the daemon runs; what a pipeline is to remember more with, if wanted.

        Strangers that cannot be read cost the daemon nothing else.
        """
        path = unknowns_path(self.config)
        stack.enter_context(exclusive_lock(path, "daemon", "file of strangers", "[gallery] path"))
        try:
            book = open_unknowns(self.config, self.chain)
        except UnknownsError as error:
            self.health.report("strangers", f"{error}; until the next start nobody is remembered")
            return None
        keeper = UnknownsKeeper(
            book, lambda reason: self.health.update("strangers", reason), lambda: self._keeper.sound
        )
        stack.callback(keeper.close)
        self._keeper.strangers = book
        return keeper if self.config.strangers.remember else None

    def _loop(self) -> None:
        watchdog_s = watchdog_interval_s() or _IDLE_S
        sign_of_life_s = 0.0
        while not self._stopping and any(camera.keeps_running for camera in self.cameras.values()):
            now = time.monotonic()
            if now >= sign_of_life_s:
                self._lookout.sign_of_life(now, len(self.matcher.templates.names))
                sign_of_life_s = now + min(watchdog_s, _IDLE_S)
            self._wait(min(sign_of_life_s, *(camera.wake_s for camera in self.cameras.values())))
            for camera in self.cameras.values():
                if self._stopping:
                    break
                with self._lock:
                    events = camera.turn()
                self._emit(events)
            self._look_around()
            self._check_ready()

    def _look_around(self) -> None:
        """Let ``health`` know how everything does; then its events go the way of all others."""
        if not self._ready:
            return  # where no camera opens at all, the error line says so
        self._lookout.look_around(self.chain.degraded)
        events = self.health.take_events()
        if events:
            self._emit(events)
            notify(f"STATUS={self._lookout.status_line(len(self.matcher.templates.names))}")

    def _latest(self, name: str) -> Frame:
        """A camera's latest frame."""
        camera = self.cameras.get(name)
        if camera is None:
            raise no_such_camera(name, self.config.camera)
        if camera.latest is None or camera.state != "running":
            raise CameraError(f"camera {name}: expected a picture, it is {camera.state} ({camera.error or 'wait'})")
        return camera.latest

    def _sightings(self, name: str) -> tuple[Frame, Sightings]:
        with self._lock:
            return self._latest(name), self.cameras[name].pipeline.sightings()

    def _wait(self, until_s: float) -> None:
        captures = [camera.capture.fileno() for camera in self.cameras.values() if camera.capture is not None]
        readable, _, _ = select.select([self._waker.fileno(), *captures], [], [], max(until_s - time.monotonic(), 0.0))
        if self._waker.fileno() in readable:
            self._waker.clear()

    def _check_ready(self) -> None:
        if self._ready or not any(camera.live is not None for camera in self.cameras.values()):
            return
        self._ready = True
        notify("READY=1")
        self._outlets.serve(self)
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
            log.warning("the last events could not be written in time")
        log.flush()

    def _events_trouble(self, reason: str | None) -> None:
        self.health.update("events", reason and f"cannot be stored ({reason}); they wait in memory")
