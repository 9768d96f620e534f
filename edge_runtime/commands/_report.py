"""What an owner sends back of a bench: one row of a Markdown table, and the same and more as JSON."""

from __future__ import annotations

import json
from typing import Any


def report(document: dict[str, Any]) -> str:
    """The table with its head and one row, and the document below it.

    Args:
        document: of ``familiar bench``, with ``machine``.
    """
    cells = _cells(document)
    rows = (cells, ("---",) * len(cells), cells.values())
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return f"{table}\n\n```json\n{json.dumps(document, indent=2)}\n```"


def _cells(document: dict[str, Any]) -> dict[str, str]:
    machine = document["machine"]
    dot_products = "with" if machine["dot_products"] else "without"
    speed = f" at {machine['most_mhz']} MHz" if machine["most_mhz"] else ""
    cells = {
        "machine": machine["model"],
        "processor": f"{machine['cores']} x {machine['cpu']}{speed}, {dot_products} dot products",
        "memory, MB": str(machine["memory_mb"] or "?"),
        "system": f"{machine['system']}, {machine['kernel']}",
        "Python": machine["python"],
        "interpreter": f"{machine['interpreter']} on {machine['accelerator']}, 1 thread",
        "bundle": f"{document['bundle']} {machine['bundle_hash'][:12]}, familiar {machine['familiar']}",
    }
    for stage, row in document["stages"].items():
        cells[f"{stage}, ms"] = f"{row['mean_ms']:.2f}" if row["runs"] else "-"
    cells["frames/s"] = f"{document['frames_per_s']:.1f}"
    before, after = machine["before"], machine["after"]
    cells["°C before, after"] = ", ".join(
        "?" if each["celsius"] is None else f"{each['celsius']:.0f}" for each in (before, after)
    )
    cells["slowed down before, after"] = ", ".join(_slowed(each["slowed_down"]) for each in (before, after))
    return {name: " ".join(value.replace("|", "/").split()) for name, value in cells.items()}


def _slowed(found: list[str] | None) -> str:
    return "?" if found is None else " and ".join(found) or "no"
