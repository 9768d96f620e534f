"""Write the locks of edge_runtime/deploy/locks: what a device gets, for each platform and Python, with hashes.

    python .ci/lock.py

Asks the package index that pip is set to use. A platform whose wheels the index does not all have gets no lock, and
the last lines say why. Commit what it writes after the tests have passed.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

from edge_runtime.deploy.wheels import OUTPUTS, Target

ROOT = Path(__file__).parent.parent
LOCKS = ROOT / "edge_runtime/deploy/locks"
TARGETS = [
    *(Target(machine, (3, minor), "litert") for machine in ("aarch64", "x86_64") for minor in (11, 12, 13)),
    *(Target(machine, (3, 11), "tflite") for machine in ("armv7l", "x86_64")),
]


def requirements(target: Target) -> list[str]:
    """What pyproject.toml asks for on that platform."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    environment = {
        "platform_machine": target.architecture,
        "python_version": f"{target.python[0]}.{target.python[1]}",
        "sys_platform": "linux",
    }
    extras = (target.extra, *OUTPUTS)
    asked = [one for extra in extras for one in project["optional-dependencies"][extra]]
    found = map(Requirement, [*project["dependencies"], *asked])
    return [f"{r.name}{r.specifier}" for r in found if r.marker is None or r.marker.evaluate(environment)]


def write_lock(target: Target) -> str:
    """Write one lock; returns what went wrong, or nothing."""
    words = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed"]
    words += ["--report", "-", "--target", "unused", *target.pip_options(), *requirements(target)]
    done = subprocess.run(words, capture_output=True, text=True)
    place = LOCKS / target.lock_name
    if done.returncode:
        place.unlink(missing_ok=True)
        return next(line for line in reversed(done.stderr.splitlines()) if line.startswith("ERROR"))
    lines = [f"# {target}: written by make lock\n"]
    for item in sorted(json.loads(done.stdout)["install"], key=lambda item: item["metadata"]["name"].lower()):
        meta = item["metadata"]
        digest = item["download_info"]["archive_info"]["hashes"]["sha256"]
        lines.append(f"{meta['name'].lower()}=={meta['version']} --hash=sha256:{digest}\n")
    place.write_text("".join(lines))
    return ""


def main() -> int:
    """Write them all; 1 if an expected one could not be written."""
    LOCKS.mkdir(exist_ok=True)
    failed = {target: why for target in TARGETS if (why := write_lock(target))}
    for target, why in failed.items():
        print(f"no lock for {target}: {why}", file=sys.stderr)
    # The index has no wheels of numpy, OpenCV and Pillow for 32-bit ARM.
    return int(any(target.architecture != "armv7l" for target in failed))


if __name__ == "__main__":
    sys.exit(main())
