"""The daemon's sinks: opened, attached to the log of events, served once cameras run."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack

from edge_runtime.config import Config, sinks
from edge_runtime.daemon.health import Health
from edge_runtime.errors import ConfigError
from edge_runtime.events.delivery import Delivery
from edge_runtime.events.log import EventLog
from edge_runtime.protocols import Host, ServedSink, Sink
from edge_runtime.sinks import SinkConfig, open_sink


class Outlets:
    """All sinks of a configuration, closed with the stack they were opened on."""

    def __init__(self, config: Config, health: Health, stack: ExitStack, stop: Callable[[], None]) -> None:
        """Open every sink; nothing is handed to them yet.

        Args:
            config: with the sinks.
            health: is told of sinks that take nothing.
            stack: closes them.
            stop: called when nobody reads standard output any more.

        Raises:
            ConfigError: one cannot be opened, or names a camera that there is not.
        """
        self._health, self._stop = health, stop
        self._opened: list[tuple[SinkConfig, Sink]] = []
        for sink in sinks(config):
            _check_cameras(sink, config.camera)
            self._opened.append((sink, open_sink(sink)))
            stack.callback(self._opened[-1][1].close)

    def attach(self, events: EventLog) -> None:
        """Hand them the events of the log from now on."""
        for config, sink in self._opened:
            events.attach(config.name, sink, self._trouble, keys=config.common)

    def serve(self, host: Host) -> None:
        """Let those sinks begin that also tell how the daemon does."""
        for _, sink in self._opened:
            if isinstance(sink, ServedSink):
                sink.serve(host)

    def _trouble(self, delivery: Delivery, error: Exception | None) -> None:
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
