"""Is this device fit? Small checks, each of one thing, with the command that fixes what it finds.

A new check is one function that takes an :class:`Examination` and yields rows, added to ``CHECKS``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from edge_runtime.doctor import databases, device, places, software
from edge_runtime.doctor.rows import Examination, Row, State

__all__ = ["CHECKS", "Examination", "Row", "State", "examine"]

Check = Callable[[Examination], Iterator[Row]]

CHECKS: tuple[Check, ...] = (
    software.python,
    software.numpy,
    software.opencv,
    software.interpreter,
    software.configuration,
    places.bundle,
    places.state_folder,
    places.device_key,
    places.gallery,
    databases.event_log,
    databases.unknowns,
    places.disk,
    device.memory,
    device.clock,
    device.temperature,
    device.throttling,
    device.edge_tpu,
    software.unit,
    software.daemon,
    software.sinks,
    device.cameras,
)
"""In the order of the table."""


def examine(examination: Examination, checks: Sequence[Check] = CHECKS) -> Iterator[Row]:
    """Every row, as it becomes known; a check that itself breaks is a failing row."""
    for check in checks:
        what = check.__name__.replace("_", " ")
        try:
            yield from check(examination)
        except PermissionError as error:
            yield Row(what, "warn", f"{error.filename} may not be looked at by this user", "sudo familiar doctor")
        except Exception as error:
            yield Row(what, "fail", f"this check broke: {type(error).__name__}: {error}", "familiar doctor --debug")
