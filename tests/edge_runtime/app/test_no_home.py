"""Where there is no home, no account and no terminal: it works or says so in a line, and litters no folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.builders import ROOT

COMMANDS = (
    "people list", "config check", "config show", "events", "status", "doctor", "calibrate", "strangers",
    "gallery show", "enroll Ada missing.jpg", "run",
)  # fmt: skip
Done = subprocess.CompletedProcess[str]
CODES = (0, 1, 3, 4, 8, 11, 14)


def familiar(folder: Path, command: str, as_nobody: bool = False, **environment: str) -> Done:
    """The command with this environment and no other; ``as_nobody`` as a user without an account and a home."""
    other = ["unshare", "--user", "--map-user=12345", "--map-group=12345"] if as_nobody else []
    return subprocess.run(
        [*other, sys.executable, "-m", "edge_runtime", *command.split()],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **environment},
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )


def lines_are_plain(done: Done) -> None:
    assert done.returncode in CODES, done.stderr[-500:]
    assert "Traceback" not in done.stderr and "a fault of this program" not in done.stderr, done.stderr[-500:]
    assert all(line.startswith("familiar") for line in done.stderr.splitlines()), done.stderr


@pytest.fixture
def needs_namespaces(tmp_path: Path) -> None:
    done = subprocess.run(["unshare", "--user", "--map-user=12345", "true"], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"needs user namespaces, for a user without an account: {done.stderr.strip()}")


@pytest.mark.usefixtures("needs_namespaces")
def test_a_user_without_account_and_home_gets_a_line_each(tmp_path: Path) -> None:
    for command in COMMANDS:
        lines_are_plain(familiar(tmp_path, command, as_nobody=True))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("needs_namespaces")
def test_a_container_runs_on_its_documented_variables_alone(tmp_path: Path, visit_clip: str) -> None:
    (tmp_path / "f.toml").write_text(f'[camera.front]\nsource = "{visit_clip}"\n')
    places = {
        "FAMILIAR_CONFIG": str(tmp_path / "f.toml"),
        "FAMILIAR_STATE": str(tmp_path / "state"),
        "FAMILIAR_DEVICE_KEY": "07" * 32,
    }
    done = familiar(tmp_path, "run", as_nobody=True, **places)
    assert done.returncode == 0 and '"appeared"' in done.stdout, done.stderr[-500:]
    lines_are_plain(done)


def test_relative_places_are_passed_over(tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path / "home")}
    relative = {"XDG_CONFIG_HOME": "conf", "XDG_STATE_HOME": "../state", "XDG_RUNTIME_DIR": "run"}
    for command in COMMANDS:
        lines_are_plain(done := familiar(tmp_path, command, **home, **relative))
    assert "conf" not in [path.name for path in tmp_path.iterdir()] and not (tmp_path.parent / "state").exists()
    done = familiar(tmp_path, "status", **home, **relative)
    assert str(tmp_path / "home/.local/state/familiar/control.sock") in done.stderr
    lines_are_plain(familiar(tmp_path, "people list", HOME="somewhere"))


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-", "| head -n 0", "| true", ">/dev/full"])
def test_streams_that_are_closed_full_or_gone_are_no_traceback(tmp_path: Path, closed: str) -> None:
    for command in ("config schema", "people list", "config check"):
        done = subprocess.run(
            ["sh", "-c", f'"$0" -m edge_runtime {command} {closed}', sys.executable],
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr, done.stderr
        assert len(done.stderr.splitlines()) <= 1, done.stderr
