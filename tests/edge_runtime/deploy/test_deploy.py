"""The parts of a deployment that need no device; tests/e2e/test_deploy.py has the rest."""

from __future__ import annotations

import dataclasses
import getpass
import os
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from edge_runtime.config import load_config
from edge_runtime.deploy.connection import Connection, relay
from edge_runtime.deploy.deployment import Request, Steps, deploy
from edge_runtime.deploy.facts import Facts, Python
from edge_runtime.deploy.layout import FIRST_CONFIGURATION, Layout, package_text
from edge_runtime.deploy.payload import check_wheel, make_payload
from edge_runtime.errors import BundleError, DeployError, InputError, UsageError
from tests.builders import ROOT, make_bundle

SCRIPT = ROOT / "edge_runtime/deploy/install.sh"


def make_facts(*pythons: str, **changes: object) -> Facts:
    """A Raspberry Pi with Raspberry Pi OS bookworm."""
    facts = Facts(
        architecture="aarch64",
        system="Debian GNU/Linux 12 (bookworm)",
        pythons=tuple(Python.parse(text) for text in pythons or ("3.11 64 venv - /usr/bin/python3",)),
        free_mb=8000,
        memory_mb=3800,
        rights="sudo",
        writable=False,
        systemd=True,
        groups=("video", "plugdev"),
        cameras=("/dev/video0",),
        current="",
        configuration="no",
    )
    return dataclasses.replace(facts, **changes)


def test_no_facts() -> None:
    with pytest.raises(DeployError, match="'architecture' is missing"):
        Facts.parse([])


def test_this_machine_tells_its_facts(tmp_path: Path) -> None:
    done = subprocess.run(
        ["sh", SCRIPT, "look", "--root", tmp_path, "--user", getpass.getuser()], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    lines = [line.removeprefix("fact ").partition("=") for line in done.stdout.splitlines()]
    facts = Facts.parse([(name, value) for name, _, value in lines])
    assert facts.architecture == os.uname().machine
    assert facts.memory_mb > 100
    assert facts.free_mb == pytest.approx(shutil.disk_usage(tmp_path).free >> 20, rel=0.05)
    assert (facts.writable, facts.systemd, facts.current, facts.configuration) == (True, False, "", "no")
    assert facts.elevation(on_terminal=False) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("pythons", "path", "extra"),
    [
        (["3.11 64 venv - /usr/bin/python3"], "/usr/bin/python3", "litert"),
        (["3.13 64 venv - /usr/bin/python3"], "/usr/bin/python3", "litert"),
        (["3.9 64 venv - /usr/bin/python3", "3.12 64 venv - /opt/my python"], "/opt/my python", "litert"),
        (["3.12 64 venv home /home/pi/python3", "3.11 64 venv - /usr/bin/python3"], "/usr/bin/python3", "litert"),
        (["3.13 64 - - /usr/bin/python3", "3.12 64 venv home /home/pi/p"], "/home/pi/p", "litert"),
        (["3.11 32 venv - /usr/bin/python3"], "/usr/bin/python3", "tflite"),
        (["3.13 32 venv - /usr/bin/python3", "3.11 32 venv - /usr/bin/python3.11"], "/usr/bin/python3.11", "tflite"),
    ],
)
def test_choice_of_python(pythons: list[str], path: str, extra: str) -> None:
    facts = make_facts(*pythons)
    assert (facts.python().path, facts.extra()) == (path, extra)


@pytest.mark.parametrize(
    ("pythons", "message"),
    [
        (["3.9 64 venv - /usr/bin/python3"], "expected Python 3.11 to 3.13, found 3.9"),
        (["3.14 64 venv - /usr/bin/python3"], "expected Python 3.11 to 3.13, found 3.14"),
        (["3.13 32 venv - /usr/bin/python3"], "expected Python 3.11 on a 32-bit system, found 3.13"),
        (["3.11 64 - - /usr/bin/python3"], "run there: sudo apt install python3-venv"),
    ],
)
def test_no_python(pythons: list[str], message: str) -> None:
    with pytest.raises(DeployError, match=message):
        make_facts(*pythons).python()


def test_no_python_at_all() -> None:
    with pytest.raises(DeployError, match=r"expected Python 3.11 to 3.13, found none"):
        make_facts(pythons=()).python()


@pytest.mark.parametrize(
    ("rights", "writable", "systemd", "on_terminal", "words"),
    [
        ("root", True, True, False, []),
        ("sudo", False, True, False, ["sudo", "-n", "-H"]),
        ("password", False, True, True, ["sudo", "-H"]),
        ("none", True, False, False, []),
        ("password", True, False, False, []),
    ],
)
def test_rights(rights: str, writable: bool, systemd: bool, on_terminal: bool, words: list[str]) -> None:
    facts = make_facts(rights=rights, writable=writable, systemd=systemd)
    assert facts.elevation(on_terminal) == words


@pytest.mark.parametrize(
    ("rights", "writable", "message"),
    [("password", False, "no terminal to ask on"), ("none", False, "log in as"), ("none", True, "log in as")],
)
def test_missing_rights(rights: str, writable: bool, message: str) -> None:
    with pytest.raises(DeployError, match=message):
        make_facts(rights=rights, writable=writable).elevation(on_terminal=False)


def test_a_full_disk() -> None:
    make_facts().check_room(100)
    with pytest.raises(DeployError, match="expected 800 MB free on the device, found 700"):
        make_facts(free_mb=700).check_room(100)


def test_warnings() -> None:
    assert make_facts().warnings() == []
    assert len(make_facts(memory_mb=300, cameras=()).warnings()) == 2


@pytest.mark.parametrize(
    "path", ["", "opt", "/", "/opt/a b", "/opt/$(id)", "/opt/../etc", "/opt/x\n/y", "/opt/x/", "/%h"]
)
def test_unsafe_places(path: str) -> None:
    with pytest.raises(UsageError, match="--prefix"):
        Layout(prefix=path)
    if path:
        with pytest.raises(UsageError, match="--root"):
            Layout(root=path)


@pytest.mark.parametrize("user", ["", "-x", "a b", "root;id", "Pi"])
def test_unsafe_accounts(user: str) -> None:
    with pytest.raises(UsageError, match="--user"):
        Layout(user=user)


def test_unit() -> None:
    unit = Layout(prefix="/srv/f", user="eyes").unit(["video"])
    assert "ExecStart=/srv/f/current/familiar run\n" in unit
    assert "User=eyes\nSupplementaryGroups=video\n" in unit
    assert not re.search("@[A-Z]+@", unit)
    assert "SupplementaryGroups=" not in Layout().unit([])


needs_systemd = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze (systemd)")


@needs_systemd
def test_the_unit_exposes_as_little_as_the_docs_say(tmp_path: Path) -> None:
    unit = tmp_path / "familiar.service"
    unit.write_text(Layout().unit(["video", "plugdev"]))
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", unit], capture_output=True, text=True
    )
    found = re.search(r"Overall exposure level for familiar.service: (\d+\.\d+)", done.stdout)
    assert found is not None, done.stdout[-300:] + done.stderr
    said = re.search(r"`systemd-analyze security[^`]*` says (\d+\.\d+)", (ROOT / "docs/deploy.md").read_text())
    assert said is not None and said[1] == found[1]
    assert float(found[1]) <= 1.5


@needs_systemd
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    program = tmp_path / "opt/current/familiar"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit = tmp_path / "familiar.service"
    unit.write_text(Layout(prefix=str(tmp_path / "opt")).unit(["video"]))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_daemon_needs_no_memory_that_is_written_and_executed(tmp_path: Path) -> None:
    """As the unit has it (MemoryDenyWriteExecute): the kernel's own switch, PR_SET_MDWE of prctl(2)."""
    program = (
        "import ctypes, mmap, sys\n"
        "if ctypes.CDLL(None).prctl(65, ctypes.c_ulong(1), 0, 0, 0): sys.exit(77)\n"
        "try: mmap.mmap(-1, 4096, prot=mmap.PROT_WRITE | mmap.PROT_EXEC)\n"
        "except PermissionError: pass\n"
        "else: sys.exit('it was not refused')\n"
        "from edge_runtime.app.command_line import main\n"
        "sys.exit(main(['run', '--self-test', '--camera', 'front=synthetic:']))\n"
    )
    places = dict.fromkeys(("HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR"), str(tmp_path))
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **places, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    if done.returncode == 77:
        pytest.skip("needs Linux 6.3, for PR_SET_MDWE")
    assert done.returncode == 0 and "self-test passed" in done.stdout, done.stderr[-500:]


def test_wrapper_uses_its_own_release_and_the_systems_places(tmp_path: Path) -> None:
    release = tmp_path / "releases/1"
    (release / "venv/bin").mkdir(parents=True)
    program = release / "venv/bin/familiar"
    program.write_text('#!/bin/sh\necho "$*"\nenv\n')
    (release / "familiar").write_text(Layout(root=str(tmp_path / "r"), user=getpass.getuser()).wrapper())
    for path in (program, release / "familiar"):
        path.chmod(0o755)
    (tmp_path / "link").symlink_to(release / "familiar")
    done = subprocess.run(
        [tmp_path / "link", "run", "a b"], capture_output=True, text=True, check=True, env={"PATH": os.defpath}
    )
    words, *environment = done.stdout.splitlines()
    assert words == "run a b"
    assert {
        f"XDG_CONFIG_HOME={tmp_path}/r/etc",
        f"FAMILIAR_STATE={tmp_path}/r/var/lib/familiar",
        f"RUNTIME_DIRECTORY={tmp_path}/r/run/familiar",
        f"FAMILIAR_BUNDLE_PATH={release}/bundle",
    } <= set(environment)


def test_first_configuration_is_sound(tmp_path: Path) -> None:
    (tmp_path / "familiar.toml").write_text(FIRST_CONFIGURATION)
    config = load_config(tmp_path / "familiar.toml", environ={})
    assert [str(camera.source) for camera in config.camera.values()] == ["v4l2:0"]


@pytest.mark.parametrize("name", ["install.sh", "familiar.sh"])
@pytest.mark.skipif(not shutil.which("shellcheck"), reason="needs shellcheck")
def test_scripts_are_clean(name: str) -> None:
    done = subprocess.run(["shellcheck", "-"], input=package_text(name), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    "name", [".ci/debian/postinst", ".ci/debian/prerm", ".ci/debian/postrm", "tests/debian/lifecycle.sh"]
)
@pytest.mark.skipif(not shutil.which("shellcheck"), reason="needs shellcheck")
def test_scripts_of_the_debian_package_are_clean(name: str) -> None:
    done = subprocess.run(["shellcheck", ROOT / name], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("host", ["", "-oProxyCommand=id", "pi@host; id", "pi@$(id)", "pi@host\n", "a b"])
def test_no_host(host: str) -> None:
    with pytest.raises(UsageError, match="expected USER@HOST"):
        Connection(host)


def test_payload(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "bundle")
    (bundle.path / ".notes").write_text("not of the bundle")
    wheel = tmp_path / "familiar_edge-1-py3-none-any.whl"
    wheel.write_bytes(b"wheel")
    payload = make_payload(tmp_path / "release", wheel, bundle, Layout(), ["video"])
    files = {path.relative_to(payload.folder).as_posix() for path in payload.folder.rglob("*") if path.is_file()}
    assert files == {
        *("SHA256SUMS", "familiar", "familiar.service", "first.toml", "install.sh", "surplus.txt", wheel.name),
        *(f"bundle/{name}" for name in ("manifest.json", *bundle.manifest.files)),
    }
    assert os.access(payload.folder / "familiar", os.X_OK)
    checked = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=payload.folder, capture_output=True, text=True)
    assert (checked.returncode, checked.stdout.count(": OK")) == (0, len(files) - 1)
    assert payload.release_id(datetime(2025, 1, 31, 12, tzinfo=UTC)) == f"20250131T120000Z-{payload.sums[:8]}"


def test_payload_with_configuration_and_wheels(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "bundle")
    wheel, configuration, wheels = tmp_path / "familiar_edge-1.whl", tmp_path / "my.toml", tmp_path / "wheels"
    wheel.write_bytes(b"wheel")
    configuration.write_text("[camera.a]\n")
    wheels.mkdir()
    with pytest.raises(InputError, match="found none"):
        make_payload(tmp_path / "none", wheel, bundle, Layout(), [], configuration, wheels)
    (wheels / "numpy.whl").write_bytes(b"numpy")
    payload = make_payload(tmp_path / "release", wheel, bundle, Layout(), [], configuration, wheels)
    assert (payload.folder / "familiar.toml").read_text() == "[camera.a]\n"
    assert not (payload.folder / "first.toml").exists()
    assert (payload.folder / "wheelhouse/numpy.whl").read_bytes() == b"numpy"


def test_what_is_no_wheel(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="familiar_edge"):
        check_wheel(tmp_path / "familiar_edge-1.whl")


def test_what_is_wrong_here_is_told_before_any_connection(tmp_path: Path) -> None:
    unreachable = Request("nobody@host.invalid", tmp_path / "bundle")
    with pytest.raises(BundleError, match="expected a bundle"):
        deploy(unreachable)
    make_bundle(tmp_path / "bundle")
    with pytest.raises(InputError, match="expected a wheel"):
        deploy(dataclasses.replace(unreachable, wheel=tmp_path / "other.whl"))
    with pytest.raises(InputError, match="folder with wheels"):
        deploy(dataclasses.replace(unreachable, wheelhouse=tmp_path / "none"))


def relayed(*chunks: bytes, echo: bool = False) -> list[tuple[str, str]]:
    """What ``relay`` makes of bytes that arrive piece by piece."""
    lines: list[tuple[str, str]] = []
    reader, writer = os.pipe()
    pending = list(chunks)

    def line(kind: str, text: str) -> None:
        if kind != "tick":
            lines.append((kind, text))
        elif pending:
            os.write(writer, pending.pop(0))
        else:
            os.close(writer)

    try:
        relay(reader, line, echo, tick_s=0.01)
    finally:
        os.close(reader)
    return lines


def test_lines_of_the_device() -> None:
    assert relayed() == []
    assert relayed(b"step on", b"e\nfact a=b\n\r\nodd\twords \x1b[2J\r\nfa", b"il why") == [
        ("step", "one"),
        ("fact", "a=b"),
        ("log", "odd words \\x1b[2J"),
        ("fail", "why"),
    ]


def test_a_question_is_shown_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    lines = relayed(b"[sudo] password for pi: ", b"\r\nSorry\r\nst", b"ep one\n", echo=True)
    assert lines == [("log", "Sorry"), ("step", "one")]
    assert capsys.readouterr().out == "[sudo] password for pi: \r\n"


def test_steps_are_lines(capsys: pytest.CaptureFixture[str]) -> None:
    told = Steps()
    for kind, text in [("begin", "working"), ("tick", ""), ("step", "done"), ("log", "x"), ("fact", "started=no")]:
        told.line(kind, text)
    assert told.reason() == "the installation ended without a word"
    told.line("fail", "why")
    assert (told.reason(), told.facts) == ("why", [("started", "no")])
    assert re.fullmatch(r" +\d+\.\d s  done\n {10}\| x\n", capsys.readouterr().out)
