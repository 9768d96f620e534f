"""Build the Debian package: runtime, locked packages, released bundle, unit, account, udev rule.

    python .ci/deb.py [--architecture arm64] [--suite trixie] [--out dist]

Built on any machine for any architecture that has a lock: wheels are unpacked, nothing is run.
"""

from __future__ import annotations

import argparse
import gzip
import shutil
import subprocess
import sys
import tempfile
import tomllib
from email.utils import formatdate
from pathlib import Path

from edge_runtime.deploy.layout import FIRST_CONFIGURATION, Layout, package_text
from edge_runtime.deploy.payload import build_wheel
from edge_runtime.deploy.wheels import Target, cache_folder, collect

ROOT = Path(__file__).parent.parent
TEMPLATES = ROOT / ".ci/debian"
NAME = "familiar-edge"
MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
PYTHONS = {"bookworm": (3, 11), "trixie": (3, 13)}
PREFIX = "/opt/familiar-edge"
WRITABLE_MODES = 0o022
COMPRESSIONS = {"xz": ("-Zxz",), "gzip": ("-Zgzip", "-z1")}


def install_packages(target: Target, place: Path, work: Path) -> None:
    """Unpack the wheels of the lock and the runtime's own, and take away what no device uses."""
    lock = target.lock()
    if lock is None:
        sys.exit(f"deb: expected a lock for {target}, found none; see .ci/lock.py")
    wheels = [*collect(target, lock, cache_folder()), build_wheel(ROOT, work / "wheel")]
    words = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-compile"]
    subprocess.run([*words, "--target", str(place), *target.pip_options(), *map(str, wheels)], check=True)
    shutil.rmtree(place / "bin", ignore_errors=True)
    for line in package_text("surplus.txt").splitlines():
        if line and not line.startswith("#"):
            for path in list(place.rglob(line[2:]) if line.startswith("*/") else place.glob(line)):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    for library in place.rglob("*.so*"):
        library.chmod(0o644)


def lay_out(tree: Path, target: Target, work: Path) -> None:
    """Everything of the package but DEBIAN/."""
    current = tree / PREFIX.lstrip("/") / "current"
    (current / "venv/bin").mkdir(parents=True)
    install_packages(target, current / "lib", work)
    shutil.copytree(ROOT / "models/released/default", current / "bundle")
    layout = Layout(prefix=PREFIX)
    (current / "familiar").write_text(layout.wrapper())
    (current / "venv/bin/familiar").write_text(
        f'#!/bin/sh\nexport PYTHONPATH={PREFIX}/current/lib\nexec /usr/bin/python3 -s -m edge_runtime "$@"\n'
    )
    for program in ("familiar", "venv/bin/familiar"):
        (current / program).chmod(0o755)
    files = {
        "usr/lib/systemd/system/familiar.service": layout.unit(["video", "plugdev"]).replace(
            "# Written by `familiar deploy`; every deployment writes it anew.", "# Of the package familiar-edge."
        ),
        "usr/lib/udev/rules.d/60-familiar-edge.rules": (TEMPLATES / "coral.rules").read_text(),
        "etc/familiar/familiar.toml": FIRST_CONFIGURATION,
        f"usr/share/doc/{NAME}/copyright": (TEMPLATES / "copyright").read_text(),
        f"usr/share/lintian/overrides/{NAME}": (TEMPLATES / "overrides").read_text(),
    }
    for name, text in files.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text)
    (tree / "usr/bin").mkdir(parents=True)
    (tree / "usr/bin/familiar").symlink_to(f"{PREFIX}/current/familiar")


def describe(tree: Path, version: str, architecture: str, target: Target) -> None:
    """DEBIAN/: control, maintainer scripts, conffiles, sums."""
    debian = tree / "DEBIAN"
    debian.mkdir()
    changelog = (
        f"{NAME} ({version}) unstable; urgency=low\n\n  * See CHANGELOG.md.\n\n -- {MAINTAINER}  {formatdate()}\n"
    )
    place = tree / f"usr/share/doc/{NAME}/changelog.gz"
    place.write_bytes(gzip.compress(changelog.encode(), 9, mtime=0))
    paths = [p for p in tree.rglob("*") if p.is_file() and not p.is_symlink() and debian not in p.parents]
    major, minor = target.python
    control = (TEMPLATES / "control").read_text().format(
        name=NAME, version=version, architecture=architecture, maintainer=MAINTAINER, major=major, minor=minor,
        next=minor + 1, size=sum(path.stat().st_size for path in paths) // 1024,
    )  # fmt: skip
    (debian / "control").write_text(control)
    (debian / "conffiles").write_text("/etc/familiar/familiar.toml\n")
    for script in ("postinst", "prerm", "postrm"):
        shutil.copy(TEMPLATES / script, debian / script)
        (debian / script).chmod(0o755)
    listed = [str(path.relative_to(tree)) for path in sorted(paths) if path.relative_to(tree).parts[0] != "etc"]
    sums = subprocess.run(["md5sum", *listed], cwd=tree, capture_output=True, text=True, check=True)
    (debian / "md5sums").write_text(sums.stdout)


MAINTAINER = "The Familiar project <familiar@localhost.localdomain>"


def main() -> int:
    """Build one package and print its place."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--architecture", choices=MACHINES, default="arm64")
    parser.add_argument("--suite", choices=PYTHONS, default="trixie", help="Debian's release; it decides the Python")
    parser.add_argument("--out", type=Path, default=ROOT / "dist")
    parser.add_argument("--revision", default="1", help="of the package, for the same runtime")
    parser.add_argument("--compression", choices=COMPRESSIONS, default="xz", help="gzip: larger, in seconds")
    args = parser.parse_args()
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    full = f"{version}+{args.suite}{args.revision}"
    target = Target(MACHINES[args.architecture], PYTHONS[args.suite], "litert")
    args.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="familiar-deb-") as work:
        tree = Path(work) / "tree"
        tree.mkdir(mode=0o755)
        lay_out(tree, target, Path(work))
        describe(tree, full, args.architecture, target)
        for path in tree.rglob("*"):
            if not path.is_symlink():
                path.chmod(path.stat().st_mode & ~WRITABLE_MODES)
        made = args.out / f"{NAME}_{full}_{args.architecture}.deb"
        words = ["dpkg-deb", "--root-owner-group", *COMPRESSIONS[args.compression], "--build", str(tree), str(made)]
        subprocess.run(words, check=True)
    print(f"{made}: {made.stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
