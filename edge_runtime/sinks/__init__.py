"""Where events go: one file a sink, opened by ``name:argument``; ``events.delivery`` hands them on."""

from __future__ import annotations

from edge_runtime.protocols import Sink
from edge_runtime.system.backends import load_backend

_HERE = __name__


def open_sink(spec: str) -> Sink:
    """Open a sink by ``name:argument``, as ``jsonlines:-``.

    Raises:
        ConfigError: no such sink, or it cannot be opened.
    """
    name, _, argument = spec.partition(":")
    sink: Sink = load_backend(_HERE, name, "sink").open(argument)
    return sink
