"""The wheels of a device, collected on the desktop: exactly those of the lock for its platform and Python.

A lock is a requirements file with the version and the sha256 of every package, written by ``make lock``.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from edge_runtime.bundle.folder import file_digest
from edge_runtime.errors import DeployError, InputError

OUTPUTS = ("mqtt", "metrics", "web")
"""Extras that every device gets, so that a line of the configuration is all that an output needs: 4 MB there."""

_GLIBC = (34, 31, 28, 27, 26, 24, 17)
"""Minor versions of glibc 2 whose wheels run on every system a device may have: bookworm has 2.36."""
_PIN = re.compile(r"(?P<name>[A-Za-z0-9._-]+)==(?P<version>\S+) --hash=sha256:(?P<digest>[0-9a-f]{64})\Z")


@dataclass(frozen=True)
class Pin:
    """One package of a lock: its name, version, and the sha256 (hex) of its wheel."""

    name: str
    version: str
    digest: str


@dataclass(frozen=True)
class Target:
    """What wheels are for.

    Attributes:
        architecture: as ``uname -m`` says: ``aarch64`` or ``x86_64``.
        python: major and minor.
        extra: the interpreter's: ``litert`` or ``tflite``.
    """

    architecture: str
    python: tuple[int, int]
    extra: str

    @property
    def lock_name(self) -> str:
        return f"{self.extra}-{self.architecture}-cp{self.python[0]}{self.python[1]}.txt"

    def __str__(self) -> str:
        return f"{self.architecture}, Python {self.python[0]}.{self.python[1]}, [{self.extra}]"

    def pip_options(self) -> list[str]:
        """Options of ``pip download`` and ``pip install`` that choose wheels for it, from any machine."""
        platforms = [f"manylinux_2_{minor}_{self.architecture}" for minor in _GLIBC] + [
            f"manylinux2014_{self.architecture}"
        ]
        words = [word for name in platforms for word in ("--platform", name)]
        return [*words, "--python-version", f"{self.python[0]}.{self.python[1]}", "--only-binary", ":all:"]

    def lock(self) -> str | None:
        """The text of its lock; None: no lock, because no index that we know has all its wheels."""
        place = files("edge_runtime.deploy").joinpath("locks", self.lock_name)
        return place.read_text(encoding="utf-8") if place.is_file() else None


def pins(lock: str) -> list[Pin]:
    """The packages of a lock.

    Raises:
        InputError: a line that is no pin.
    """
    found = []
    for line in lock.splitlines():
        if line and not line.startswith("#"):
            match = _PIN.match(line)
            if not match:
                raise InputError(f"lock: expected NAME==VERSION --hash=sha256:…, found {line!r}; run make lock")
            found.append(Pin(**match.groupdict()))
    return found


def cache_folder() -> Path:
    """Where wheels are kept on the desktop, so that another deployment needs no network."""
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "familiar/wheels"


def collect(target: Target, lock: str, folder: Path) -> list[Path]:
    """Every wheel of a lock, from ``folder`` as far as it is there, else through pip from the package index.

    Args:
        target: of the lock.
        lock: see :meth:`Target.lock`.
        folder: made if it is missing; a wheel with another content than the lock's is not used.

    Raises:
        DeployError: pip could not fetch one, or one is not what the lock says.
    """
    folder.mkdir(parents=True, exist_ok=True)
    wanted = {pin.digest: pin for pin in pins(lock)}
    found = _by_digest(folder, wanted)
    missing = [pin for digest, pin in wanted.items() if digest not in found]
    if missing:
        _fetch(target, missing, folder)
        found = _by_digest(folder, wanted)
    for digest, pin in wanted.items():
        if digest not in found:
            raise DeployError(f"{pin.name} {pin.version}: expected the wheel of the lock, found another; try again")
    return sorted(found.values())


def _by_digest(folder: Path, wanted: dict[str, Pin]) -> dict[str, Path]:
    digests = {file_digest(path)[0]: path for path in sorted(folder.glob("*.whl"))}
    return {digest: path for digest, path in digests.items() if digest in wanted}


def _fetch(target: Target, missing: list[Pin], folder: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="fetch-", dir=folder) as work:
        lock = Path(work) / "lock.txt"
        lock.write_text("".join(f"{p.name}=={p.version} --hash=sha256:{p.digest}\n" for p in missing))
        words = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        words += ["--require-hashes", *target.pip_options(), "--dest", work, "--requirement", str(lock)]
        done = subprocess.run(words, capture_output=True, text=True)
        if done.returncode:
            said = [line for line in (done.stderr or done.stdout).strip().splitlines() if "WARNING" not in line]
            raise DeployError(
                f"expected to fetch the wheels for {target} with pip, it failed ({said[-1] if said else 'no reason'}); "
                "connect this machine to the package index, or use --wheelhouse DIR"
            )
        for wheel in Path(work).glob("*.whl"):
            shutil.move(wheel, folder / wheel.name)
