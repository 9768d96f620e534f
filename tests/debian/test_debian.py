"""The Debian package of this machine's architecture, where ``make deb-check`` has unpacked a Debian for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.arm.root import own_architecture
from tests.builders import ROOT
from tests.debian.__main__ import faults, live
from tests.debian.root import missing, prepared

pytestmark = [pytest.mark.serial, pytest.mark.skipif(bool(missing()), reason=missing())]


def test_the_package_lives_and_leaves_nothing(tmp_path: Path) -> None:
    if not prepared(own_architecture(), "trixie"):
        pytest.skip(f"needs an unpacked Debian: make deb-check ARCHITECTURE={own_architecture()}")
    words = [sys.executable, ROOT / ".ci/deb.py", "--architecture", own_architecture(), "--compression", "gzip"]
    subprocess.run([*words, "--out", tmp_path], check=True)
    (package,) = tmp_path.glob("*.deb")
    assert faults(package) == []
    assert live(package, own_architecture(), "trixie") == 0
