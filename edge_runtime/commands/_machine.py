"""The machine that something was timed on, as its owner may send it: nothing in it names a person, host or network."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path
from typing import Any

from edge_runtime.tracking.scheduler import firmware_flags, hottest_c, told_flags

_CORES = {
    "0xb76": "ARM1176", "0xc07": "Cortex-A7", "0xd03": "Cortex-A53", "0xd05": "Cortex-A55", "0xd08": "Cortex-A72",
    "0xd0b": "Cortex-A76",
}  # fmt: skip
"""Of ARM Limited, by the part number of the register MIDR_EL1."""
_DOT_PRODUCTS = {"asimddp", "avx_vnni", "avx512_vnni"}
"""How the kernel calls instructions that multiply and add int8 in one step."""


def describe(root: Path = Path("/")) -> dict[str, Any]:
    """What does not change: model, processor, memory, system, Python.

    Args:
        root: before /proc, /sys and /etc.
    """
    information = _read(root / "proc/cpuinfo")
    return {
        "model": _model(root),
        "cpu": _processor(information),
        "cores": os.cpu_count(),
        "most_mhz": _whole(_read(root / "sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq"), 1000),
        "dot_products": bool(_DOT_PRODUCTS & {*re.sub(r"\s+", " ", information).split(" ")}),
        "memory_mb": _whole(_found(r"MemTotal:\s+(\d+)", _read(root / "proc/meminfo")), 1024),
        "system": _found(r'^PRETTY_NAME="?([^"\n]+)', _read(root / "etc/os-release")) or "not known",
        "kernel": f"{os.uname().sysname} {os.uname().release} {os.uname().machine}",
        "python": platform.python_version(),
    }


def state(root: Path = Path("/sys")) -> dict[str, Any]:
    """What changes: the temperature in degrees Celsius, and what slows the processor down; None: not known.

    Args:
        root: where sysfs is mounted.
    """
    flags = firmware_flags(root)
    celsius = hottest_c(root)
    return {
        "celsius": None if celsius is None else round(celsius, 1),
        "slowed_down": None if flags is None else told_flags(flags),
        "slowed_down_since_start": None if flags is None else told_flags(flags >> 16),
    }


def _model(root: Path) -> str:
    told = _read(root / "proc/device-tree/model").rstrip("\0") or _read(root / "sys/class/dmi/id/product_name")
    return " ".join(told.split()) or "not known"


def _processor(information: str) -> str:
    if part := _found(r"CPU part\s*: (\w+)", information):
        return _CORES.get(part, f"ARM part {part}")
    return " ".join(_found(r"model name\s*: (.+)", information).split()) or "not known"


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""


def _found(pattern: str, text: str) -> str:
    found = re.search(pattern, text, re.M)
    return found[1] if found else ""


def _whole(text: str, divisor: int) -> int | None:
    return int(text) // divisor if text.isdecimal() else None
