"""What root does before the service starts, the service can use: files belong to whom the state folder does."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge_runtime.deploy.layout import Layout
from tests.builders import ROOT, draw_face
from tests.edge_runtime.commands.test_people import write

SERVICE = 12345
Run = subprocess.CompletedProcess[str]
As = Callable[..., Run]

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs to run as root")


@pytest.fixture
def device() -> Iterator[Path]:
    """Folders of a device, where every account may go: state and configuration, as a deployment leaves them."""
    folder = Path(tempfile.mkdtemp(prefix="familiar-root-"))
    folder.chmod(0o755)
    for name, mode, uid in (("state", 0o700, SERVICE), ("etc/familiar", 0o750, 0), ("run", 0o755, SERVICE)):
        (folder / name).mkdir(parents=True, mode=mode)
        os.chown(folder / name, uid, SERVICE)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def familiar(device: Path, tiny_bundle: Path) -> As:
    shutil.copytree(tiny_bundle, device / "bundle")
    for path in (device / "bundle", *(device / "bundle").iterdir()):
        path.chmod(0o755)
    places = {
        "FAMILIAR_STATE": f"{device}/state", "XDG_CONFIG_HOME": f"{device}/etc", "RUNTIME_DIRECTORY": f"{device}/run",
        "FAMILIAR_BUNDLE_PATH": f"{device}/bundle",
        "PYTHONPATH": f"{ROOT}:{sysconfig.get_path('purelib')}", "PYTHONDONTWRITEBYTECODE": "1",
        "PATH": os.defpath, "OMP_NUM_THREADS": "1",
    }  # fmt: skip

    # Of one that was built in a home folder no other account may run the program.
    version = "python{}.{}".format(*sys.version_info)
    python = shutil.which(version, path=os.defpath) or sys.executable

    def run(uid: int, *words: str | Path) -> Run:
        account = {"user": uid, "group": uid, "extra_groups": []} if uid else {}
        command = [python, "-m", "edge_runtime", *map(str, words)]
        try:
            return subprocess.run(command, env=places, cwd="/", capture_output=True, text=True, **account)  # type: ignore[call-overload,no-any-return]
        except PermissionError:
            pytest.skip("needs a Python that every account may run")

    if uid_cannot_import(run):
        pytest.skip("needs a checkout that every account may read")
    return run


def uid_cannot_import(run: As) -> bool:
    return "Errno 13" in (said := run(SERVICE, "--version").stderr) or "No module named" in said


def owners(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_uid for path in folder.rglob("*") if path.is_file()}


def test_what_root_enrols_the_service_can_read(familiar: As, device: Path) -> None:
    write(device / "ada.png", draw_face(0))
    write(device / "bob.png", draw_face(1))
    for words in (
        ("enroll", "Ada", device / "ada.png"),
        ("enroll", "Bob", device / "bob.png", "--force"),
        ("people", "forget", "Bob", "--yes"),
        ("token", "add", "phone"),
        ("gallery", "rekey"),
        ("run", "--camera", "front=synthetic:fps=10", "--set", "strangers.remember=true"),
    ):
        done = familiar(0, *words)
        assert done.returncode == 0, (words, done.stderr)
    assert {name: uid for name, uid in owners(device / "state").items() if uid != SERVICE} == {}
    assert owners(device / "etc") == {"device.key": SERVICE}
    assert {"gallery.db", "gallery.db.forgotten", "events.db", "strangers.db", "tokens.json"} <= {
        *owners(device / "state")
    }
    for words in (("people", "list"), ("token", "list"), ("events", "--raw"), ("strangers",)):
        done = familiar(SERVICE, *words)
        assert done.returncode == 0, (words, done.stderr)
    assert "Ada" in familiar(SERVICE, "people", "list").stdout


def test_a_token_that_root_removes_leaves_the_file_the_services(familiar: As, device: Path) -> None:
    assert familiar(SERVICE, "token", "add", "phone").returncode == 0
    assert familiar(0, "token", "add", "tablet").returncode == 0
    assert familiar(SERVICE, "token", "list").stdout.count("\n") == 2


def test_a_file_of_roots_in_the_services_folder_is_one_line_with_the_command(familiar: As, device: Path) -> None:
    watch = ("run", "--camera", "front=synthetic:fps=10")
    write(device / "ada.png", draw_face(0))
    for words in (("enroll", "Ada", device / "ada.png"), ("token", "add", "phone"), watch):
        assert familiar(0, *words).returncode == 0
    for file, words in {
        "gallery.db": ("people", "list"),
        "events.db": ("events",),
        "tokens.json": ("token", "list"),
        "gallery.db.lock": watch,
    }.items():
        os.chown(device / "state" / file, 0, 0)
        done = familiar(SERVICE, *words)
        assert done.returncode not in (0, 1) and done.stderr.count("\n") == 1, done.stderr
        command = f"sudo chown {SERVICE} {device}/state/{file}"
        assert done.stderr.rstrip().endswith(command) or f"{command}, or set" in done.stderr
        os.chown(device / "state" / file, SERVICE, SERVICE)  # what the command does
        assert familiar(SERVICE, *words).returncode == 0


def test_a_state_folder_that_is_gone_comes_back_as_the_services(tmp_path: Path) -> None:
    wrapper = tmp_path / "release/familiar"
    (tmp_path / "release/venv/bin").mkdir(parents=True)
    (tmp_path / "release/venv/bin/familiar").write_text("#!/bin/sh\n")
    wrapper.write_text(Layout(root=str(tmp_path), user="nobody").wrapper())
    for path in (wrapper, tmp_path / "release/venv/bin/familiar"):
        path.chmod(0o755)
    subprocess.run([wrapper, "people"], check=True, env={"PATH": os.defpath})
    state = (tmp_path / "var/lib/familiar").stat()
    nobody = int(subprocess.run(["id", "-u", "nobody"], capture_output=True, text=True, check=True).stdout)
    assert (state.st_uid, state.st_mode & 0o777) == (nobody, 0o700)
