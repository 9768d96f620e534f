"""What is sent: a folder with the wheel, the bundle, the configuration, the unit, and the sums of them all."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from edge_runtime.bundle.arrival import RELEASED
from edge_runtime.bundle.folder import Bundle, file_digest
from edge_runtime.bundle.manifest import MANIFEST
from edge_runtime.deploy.layout import FIRST_CONFIGURATION, Layout, package_text
from edge_runtime.errors import DeployError, InputError

_SUMS = "SHA256SUMS"
_REUSE = "REUSE"
_REUSABLE = re.compile(r"[A-Za-z0-9_+][A-Za-z0-9._+-]*(/[A-Za-z0-9_+][A-Za-z0-9._+-]*)?\Z")
"""Names that a shell script reads as they are, of the release or of one folder in it."""
_DISTRIBUTION = "familiar-edge"
_EARLIEST_OF_ZIP = "315532800"
"""1980 began then, in seconds since 1970."""


@dataclass(frozen=True)
class Payload:
    """A folder ready to be sent.

    Attributes:
        folder: what becomes the release.
        sums: sha256 (hex) of its ``SHA256SUMS``, which lists every other file.
        size: bytes of all files.
    """

    folder: Path
    sums: str
    size: int

    def release_id(self, now: datetime) -> str:
        """``20250131T120000Z-1a2b3c4d``: names sort by age, and the same content shows."""
        return f"{now:%Y%m%dT%H%M%SZ}-{self.sums[:8]}"


def leave_out(payload: Payload, files: Iterable[tuple[str, str]]) -> Payload:
    """The same payload without what the device has already; it is told where to take that from.

    Args:
        payload: is changed.
        files: sha256 (hex) and name of each file of the release in use, as the device says. The device checks every
            sum again.
    """
    there = {digest: name for digest, name in files if _REUSABLE.match(name)}
    lines, spared = [], 0
    for line in (payload.folder / _SUMS).read_text().splitlines():
        digest, name = line[:64], line[66:]
        own = payload.folder / name
        if digest in there and _REUSABLE.match(name) and name != "install.sh":
            lines.append(f"{name} {there[digest]}\n")
            spared += own.stat().st_size
            own.unlink()
    if lines:
        (payload.folder / _REUSE).write_text("".join(lines))
    return Payload(payload.folder, payload.sums, payload.size - spared)


def find_checkout() -> Path | None:
    """The checkout this package runs from; None: it is installed."""
    root = Path(__file__).parents[2]
    project = root / "pyproject.toml"
    if project.is_file() and tomllib.loads(project.read_text()).get("project", {}).get("name") == _DISTRIBUTION:
        return root
    return None


def build_wheel(checkout: Path, folder: Path, released: bool = False) -> Path:
    """Build the wheel of a checkout into ``folder``.

    Args:
        checkout: of this project.
        folder: for the wheel; it is made.
        released: with the released bundle, as pip builds it; a deployment sends its bundle beside the wheel.

    Raises:
        DeployError: pip could not build it.
    """
    # From a copy, because setuptools leaves a build folder behind and packs what an older build left in it.
    source = folder / "source"
    source.mkdir(parents=True)
    shutil.copytree(
        checkout / "edge_runtime",
        source / "edge_runtime",
        ignore=shutil.ignore_patterns("__pycache__", ".*", *([] if released else [RELEASED.name])),
    )
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(checkout / name, source)
    words = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps"]
    # The same code is the same wheel, to the byte, and need not be sent again.
    environment = {**os.environ, "SOURCE_DATE_EPOCH": _EARLIEST_OF_ZIP}
    words += ["--wheel-dir", str(folder), str(source)]
    done = subprocess.run(words, capture_output=True, text=True, env=environment)
    shutil.rmtree(source)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise DeployError(
            f"pip could not build the wheel ({said[-1] if said else 'it said nothing'}); use --wheel FILE"
        )
    return wheels[0]


def check_wheel(path: Path) -> Path:
    """A wheel of this project.

    Raises:
        InputError: another file.
    """
    if not path.name.startswith("familiar_edge-") or not zipfile.is_zipfile(path):
        raise InputError(
            f"{path}: expected a wheel named familiar_edge-….whl, found another file; name one of pip wheel"
        )
    return path


def make_payload(
    folder: Path,
    wheel: Path,
    bundle: Bundle,
    layout: Layout,
    groups: Iterable[str],
    configuration: Path | None = None,
    wheelhouse: Path | None = None,
    lock: str | None = None,
    photos: Sequence[Path] = (),
) -> Payload:
    """Lay out a release.

    Args:
        folder: to fill; it is made.
        wheel: of the runtime.
        bundle: checked; only what its manifest lists is sent.
        layout: of the device.
        groups: for the unit.
        configuration: checked; None: the device keeps its own, or gets a first one.
        wheelhouse: every wheel the device needs; None: it asks its own package index.
        lock: what of them to install, with hashes; None: what pip chooses.
        photos: of people enrolled, for making their embeddings again.

    Raises:
        InputError: a wheelhouse without wheels.
    """
    (folder / "bundle").mkdir(parents=True)
    shutil.copy(wheel, folder)
    for name in (MANIFEST, *bundle.manifest.files):
        shutil.copy(bundle.path / name, folder / "bundle")
    if (bundle.path / "manifest.sig").is_file():
        shutil.copy(bundle.path / "manifest.sig", folder / "bundle")
    if configuration:
        shutil.copy(configuration, folder / "familiar.toml")
    else:
        (folder / "first.toml").write_text(FIRST_CONFIGURATION)
    if wheelhouse:
        _copy_wheels(wheelhouse, folder / "wheelhouse")
    if lock:
        version, digest = wheel.name.split("-")[1], file_digest(wheel)[0]
        (folder / "lock.txt").write_text(f"{lock}{_DISTRIBUTION}=={version} --hash=sha256:{digest}\n")
    if photos:
        (folder / "photos").mkdir()
        for number, photo in enumerate(photos):
            shutil.copy(photo, folder / "photos" / f"{number}{photo.suffix.lower()}")
    (folder / "surplus.txt").write_text(package_text("surplus.txt"))
    (folder / "familiar.service").write_text(layout.unit(groups))
    (folder / "install.sh").write_text(package_text("install.sh"))
    wrapper = folder / "familiar"
    wrapper.write_text(layout.wrapper())
    wrapper.chmod(0o755)
    return _sealed(folder)


def _copy_wheels(source: Path, target: Path) -> None:
    wheels = sorted(source.glob("*.whl"))
    if not wheels:
        raise InputError(f"{source}: expected a folder with wheels, found none; make one with pip download")
    target.mkdir()
    for wheel in wheels:
        shutil.copy(wheel, target)


def _sealed(folder: Path) -> Payload:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    digests = [(path.relative_to(folder).as_posix(), *file_digest(path)) for path in paths]
    (folder / _SUMS).write_text("".join(f"{digest}  {name}\n" for name, digest, _ in digests))
    sums, size = file_digest(folder / _SUMS)
    return Payload(folder, sums, size + sum(count for _, _, count in digests))
