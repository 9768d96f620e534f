"""Look whether a lock holds, or pyproject.toml allows, a version that vulnerable.toml names; needs no network.

python .ci/audit.py
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from edge_runtime.deploy.wheels import pins

ROOT = Path(__file__).parent.parent
EXTRAS = ("litert", "tflite")


def advisories() -> list[dict[str, str]]:
    found: list[dict[str, str]] = tomllib.loads((ROOT / ".ci/vulnerable.toml").read_text())["advisory"]
    return found


def in_lock(text: str) -> list[str]:
    """What is wrong with one lock, one line each."""
    pinned = {canonicalize_name(pin.name): Version(pin.version) for pin in pins(text)}
    return [
        f"{one['package']} {pinned[one['package']]}: {one['id']}, {one['what']}"
        for one in advisories()
        if one["package"] in pinned and pinned[one["package"]] in SpecifierSet(one["affected"])
    ]


def allowed(requirements: list[str]) -> list[str]:
    """What requirements together allow of what must not be: the versions at the edges of each advisory are tried."""
    wanted: dict[str, SpecifierSet] = {}
    for requirement in map(Requirement, requirements):
        name = canonicalize_name(requirement.name)
        wanted[name] = wanted.get(name, SpecifierSet()) & requirement.specifier
    found = []
    for one in advisories():
        affected = SpecifierSet(one["affected"])
        edges = {Version(s.version) for s in [*affected, *wanted.get(one["package"], SpecifierSet())]}
        tried = edges | {Version(f"{edge}.1") for edge in edges}
        if one["package"] in wanted and (bad := [v for v in tried if v in affected and v in wanted[one["package"]]]):
            found.append(f"{one['package']}: {min(bad)} is allowed: {one['id']}, {one['what']}")
    return found


def main() -> int:
    """Print every finding; 1 if there is one."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    found = []
    for extra in EXTRAS:
        both = [*project["dependencies"], *project["optional-dependencies"][extra]]
        found += [f"pyproject.toml [{extra}]: {text}" for text in allowed(both)]
    for lock in sorted((ROOT / "edge_runtime/deploy/locks").glob("*.txt")):
        found += [f"{lock.name}: {text}" for text in in_lock(lock.read_text())]
    print("\n".join(found) or f"no version among {len(advisories())} advisories is locked or allowed")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
