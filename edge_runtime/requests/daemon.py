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


@dataclass(frozen=True)
class SetTarget:
    """Another target FPIR until the next start or reload: ``false_accepts_per_1000_strangers``."""

    false_accepts_per_1000_strangers: float = key(
        help="of 1,000 strangers, so many may get a name", low=0.001, high=1000
    )


@dataclass(frozen=True)
class Forecast:
    """What the target FPIR in force costs, and what others would: see ``decision.forecast``."""


@dataclass(frozen=True)
class Doctor:
    """What works on this device and what does not: ``rows``: [{``check``, ``state``, ``found``, ``command``}]."""


@dataclass(frozen=True)
class ShowBundle:
    """The bundle in use: ``name``, ``hash``, ``created``, ``signed_by``, and ``card``, Markdown."""


@dataclass(frozen=True)
class ReadFigures:
    """Figures for Prometheus where ``[metrics]`` is on: ``text``."""


@dataclass(frozen=True)
class SwitchCamera:
    """A camera off or on until the next start: ``camera``, ``on``."""

    camera: str = key(help="its name in the configuration")
    on: bool = key(help="false: it is closed, and its tracks end")


@dataclass(frozen=True)
class Recheck:
    """Look again now whose the faces in view are: ``cameras``, those that do."""

    camera: str = key("", "its name in the configuration; empty: all")


def status(access: Access, request: Status, payload: bytes) -> Answer:
    return access.daemon.status()


def reload(access: Access, request: Reload, payload: bytes) -> Answer:
    return {"reloaded": True, "needs_restart": access.daemon.reload()}


def live(access: Access, request: Live, payload: bytes) -> Answer:
    return access.daemon.live(request.camera)


def set_target(access: Access, request: SetTarget, payload: bytes) -> Answer:
    access.daemon.controls.set_target(request.false_accepts_per_1000_strangers)
    return {"false_accepts_per_1000_strangers": request.false_accepts_per_1000_strangers}


def forecast(access: Access, request: Forecast, payload: bytes) -> Answer:
    return access.daemon.forecast()


def doctor(access: Access, request: Doctor, payload: bytes) -> Answer:
    return access.daemon.doctor()


def show_bundle(access: Access, request: ShowBundle, payload: bytes) -> Answer:
    return access.daemon.bundle()


def read_figures(access: Access, request: ReadFigures, payload: bytes) -> Answer:
    return access.daemon.figures()


def switch_camera(access: Access, request: SwitchCamera, payload: bytes) -> Answer:
    access.daemon.controls.switch(request.camera, request.on)
    return {"camera": request.camera, "on": request.on}


def recheck(access: Access, request: Recheck, payload: bytes) -> Answer:
    return {"cameras": access.daemon.controls.recheck(request.camera)}
