"""API and page beside the daemon, where they are asked for; without them nothing of theirs is imported."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from edge_runtime.config import Config
from edge_runtime.daemon.health import Health
from edge_runtime.system.closing import Closing

if TYPE_CHECKING:
    from edge_runtime.web.process import WebProcess


class Web(Closing):
    """The process that serves, if there is to be one; called by the daemon's loop alone."""

    def __init__(self, config: Config, health: Health) -> None:
        """Begin to serve at ``[web] listen``.

        Args:
            config: says where and to whom.
            health: is told when it does not serve.

        Raises:
            ConfigError: a package is missing, the address cannot be used, or it needs TLS.
        """
        self._health = health
        self._process: WebProcess | None = None
        self._stack = ExitStack()
        if config.web.listen:
            from edge_runtime.web.process import WebProcess

            self._process = self._stack.enter_context(WebProcess(config))

    def look(self) -> None:
        """Start it again if it died, and let ``health`` know."""
        if self._process is not None:
            self._health.update("web", self._process.look())

    def close(self) -> None:
        """Serve no more; may be called again."""
        self._stack.close()
