"""Requests that only a running daemon answers."""

from __future__ import annotations

from dataclasses import dataclass

from edge_runtime.control.protocol import Answer
from edge_runtime.requests.access import Access
from edge_runtime.schema.table import key


@dataclass(frozen=True)
class Status:
    """How the daemon is, and what it sees."""


@dataclass(frozen=True)
class Reload:
    """Read configuration and gallery again: ``reloaded``, and ``needs_restart``: the keys that wait for a start."""


@dataclass(frozen=True)
class Live:
    """What a camera shows: see ``LiveView.answer``."""

    camera: str = key(help="its name in the configuration")


def status(access: Access, request: Status, payload: bytes) -> Answer:
    return access.daemon.status()


def reload(access: Access, request: Reload, payload: bytes) -> Answer:
    return {"reloaded": True, "needs_restart": access.daemon.reload()}


def live(access: Access, request: Live, payload: bytes) -> Answer:
    return access.daemon.live(request.camera)
