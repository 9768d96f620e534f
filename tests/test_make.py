"""What ``make demo`` installs: by the lock of this platform and Python, where there is one."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.builders import ROOT

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="no make here: apt install make")


def commands(python: str | Path) -> str:
    words = ["make", "--dry-run", "--always-make", "demo", f"PYTHON={python}"]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def standin(folder: Path, machine: str, libc: str) -> Path:
    """A Python like this one on another machine, as far as ``platform`` tells."""
    (folder / "sitecustomize.py").write_text(
        f"import platform\nplatform.machine = lambda: {machine!r}\nplatform.libc_ver = lambda: ({libc!r}, '')\n"
    )
    program = folder / "python"
    program.write_text(f'#!/bin/sh\nPYTHONPATH={folder} exec {sys.executable} "$@"\n')
    program.chmod(0o755)
    return program


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_demo_is_installed_by_the_lock_with_hashes(tmp_path: Path, machine: str) -> None:
    said = commands(standin(tmp_path, machine, "glibc"))
    lock = f"edge_runtime/deploy/locks/litert-{machine}-cp{sys.version_info[0]}{sys.version_info[1]}.txt"
    assert f"--require-hashes --only-binary :all: -r {lock}\n" in said and "--no-deps .\n" in said
    assert ".[litert]" not in said and "no lock" not in said


@pytest.mark.parametrize(("machine", "libc"), [("riscv64", "glibc"), ("x86_64", "")])
def test_without_a_lock_pip_chooses_and_a_line_says_so(tmp_path: Path, machine: str, libc: str) -> None:
    said = commands(standin(tmp_path, machine, libc))
    assert "make demo: no lock for this platform and Python" in said and ".[litert]" in said
    assert "--require-hashes" not in said
