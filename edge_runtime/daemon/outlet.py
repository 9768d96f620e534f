"""Where the daemon's events go: into the log of events, and from there to each sink."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack

from edge_runtime.config import Config, events_path, sinks
from edge_runtime.daemon.health import Health
from edge_runtime.events.delivery import Delivery
from edge_runtime.events.log import EventLog
from edge_runtime.gallery.directory import Directory
from edge_runtime.sinks import open_sink
from edge_runtime.storage.exclusive_lock import exclusive_lock
from edge_runtime.system.closing import Closing
from edge_runtime.system.log import log
from edge_runtime.types import Event


class EventOutlet(Closing):
    """Owns log and sinks. Events wait until :meth:`release`: if no camera opens at all, the error line says so, and
    events would say it twice.

    Attributes:
        log: open until :meth:`close`.
    """

    def __init__(self, config: Config, directory: Directory, health: Health, stop: Callable[[], None]) -> None:
        """Open log and sinks.

        Args:
            config: says where the log is and which sinks there are.
            directory: who is who.
            health: gets what is wrong with log or sinks.
            stop: called when a sink that does not last, as a pipe, has gone.

        Raises:
            FamiliarError: log or sink cannot be used, or another daemon uses the log.
        """
        self._health, self._stop = health, stop
        self._held: list[Event] | None = []
        with ExitStack() as stack:
            path = events_path(config)
            stack.enter_context(exclusive_lock(path, "daemon", "log of events", "[events] db"))
            opened = [(sink.name, open_sink(sink)) for sink in sinks(config)]
            for _, sink in opened:
                stack.callback(sink.close)
            keep = config.events.keep_days, config.events.keep_mb
            self.log = EventLog(path, directory, *keep, self._log_trouble, log.warning)
            stack.callback(self.log.close)
            for name, sink in opened:
                self.log.attach(name, sink, self._sink_trouble)
            self._stack = stack.pop_all()

    def emit(self, events: Iterable[Event]) -> None:
        """Take events; never waits for disk or sink."""
        if self._held is not None:
            self._held += events
            return
        for event in events:
            self.log.append(event)

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
        reason = error and f"takes no events ({error}); they wait in the log of events"
        self._health.update(f"sink {delivery.name}", reason or None)
