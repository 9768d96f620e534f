"""Where the daemon's events go: into the log of events, and from there to each sink."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from functools import partial

from edge_runtime.config import Config, events_path, sinks
from edge_runtime.daemon.film import Film
from edge_runtime.daemon.health import Health
from edge_runtime.errors import ConfigError
from edge_runtime.events.delivery import Delivery
from edge_runtime.events.log import EventLog
from edge_runtime.gallery.directory import Directory
from edge_runtime.protocols import Host, ServedSink, Sink
from edge_runtime.sinks import SinkConfig, open_sink
from edge_runtime.storage.exclusive_lock import exclusive_lock
from edge_runtime.system.closing import Closing
from edge_runtime.system.log import log
from edge_runtime.types import Event


class Outlets(Closing):
    """Owns log and sinks. Events wait until :meth:`release`: if no camera opens at all, the error line says so, and
    events would say it twice.

    Attributes:
        log: open until :meth:`close`.
        film: keeps snapshots and clips beside the log; None: they are not wanted.
    """

    def __init__(self, config: Config, directory: Directory, health: Health, stop: Callable[[], None]) -> None:
        """Open the log and every sink.

        Args:
            config: says where the log is and which sinks there are.
            directory: who is who.
            health: gets what is wrong with log or sinks.
            stop: called when nobody reads standard output any more.

        Raises:
            ConfigError: a sink cannot be opened, or names a camera that there is not.
            FamiliarError: the log cannot be used, or another daemon uses it.
        """
        self._health, self._stop = health, stop
        self._held: list[Event] | None = []
        self._sinks: list[Sink] = []
        with ExitStack() as stack:
            path = events_path(config)
            stack.enter_context(exclusive_lock(path, "daemon", "log of events", "[events] db"))
            opened: list[tuple[SinkConfig, Sink]] = []
            for sink in sinks(config):
                _check_cameras(sink, config.camera)
                opened.append((sink, open_sink(sink)))
                stack.callback(opened[-1][1].close)
            keep = config.events.keep_days, config.events.keep_mb
            self.log = EventLog(
                path, directory, *keep, self._log_trouble, log.warning, partial(health.update, "log of events")
            )
            stack.callback(self.log.close)
            self.film: Film | None = None
            if config.events.keeps("snapshots"):
                wanted = int(config.events.keep_pictures_mb * 1e6), config.events.keeps("clips")
                on_trouble = partial(health.update, "pictures of events")
                self.film = Film(self.log.footage, lambda: self.log.directory, *wanted, on_trouble)
                stack.callback(self.film.close)
            for configured, taker in opened:
                self.log.attach(configured.name, taker, self._sink_trouble, keys=configured.common)
                self._sinks.append(taker)
            self._stack = stack.pop_all()

    def emit(self, events: Iterable[Event]) -> None:
        """Take events; never waits for disk or sink."""
        if self._held is not None:
            self._held += events
            return
        for event in events:
            self.log.append(event)

    def serve(self, host: Host) -> None:
        """Let those sinks begin that also say how the daemon does."""
        for sink in self._sinks:
            if isinstance(sink, ServedSink):
                sink.serve(host)

    def release(self) -> None:
        """Let go of what has waited, and of all events from now on at once."""
        held, self._held = self._held or [], None
        self.emit(held)

    def close(self) -> None:
        """Let go of log and sinks; may be called again."""
        self._stack.close()

    def _log_trouble(self, reason: str | None) -> None:
        self._health.update("events", reason and f"cannot be stored ({reason}); they wait in memory")

    def _sink_trouble(self, delivery: Delivery, error: Exception | None) -> None:
        if isinstance(error, BrokenPipeError) and not delivery.sink.lasting:
            self._stop()
            return
        reason = None
        if error is not None and delivery.aside:
            reason = f"set aside ({error}); put it right, then: systemctl reload familiar"
        elif error is not None:
            reason = f"takes no events ({error}); they wait in the log of events"
        self._health.update(f"sink {delivery.name}", reason)


def _check_cameras(sink: SinkConfig, cameras: Iterable[str]) -> None:
    known = list(cameras)
    for camera in sink.common.cameras:
        if camera not in known:
            raise ConfigError(
                f"sink {sink.name}, cameras: expected one of {', '.join(known)}, found {camera!r}; check the spelling"
            )
