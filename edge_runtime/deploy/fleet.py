"""Several devices, one after the other, and one table of how they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from edge_runtime.deploy.deployment import Request, look_up_status
from edge_runtime.errors import DeployError, FamiliarError

_COLUMNS = ("host", "state", "current", "bundle")


def status_table(requests: Sequence[Request]) -> tuple[list[str], bool]:
    """One line a device, and whether every one of them could be asked and has a daemon that answers."""
    rows, sound = [dict(zip(_COLUMNS, ("DEVICE", "STATE", "RELEASE", "BUNDLE"), strict=True))], True
    for request in requests:
        try:
            told = look_up_status(request)
        except DeployError as error:
            rows.append({"host": request.host, "state": "unreachable", "current": str(error), "bundle": ""})
            sound = False
            continue
        rows.append({"host": request.host, **{name: told[name] or "-" for name in _COLUMNS[1:]}})
        sound = sound and told["state"] in ("ok", "degraded")
    widths = {name: max(len(row[name]) for row in rows) for name in _COLUMNS[:3]}
    return ["  ".join(f"{row[name]:<{widths.get(name, 0)}}" for name in _COLUMNS).rstrip() for row in rows], sound


def each(requests: Sequence[Request], action: Callable[[Request], None], say: Callable[[str], None]) -> None:
    """Do something on every device; one that fails keeps none of the others waiting.

    Raises:
        FamiliarError: of the only device, or that some of several failed.
    """
    if len(requests) == 1:
        return action(requests[0])
    outcomes: dict[str, str] = {}
    for request in requests:
        say(f"--- {request.host}")
        try:
            action(request)
            outcomes[request.host] = "done"
        except FamiliarError as error:
            outcomes[request.host] = f"FAILED: {error}"
    width = max(map(len, outcomes))
    for host, outcome in outcomes.items():
        say(f"{host:<{width}}  {outcome}")
    failed = sum(outcome != "done" for outcome in outcomes.values())
    if failed:
        raise DeployError(
            f"{failed} of {len(requests)} devices failed, each with its reason above; deploy to them again"
        )
    return None
