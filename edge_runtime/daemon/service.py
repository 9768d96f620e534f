"""The daemon: cameras through their pipelines to the sinks, on one thread that never waits for any of them.

Frames are captured by processes, events written by threads, people enrolled on the control socket's threads with
a detector and encoder of their own, the gallery looked after on one more; so a camera that hangs, a full disk, a locked
gallery or a large photo costs no frame.
"""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from functools import partial
from typing import Any

from edge_runtime.config import LIVE_SECTIONS, Config, DecideConfig, changed_keys, gallery_path, socket_path
from edge_runtime.control.protocol import Answer
from edge_runtime.control.server import ControlServer
from edge_runtime.daemon.camera import check_cameras
from edge_runtime.daemon.cameras import Cameras
from edge_runtime.daemon.checkup import Checkup, Examine
from edge_runtime.daemon.controls import Controls
from edge_runtime.daemon.gallery_monitor import GalleryMonitor
from edge_runtime.daemon.health import Health
from edge_runtime.daemon.housekeeping import Housekeeping
from edge_runtime.daemon.lookout import Lookout
from edge_runtime.daemon.measures import export
from edge_runtime.daemon.notify import notify, watchdog_interval_s
from edge_runtime.daemon.outlets import Outlets
from edge_runtime.daemon.recording import Recording
from edge_runtime.daemon.signals import signals
from edge_runtime.daemon.summary import camera_status, gallery_status, opening_lines, summary_lines
from edge_runtime.daemon.waker import Waker
from edge_runtime.daemon.web import Web
from edge_runtime.decision.matcher import Matcher
from edge_runtime.errors import GalleryError, MissingError
from edge_runtime.events.log import EventLog
from edge_runtime.faces.chain import open_chain
from edge_runtime.faces.golden import check_golden, check_golden_faces
from edge_runtime.gallery.store import Gallery
from edge_runtime.pipeline import Pipeline
from edge_runtime.requests import table
from edge_runtime.requests.access import Holdings
from edge_runtime.requests.live_view import LiveView
from edge_runtime.storage.exclusive_lock import exclusive_lock
from edge_runtime.system.closing import Closing
from edge_runtime.system.log import log
from edge_runtime.text.version import program_version
from edge_runtime.tracking.scheduler import hottest_c
from edge_runtime.unknowns.opening import unknowns_kept

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
        cameras: by name; empty until :meth:`run`.
        health: what is wrong, part by part.
        controls: what can be changed in it.
    """

    def __init__(
        self,
        config: Config,
        reload_config: Callable[[], Config] | None = None,
        recording: Recording | None = None,
        examine: Examine | None = None,
    ) -> None:
        """Open bundle, models, gallery, sink and control socket, and compare the golden outputs.

        Args:
            config: with at least one camera, or a page that asks for one.
            reload_config: reads the configuration again, on SIGHUP or ``reload``; None: it stays as it is.
            recording: gets every frame with what was found; the caller closes it.
            examine: looks at the device as ``familiar doctor`` does; None: it cannot be asked to.

        Raises:
            ConfigError: neither camera nor page is configured.
            SelfTestError: this device computes other embeddings than the bundle's maker did.
            FamiliarError: bundle, interpreter, gallery, sink or control socket cannot be used, or another
                daemon uses the gallery.
        """
        check_cameras(config)
        self.config = config
        self.cameras = Cameras(config.camera)
        self.started_s = time.monotonic()
        self._reload_config = reload_config
        self.cameras.recording = recording
        self._checkup = Checkup(examine)
        self._stopping = self._ready = False
        self._chores = Housekeeping(self.refresh, self.reload, _IDLE_S, _DRAIN_S)
        with ExitStack() as stack:
            self._waker = stack.enter_context(Waker())
            self.health = Health(self._waker.wake)
            self._lookout = Lookout(self.cameras, self.health)
            self.controls = Controls(self.cameras, lambda: self.config.decide, self._decide, self._waker.wake)
            stack.enter_context(exclusive_lock(gallery_path(config), "daemon"))
            self.chain = stack.enter_context(open_chain(config))
            check_golden(self.chain.bundle, self.chain.encoder)
            check_golden_faces(self.chain.bundle, self.chain.detector)
            self._keeper = stack.enter_context(GalleryMonitor(config, self.chain, self.health, self.cameras.latest))
            log.hide(self.matcher.templates.names)
            self._outlets = stack.enter_context(Outlets(config, self.gallery.directory(), self.health, self.stop))
            self.cameras.film = self._outlets.film
            on_trouble = partial(self.health.update, "strangers")
            unknowns = stack.enter_context(unknowns_kept(config, self.chain, on_trouble, lambda: self._keeper.sound))
            self._keeper.strangers = unknowns.book if unknowns else None
            self._unknowns = unknowns if config.strangers.remember else None
            self._live = LiveView(self.cameras.sightings)
            stack.enter_context(ControlServer(socket_path(config), self.answer))
            self._web = stack.enter_context(Web(config, self.health))
            self._exporter = export(self, config.metrics.listen, stack)
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

    @property
    def events(self) -> EventLog:
        """The log of events."""
        return self._outlets.log

    def run(self, ready: Callable[[], None] | None = None) -> None:
        """Run until a signal, :meth:`stop`, or the end of every clip; then let open tracks leave and write all events.

        Args:
            ready: called once, when the first camera has opened.

        Raises:
            FamiliarError: no camera could be opened, or a clip ended before its time and nothing else goes on.
        """
        with signals(self.stop, self._chores.ask_reload, self._waker.signal_fd), self._chores.running():
            try:
                self.cameras.open(self._pipeline)
                self._loop(ready)
            finally:
                self._drain()
        if self.cameras.broken and not self._stopping:
            raise self.cameras.broken[0]

    def stop(self) -> None:
        """End :meth:`run` soon; may be called from any thread or signal handler."""
        self._stopping = True
        self._waker.wake()

    def close(self) -> None:
        """Let go of everything; may be called again."""
        self._stack.close()

    def _pipeline(self, name: str) -> Pipeline:
        return Pipeline(self.chain, self.matcher, self.config, name, self._unknowns)

    def _loop(self, on_ready: Callable[[], None] | None) -> None:
        watchdog_s = watchdog_interval_s() or _IDLE_S
        sign_of_life_s = 0.0
        if not self.cameras:
            self._announce(on_ready)
            self._look_around()
        while not self._stopping and self.cameras.keep_running:
            now = time.monotonic()
            if now >= sign_of_life_s:
                self._lookout.sign_of_life(now, len(self.matcher.templates.names))
                sign_of_life_s = now + min(watchdog_s, _IDLE_S)
            self.cameras.wait(self._waker, min(sign_of_life_s, self.cameras.wake_s))
            if self._stopping:
                return
            for events in self.cameras.turns():
                self._outlets.emit(events)
                if not self._ready and self.cameras.one_has_opened:
                    self._announce(on_ready)
                if self._stopping:
                    break
            if self._ready:  # where no camera opens at all, the error line says so
                self._look_around()

    def _announce(self, on_ready: Callable[[], None] | None) -> None:
        """The first camera has opened."""
        self._ready = True
        notify("READY=1")
        self._outlets.serve(self)
        if on_ready is not None:
            on_ready()
        self._outlets.release()

    def _look_around(self) -> None:
        """Let ``health`` know how everything does; then its events go the way of all others."""
        self._lookout.look_around(self.chain.degraded)
        self._web.look()
        events = self.health.take_events()
        if events:
            self._outlets.emit(events)
            notify(f"STATUS={self._lookout.status_line(len(self.matcher.templates.names))}")

    def _drain(self) -> None:
        notify("STOPPING=1")
        for events in self.cameras.finish():
            self._outlets.emit(events)
        if not self.events.drain(_DRAIN_S):
            log.warning("the last events could not be written in time")
        log.flush()

    def opening(self) -> list[str]:
        """What it is about to do, in lines for people."""
        return opening_lines(self.config, self.matcher, self.chain.bundle.manifest.name)

    def summary(self) -> list[str]:
        """What was seen, in lines for people; no line if no camera ever opened."""
        return summary_lines(self.cameras, self.events) if self._ready else []

    def status(self) -> Answer:
        """What is going on, JSON-ready."""
        with self.cameras.lock:
            return {
                **self.health.as_json(),
                "version": program_version(),
                "pid": os.getpid(),
                "temperature_c": hottest_c(),
                "uptime_s": round(time.monotonic() - self.started_s, 1),
                "bundle": {"name": self.chain.bundle.manifest.name, "hash": self.chain.bundle.hash},
                "accelerators": self.chain.accelerators,
                "gallery": gallery_status(self.matcher),
                "events": self.events.status(),
                "cameras": {name: camera_status(camera) for name, camera in self.cameras.items()},
            }

    @property
    def daemon(self) -> Service:
        """What requests about the daemon are answered with."""
        return self

    @property
    def holdings(self) -> Holdings:
        """What requests about people are answered with; see ``GalleryMonitor.holdings``."""
        return self._keeper.holdings

    def forecast(self) -> Answer:
        """What the target FPIR costs; see ``GalleryMonitor.forecast``."""
        return self._keeper.forecast(self.status())

    def doctor(self) -> Answer:
        """The table of ``familiar doctor``: ``rows``."""
        return {"rows": self._checkup.rows(self.status)}

    def bundle(self) -> Answer:
        """The bundle in use, with its model card."""
        bundle = self.chain.bundle
        named = {"name": bundle.manifest.name, "hash": bundle.hash, "created": bundle.manifest.created}
        return named | {"signed_by": bundle.signed_by, "card": bundle.card()}

    def figures(self) -> Answer:
        """Figures for Prometheus: ``text``.

        Raises:
            MissingError: they are not exported.
        """
        if self._exporter is None:
            raise MissingError("figures are off; set [metrics] listen, as 127.0.0.1:9108, and restart")
        return {"text": self._exporter.text()}

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
            found = table.answer(self, command, arguments, payload)
        finally:
            if command in table.TABLE and table.TABLE[command].may_change:
                self.refresh()
        if command == "people.forget" and (not self.events.flush(_FORGET_S) or self.events.remains):
            log.warning("the events of who was forgotten go later")
            found["remains"] = True
        return found

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
        with self.cameras.lock:
            self.config = dataclasses.replace(self.config, **sections)
            self.cameras.decide_by(self.config.decide)
        self._keeper.config = self.config

    def _decide(self, decide: DecideConfig) -> None:
        self._take_over(decide=decide)
        self.refresh(always=True)

    def refresh(self, always: bool = False) -> None:
        """Match against the gallery as it is now, if it has changed since the last time."""
        matcher = self._keeper.refresh(always)
        if matcher is not None:
            log.hide(matcher.templates.names)
            with suppress(GalleryError):  # out of use: whoever is named in events stays so
                self.events.know(self.gallery.directory())
            # The keeper's own, which may be newer by now than what this call made.
            self.cameras.match_with(lambda: self.matcher)
