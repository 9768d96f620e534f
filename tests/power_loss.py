"""Power cuts, simulated: what a program did to files, as the kernel saw it, with what was never synced partly lost.

A program is run under strace, and its file operations are replayed up to any moment. Of the writes that no fsync
has covered by then each is kept or lost at random, some torn at a sector's edge; of new, renamed and removed names
that no fsync of the folder has covered, a random number of the first ones is kept (POSIX promises no more).
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

STRACE = shutil.which("strace")
_CALLS = "openat,close,write,pwrite64,fsync,fdatasync,ftruncate,rename,unlink,link"
_LINE = re.compile(r"(\w+)\((.*)\)\s+= (-?\d+)")
_SECTOR = 512


@dataclass(frozen=True)
class Operation:
    """One system call that succeeded."""

    call: str
    text: str
    result: int

    def strings(self) -> list[bytes]:
        return [bytes.fromhex(s.replace("\\x", "")) for s in re.findall(r'"((?:\\x[0-9a-f]{2})*)"', self.text)]

    def numbers(self) -> list[int]:
        return [int(n) for n in re.findall(r"(?:^|, )(-?\d+)", re.sub(r'"[^"]*"', '""', self.text))]


def record(command: Sequence[str], log: Path, environment: dict[str, str], folder: Path) -> list[Operation]:
    """Run a program to its end; returns what it did to files, and its standard output as writes to 1."""
    assert STRACE is not None
    subprocess.run(
        [STRACE, "-xx", "-s", "4000000", "-e", f"trace={_CALLS}", "-o", str(log), *command],
        env=environment,
        cwd=folder,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    operations = []
    for line in log.read_text().splitlines():
        match = _LINE.match(line)
        if match and int(match[3]) >= 0:
            operations.append(Operation(match[1], match[2], int(match[3])))
    return operations


@dataclass
class _File:
    durable: bytes = b""
    pending: list[tuple[int, bytes] | int] = field(default_factory=list)
    """(offset, data) of writes, or a length to cut to."""


def _applied(content: bytes, changes: Sequence[tuple[int, bytes] | int]) -> bytes:
    data = bytearray(content)
    for change in changes:
        if isinstance(change, int):
            data[change:] = b""
            data.extend(bytes(change - len(data)))
            continue
        offset, new = change
        data.extend(bytes(max(offset + len(new) - len(data), 0)))
        data[offset : offset + len(new)] = new
    return bytes(data)


def _rename(names: dict[Path, _File], changes: Sequence[tuple[Path, _File | None]]) -> None:
    for path, file in changes:
        names.pop(path, None)
        if file is not None:
            names[path] = file


class Disk:
    """The files below a folder: what a power cut would surely leave, and what it might."""

    def __init__(self, folder: Path) -> None:
        """Start with what lies there now, all of it synced."""
        self._folder = folder
        self._names = {path: _File(path.read_bytes()) for path in folder.rglob("*") if path.is_file()}
        self._durable_names = dict(self._names)
        self._pending_names: list[list[tuple[Path, _File | None]]] = []
        """Changes of names; those of one system call are on the disk together or not at all, as journals have it."""
        self._open: dict[int, tuple[_File | Path, list[int]]] = {}
        self.said = b""

    def apply(self, operation: Operation) -> None:
        """Take one system call."""
        strings, numbers = operation.strings(), operation.numbers()
        if operation.call == "openat":
            self._open.pop(operation.result, None)
            self._opened(self._path(strings[0]), operation)
        elif operation.call == "rename":
            file = self._names.get(self._path(strings[0]))
            self._name((self._path(strings[1]), file), (self._path(strings[0]), None))
        elif operation.call == "link":
            self._name((self._path(strings[1]), self._names.get(self._path(strings[0]))))
        elif operation.call == "unlink":
            self._name((self._path(strings[0]), None))
        elif operation.call == "write" and numbers[0] == 1:
            self.said += strings[0]
        elif numbers and numbers[0] in self._open:
            self._on_descriptor(operation, strings, numbers)

    def cut(
        self, trace: Sequence[Operation], cuts: Iterable[int], rng: np.random.Generator, folder: Path
    ) -> Iterator[Path]:
        """What a power cut after so many operations leaves, for each of ascending ``cuts``, in a folder of its own."""
        done = 0
        for number, end in enumerate(cuts):
            for operation in trace[done:end]:
                self.apply(operation)
            done = end
            left = folder / f"left{number}"
            self.lose(left, rng)
            yield left
            shutil.rmtree(left, ignore_errors=True)

    def lose(self, target: Path, rng: np.random.Generator) -> None:
        """Write what is left after a power cut now to ``target``."""
        names = dict(self._durable_names)
        kept = int(rng.integers(len(self._pending_names) + 1))
        for changes in self._pending_names[:kept]:
            _rename(names, changes)
        for path, file in names.items():
            torn = [self._torn(change, rng) for change in file.pending if rng.random() < 0.5]
            place = target / path.relative_to(self._folder)
            place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not path.name.endswith("-shm"):  # shared memory, gone with the power
                place.write_bytes(_applied(file.durable, torn))
                place.chmod(0o600)

    def _torn(self, change: tuple[int, bytes] | int, rng: np.random.Generator) -> tuple[int, bytes] | int:
        if isinstance(change, int) or len(change[1]) <= _SECTOR or rng.random() < 0.8:
            return change
        return change[0], change[1][: int(rng.integers(1, len(change[1]) // _SECTOR + 1)) * _SECTOR]

    def _path(self, name: bytes) -> Path:
        return self._folder / name.decode()

    def _inside(self, path: Path) -> bool:
        return path.is_relative_to(self._folder)

    def _name(self, *changes: tuple[Path, _File | None]) -> None:
        inside = [change for change in changes if self._inside(change[0])]
        if inside:
            _rename(self._names, inside)
            self._pending_names.append(inside)

    def _opened(self, path: Path, operation: Operation) -> None:
        if not self._inside(path):
            return
        if "O_DIRECTORY" in operation.text or path.is_dir():
            self._open[operation.result] = path, [0]
            return
        if path not in self._names:
            if "O_CREAT" not in operation.text:
                return
            self._name((path, _File()))
        file = self._names[path]
        if "O_TRUNC" in operation.text:
            file.pending.append(0)
        self._open[operation.result] = file, [0]

    def _on_descriptor(self, operation: Operation, strings: list[bytes], numbers: list[int]) -> None:
        what, position = self._open[numbers[0]]
        if operation.call == "close":
            del self._open[numbers[0]]
        elif isinstance(what, Path):
            if operation.call in ("fsync", "fdatasync"):
                synced = [item for item in self._pending_names if any(path.parent == what for path, _ in item)]
                for changes in synced:
                    _rename(self._durable_names, changes)
                self._pending_names = [item for item in self._pending_names if item not in synced]
        elif operation.call in ("fsync", "fdatasync"):
            what.durable, what.pending = _applied(what.durable, what.pending), []
        elif operation.call == "ftruncate":
            what.pending.append(numbers[1])
        elif operation.call == "pwrite64":
            what.pending.append((numbers[-1], strings[0][: operation.result]))
        elif operation.call == "write":
            what.pending.append((position[0], strings[0][: operation.result]))
            position[0] += operation.result
