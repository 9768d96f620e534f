"""The Debian package in its Debian: installed, used, upgraded, removed, installed again, purged: ``make deb-check``."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.arm.comparison import write_photos
from tests.debian.root import missing, prepare, run

OLDER = "0.0.1"
LIFECYCLE = Path(__file__).with_name("lifecycle.sh")


def faults(package: Path) -> list[str]:
    """The errors that lintian finds; without lintian nothing is found."""
    if not shutil.which("lintian"):
        return []
    done = subprocess.run(["lintian", "--tag-display-limit", "0", package], capture_output=True, text=True)
    return [line for line in done.stdout.splitlines() if line.startswith("E:")]


def write_older(package: Path, made: Path, work: Path) -> None:
    """An older version of the package, which has one file more."""
    subprocess.run(["dpkg-deb", "--raw-extract", package, work], check=True)
    control = work / "DEBIAN/control"
    lines = control.read_text().splitlines()
    control.write_text("\n".join(f"Version: {OLDER}" if line.startswith("Version:") else line for line in lines) + "\n")
    (work / "opt/familiar-edge/current/lib/only-in-the-older").write_text("")
    words = ["dpkg-deb", "--root-owner-group", "-Znone", "--build", work, made]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)


def live(package: Path, architecture: str, suite: str) -> int:
    """Everything that a person does with the package, in a copy of that Debian, a line a step; 0: as it must be."""
    root = prepare(architecture, suite)
    with tempfile.TemporaryDirectory(prefix="familiar-deb-check-") as folder:
        given = Path(folder) / "given"
        write_photos(given)
        write_older(package, given / "older.deb", Path(folder) / "tree")
        shutil.copy(package, given / "newer.deb")
        shutil.copy(LIFECYCLE, given / "lifecycle.sh")
        return run(root, architecture, "/bin/sh", "/run/given/lifecycle.sh", given=given)


def main() -> int:
    """Check one package; 0 if all is as it must be."""
    parser = argparse.ArgumentParser(prog="python -m tests.debian", description=__doc__)
    parser.add_argument("package", type=Path, help="made by make deb for that architecture and release")
    parser.add_argument("--architecture", default="arm64")
    parser.add_argument("--suite", default="trixie")
    args = parser.parse_args()
    if missing():
        sys.exit(f"make deb-check: {missing()}")
    if shutil.which("lintian"):
        found = faults(args.package)
        print("\n".join(found) or "lintian: no errors", flush=True)
        if found:
            return 1
    else:
        print("lintian is not here, so it was not asked")
    started = time.monotonic()
    prepare(args.architecture, args.suite)
    print(f"{time.monotonic() - started:.0f} s to unpack Debian {args.suite}, {args.architecture}", flush=True)
    return live(args.package.resolve(), args.architecture, args.suite)


if __name__ == "__main__":
    sys.exit(main())
