"""Build the folder of the Home Assistant app (add-on): configuration, Dockerfile, wheel, locks and released bundle.

    python .ci/home_assistant_app.py --out dist/familiar

Copied to /addons on a Home Assistant OS, it is a local app, which the device itself builds into a container.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import tomllib
from pathlib import Path

from edge_runtime.bundle.folder import file_digest
from edge_runtime.deploy.payload import build_wheel
from edge_runtime.deploy.wheels import Target

ROOT = Path(__file__).parent.parent
TEMPLATES = ROOT / ".ci/home_assistant"
MACHINES = {"amd64": "x86_64", "aarch64": "aarch64"}
PYTHON = (3, 13)
"""That of the Dockerfile's first line."""


def build(out: Path) -> None:
    """Write the folder anew."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    shutil.rmtree(out, ignore_errors=True)
    (out / "wheels").mkdir(parents=True)
    with tempfile.TemporaryDirectory(prefix="familiar-app-") as work:
        wheel = Path(shutil.copy(build_wheel(ROOT, Path(work)), out / "wheels"))
    for machine, architecture in MACHINES.items():
        lock = Target(architecture, PYTHON, "litert").lock()
        if lock is None:
            sys.exit(f"app: expected a lock for {machine}, found none; see .ci/lock.py")
        own = f"familiar-edge=={wheel.name.split('-')[1]} --hash=sha256:{file_digest(wheel)[0]}\n"
        (out / f"lock-{machine}.txt").write_text(lock + own)
    shutil.copytree(ROOT / "models/released/default", out / "bundle")
    for name in ("Dockerfile", "start.py"):
        shutil.copy(TEMPLATES / name, out)
    shutil.copy(ROOT / "docs/home-assistant-app.md", out / "DOCS.md")
    (out / "config.yaml").write_text((TEMPLATES / "config.yaml").read_text().replace("VERSION", version))


def main() -> int:
    """Build, and say where it is."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=ROOT / "dist/familiar")
    args = parser.parse_args()
    build(args.out)
    size = sum(path.stat().st_size for path in args.out.rglob("*") if path.is_file())
    print(f"{args.out}: {size / 1e6:.1f} MB; copy it to /addons on the device")
    return 0


if __name__ == "__main__":
    sys.exit(main())
