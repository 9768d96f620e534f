"""Drives Google's ``edgetpu_compiler`` and judges what it made; the program itself is x86-64 only and not ours to ship.

All models of a bundle go through it in one call, so that their parameters share the chip's memory ("co-compiling").
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from convert.edgetpu.gate import read_model
from convert.edgetpu.graph import read_graph
from convert.edgetpu.verdict import gate
from edge_runtime.errors import BundleError, InputError

PROGRAM = "edgetpu_compiler"
MAPPED = "Mapped to Edge TPU"
HOW_TO_GET = (
    "it runs on x86-64 Debian or Ubuntu: add 'deb https://packages.cloud.google.com/apt coral-edgetpu-stable main' to "
    "apt's sources with Google's key, apt install edgetpu-compiler (coral.ai/docs/edgetpu/compiler); the bundle is "
    "complete without it and runs on the CPU"
)
_TIMEOUT_S = 900
_ROW = re.compile(r"^([A-Za-z][A-Za-z0-9_-]*)\s{2,}(\d+)\s{2,}(\S.*?)\s*$")
_VERSION = re.compile(r"^Edge TPU Compiler version (\S+)", re.MULTILINE)
_MEMORY = re.compile(r"^(On|Off)-chip memory used for .*?: ([0-9.]+)(B|KiB|MiB)\s*$", re.MULTILINE)
_UNITS = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20}


@dataclass(frozen=True)
class Row:
    """One line of a compiler's log: so many operators of a kind ended so."""

    operator: str
    count: int
    status: str


@dataclass(frozen=True)
class Compiled:
    """One model after the compiler.

    Attributes:
        model: the .tflite file.
        rows: of its log.
    """

    model: bytes
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Compilation:
    """What one call made.

    Attributes:
        version: of the compiler.
        models: in the order given.
        on_chip_bytes, off_chip_bytes: parameters of all models on the chip, and those streamed at every run.
    """

    version: str
    models: tuple[Compiled, ...]
    on_chip_bytes: int
    off_chip_bytes: int


def parse_log(text: str) -> tuple[Row, ...]:
    """The table of an ``_edgetpu.log``: operator, count, status."""
    rows = (_ROW.match(line) for line in text.splitlines())
    return tuple(Row(row[1], int(row[2]), row[3]) for row in rows if row)


def compile_models(models: Sequence[Path], folder: Path) -> Compilation:
    """Compile some models together.

    Args:
        models: .tflite files with names of their own.
        folder: an empty one for what the compiler writes.

    Raises:
        InputError: there is no compiler here.
        BundleError: it fails, leaves operators to the CPU, or its file is not one edgetpu-custom-op.
    """
    program = shutil.which(PROGRAM)
    if program is None:
        raise InputError(f"{PROGRAM}: expected it on the PATH, found none; {HOW_TO_GET}")
    command = [program, "-s", "-o", str(folder), *map(str, models)]
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", timeout=_TIMEOUT_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BundleError(f"{PROGRAM}: expected it to compile, it did not ({_line(str(error))})") from error
    if done.returncode:
        raise BundleError(
            f"{PROGRAM}: expected it to compile {', '.join(path.name for path in models)}, it ended with "
            f"{done.returncode} ({_line(done.stdout)}); see python -m convert gate FILE for what may be wrong"
        )
    version = _VERSION.search(done.stdout)
    memory = {"On": 0, "Off": 0}
    for place, amount, unit in _MEMORY.findall(done.stdout):
        memory[place] += round(float(amount) * _UNITS[unit])
    compiled = tuple(_compiled(path, folder) for path in models)
    return Compilation(version[1] if version else "unknown", compiled, memory["On"], memory["Off"])


def _compiled(path: Path, folder: Path) -> Compiled:
    """What the compiler made of one model, checked."""
    made, log = folder / f"{path.stem}_edgetpu.tflite", folder / f"{path.stem}_edgetpu.log"
    try:
        rows = parse_log(log.read_text(encoding="utf-8", errors="replace"))
    except OSError as error:
        raise BundleError(f"{log.name}: expected the compiler's log, cannot read it ({error.strerror})") from error
    left = [row for row in rows if row.status != MAPPED]
    if left or not rows:
        names = "; ".join(f"{row.count} {row.operator}: {row.status}" for row in left) or "its log names no operator"
        raise BundleError(
            f"{path.name}: expected every operator on the Edge TPU, found {names}; python -m convert gate says which"
        )
    data = read_model(made)
    verdict = gate(data, made.name)
    if not verdict.compiled or not verdict.maps_wholly:
        raise BundleError(
            f"{made.name}: expected one edgetpu-custom-op and nothing else, found {len(verdict.operators)} operators"
            f"{f' ({verdict.why_not})' if verdict.why_not else ''}; the compiler's log says otherwise, compile it again"
        )
    ports = [
        [(tensor.dtype, tensor.shape, tensor.scales, tensor.zero_points) for tensor in (*g.inputs, *g.outputs)]
        for g in (read_graph(read_model(path)), read_graph(data))
    ]
    if ports[0] != ports[1]:
        raise BundleError(f"{made.name}: expected inputs and outputs {ports[0]}, found {ports[1]}; compile it again")
    return Compiled(data, rows)


def _line(text: str) -> str:
    """The last line that says something, printable."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return "".join(c if c.isprintable() else "?" for c in (lines or ["no output"])[-1])[:200]
