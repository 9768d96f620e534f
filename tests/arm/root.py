"""A Debian Python and the wheels of a device of another architecture, unpacked into a folder, run under qemu-user."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from edge_runtime.deploy.layout import package_text
from edge_runtime.deploy.wheels import Target, collect, pins
from tests.builders import ROOT

CACHE = ROOT / ".arm"
EMULATOR_SUITE = "trixie"
"""Bookworm's qemu 7.2 dies of a segmentation fault when a model is opened."""
_PACKAGES = ("base-files", "python3", "libgomp1", "libstdc++6")
_EMULATOR = CACHE / "emulator"
_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


@dataclass(frozen=True)
class Suite:
    """A device's system.

    Attributes:
        release: Debian's, which is Raspberry Pi OS's, too.
        architecture: as Debian says.
        target: what its wheels are for; ``target.architecture`` is what ``uname -m`` says there.
        emulator: qemu's program and the processor it plays.
        packages: of Debian, with all they depend on.
        wheels: those of PyPI, with versions, in place of the target's lock.
        lacks_page: the package without which it has no page; empty: it has one.
    """

    release: str
    architecture: str
    target: Target
    emulator: tuple[str, ...]
    packages: tuple[str, ...] = _PACKAGES
    wheels: tuple[str, ...] = ()
    lacks_page: str = ""


_CORTEX_A72 = ("qemu-aarch64", "-cpu", "cortex-a72")
SUITES = {
    "trixie": Suite("trixie", "arm64", Target("aarch64", (3, 13), "litert"), _CORTEX_A72),
    "bookworm": Suite("bookworm", "arm64", Target("aarch64", (3, 11), "litert"), _CORTEX_A72),
    # PyPI has no wheels of numpy, OpenCV, Pillow and cffi for 32 bits: Debian's own, older than what we ask for.
    # Nor of msgspec, which Debian does not have either.
    "bookworm-armhf": Suite(
        "bookworm", "armhf", Target("armv7l", (3, 11), "tflite"), ("qemu-arm", "-cpu", "cortex-a7"),
        (*_PACKAGES, "python3-numpy", "python3-opencv", "python3-pil", "python3-cffi-backend"),
        ("tflite-runtime==2.14.0", "cryptography==50.0.2", "tqdm==4.70.1", "paho-mqtt==2.2.0", "starlette==1.10.0",
         "anyio==4.16.0", "idna==3.20", "typing_extensions==4.16.0", "uvicorn==0.54.0", "h11==0.16.0", "click==8.5.1",
         "python-multipart==0.0.34"),
        lacks_page="msgspec",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Emulated:
    """An interpreter that runs emulated, and so does every process that it starts.

    Attributes:
        python: a wrapper; the interpreter takes it for itself.
        root: the unpacked Debian.
        site: the unpacked wheels.
        target: what the wheels are for.
        lacks_page: see :class:`Suite`.
    """

    python: Path
    root: Path
    site: Path
    target: Target
    lacks_page: str

    def environment(self) -> dict[str, str]:
        """What every call needs; the checkout's code is used, as nothing else of it is compiled."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        return {
            **kept,
            "PYTHONHOME": str(self.root / "usr"),
            "PYTHONPATH": f"{ROOT}:{self.site}:{self.root}/usr/lib/python3/dist-packages",
            "PYTHONDONTWRITEBYTECODE": "1",
            "OPENBLAS_NUM_THREADS": "1",
        }


def missing() -> str:
    """What this machine lacks for making one; empty: nothing."""
    lacking = [name for name in ("apt-get", "dpkg-deb") if not shutil.which(name)]
    lacking += [] if _KEYRING.exists() else [str(_KEYRING)]
    return f"needs {' and '.join(lacking)}" if lacking else ""


def cached(suite: str) -> Emulated | None:
    """The one made before; None: there is none."""
    made = _emulated(suite)
    stamp = made.site / ".complete"
    if not stamp.exists() or stamp.read_text() != _wanted(SUITES[suite]):
        return None
    _write_interpreter(suite, made)
    return made


def prepare(suite: str) -> Emulated:
    """Make it, as far as it is not there.

    Raises:
        subprocess.CalledProcessError: apt or pip failed.
    """
    if found := cached(suite):
        return found
    system, made = SUITES[suite], _emulated(suite)
    fetch_emulator()
    if not (made.root / ".complete").exists():
        _unpack(system.release, system.architecture, system.packages, made.root)
        _choose_linear_algebra(made.root)
        (made.root / ".complete").touch()
    _write_interpreter(suite, made)
    shutil.rmtree(made.site, ignore_errors=True)
    install_wheels(system, made.site)
    print(f"{size(made.site) / 1e6:.1f} MB unpacked, {trim(made.site) / 1e6:.1f} MB of it are of no use and go")
    (made.site / ".complete").write_text(_wanted(system))
    return made


def fetch_emulator() -> Path:
    """Folder of qemu-user's programs, unpacked from Debian's package if it is not there."""
    if not (_EMULATOR / "usr/bin/qemu-aarch64").exists():
        _unpack(EMULATOR_SUITE, own_architecture(), ("qemu-user",), _EMULATOR)
    return _EMULATOR / "usr/bin"


def install_wheels(system: Suite, site: Path) -> None:
    """Unpack the wheels of the target's lock, or those named, as a deployment does."""
    wheels, target = CACHE / "wheels", system.target
    words = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile", "--target", str(site)]
    words += target.pip_options()
    if system.wheels:
        subprocess.run([*words, *system.wheels], check=True)
        return
    lock = target.lock()
    assert lock is not None, f"no lock for {target}"
    collect(target, lock, wheels)
    place = CACHE / target.lock_name
    place.write_text("".join(f"{p.name}=={p.version} --hash=sha256:{p.digest}\n" for p in pins(lock)))
    words += ["--no-index", "--require-hashes", "--find-links", str(wheels), "--requirement", str(place)]
    subprocess.run(words, check=True)


def trim(site: Path) -> int:
    """Take away what no device uses; returns the bytes."""
    before = size(site)
    for line in package_text("surplus.txt").splitlines():
        for path in (
            [] if line.startswith("#") else sorted(site.glob(line) if "*" not in line else site.rglob(line[2:]))
        ):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    return before - size(site)


def size(place: Path) -> int:
    """Bytes of a file, or of all files below a folder."""
    return sum(p.lstat().st_size for p in [place, *place.rglob("*")] if p.is_file() and not p.is_symlink())


def _wanted(system: Suite) -> str:
    """What is installed there; another lock is another text."""
    return "\n".join(system.wheels) or system.target.lock() or ""


def _emulated(suite: str) -> Emulated:
    home = CACHE / suite
    return Emulated(home / "bin/python3", home / "root", home / "site", SUITES[suite].target, SUITES[suite].lacks_page)


def _write_interpreter(suite: str, made: Emulated) -> None:
    """Each time, as the checkout may lie elsewhere now."""
    emulator, *processor = SUITES[suite].emulator
    version = ".".join(map(str, made.target.python))
    made.python.parent.mkdir(parents=True, exist_ok=True)
    made.python.write_text(
        f'#!/bin/sh\nexec {fetch_emulator()}/{emulator} {" ".join(processor)} -L {made.root} -0 "$0" '
        f'{made.root}/usr/bin/python{version} "$@"\n'
    )
    made.python.chmod(0o755)


def _choose_linear_algebra(root: Path) -> None:
    """Debian's numpy finds BLAS and LAPACK by links that an installation makes, and an unpacked one lacks."""
    for library in root.glob("usr/lib/*/*/lib*.so.3"):
        if library.parent.name in ("blas", "lapack"):
            (library.parent.parent / library.name).symlink_to(library.relative_to(library.parent.parent))


def own_architecture() -> str:
    """What Debian calls the architecture of this machine."""
    return subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=True).stdout.strip()


def _unpack(suite: str, architecture: str, packages: tuple[str, ...], root: Path) -> None:
    """Packages with all they depend on, from the mirror that apt is set to use, unpacked; nothing is installed."""
    state = CACHE / f"apt-{suite}-{architecture}"
    for name in ("lists/partial", "archives/partial"):
        (state / name).mkdir(parents=True, exist_ok=True)
    (state / "status").touch()
    (state / "sources.list").write_text(f"deb [arch={architecture} signed-by={_KEYRING}] {mirror()} {suite} main\n")
    options = {
        "Dir::State": state, "Dir::State::lists": state / "lists", "Dir::State::status": state / "status",
        "Dir::Cache": state, "Dir::Cache::archives": state / "archives",
        "Dir::Etc::sourcelist": state / "sources.list", "Dir::Etc::sourceparts": "/dev/null",
        "APT::Architecture": architecture, "APT::Architectures": architecture, "APT::Install-Recommends": "0",
        "APT::Sandbox::User": "root", "Debug::NoLocking": "1",
    }  # fmt: skip
    apt = ["apt-get", "-qq", *(word for key, value in options.items() for word in ("-o", f"{key}={value}"))]
    subprocess.run([*apt, "update"], check=True)
    subprocess.run([*apt, "install", "--download-only", "--yes", *packages], check=True, stdout=subprocess.DEVNULL)
    root.mkdir(parents=True, exist_ok=True)
    for archive in sorted((state / "archives").glob("*.deb")):
        subprocess.run(["dpkg-deb", "-x", archive, root], check=True)


def mirror() -> str:
    """Where this machine's apt gets Debian's packages."""
    words = ["apt-get", "indextargets", "--format", "$(ORIGIN) $(SITE)", "Created-By: Packages"]
    lines = subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()
    return next(site for origin, _, site in (line.partition(" ") for line in lines) if origin == "Debian")
