"""The daemon's figures, handed to what exports them, where that is configured."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from edge_runtime.errors import ConfigError
from edge_runtime.interpreters import installed_interpreters
from edge_runtime.text.version import program_version
from edge_runtime.tracking.tally import Tally

if TYPE_CHECKING:
    from edge_runtime.daemon.service import Service
    from edge_runtime.exporter.server import Exporter


def export(service: Service, listen: str, stack: ExitStack) -> Exporter | None:
    """Serve the figures of a daemon until the stack is closed; None where ``listen`` is empty.

    Raises:
        ConfigError: prometheus-client is not installed, or ``listen`` is not an address that is free.
    """
    if not listen:
        return None
    try:
        from edge_runtime.exporter.server import Exporter
    except ImportError as error:
        if not (error.name or "").startswith("prometheus_client"):
            raise
        raise ConfigError(
            "[metrics] listen: expected prometheus-client, it is not installed; pip install 'familiar-edge[metrics]'"
        ) from error
    runtime = installed_interpreters()[0]

    def read() -> tuple[Mapping[str, Any], Mapping[str, Tally]]:
        tallies = {name: camera.pipeline.tally for name, camera in list(service.cameras.items())}
        return {**service.status(), "runtime": runtime}, tallies

    exporter = Exporter(listen, read, program_version())
    stack.callback(exporter.close)
    return exporter
