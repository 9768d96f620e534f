"""``familiar deploy`` to a real sshd, into a folder that stands for the device's root.

systemd does not run in most places where tests do: ``standin_systemctl.py`` takes its part, and is not systemd.
The tests of one device follow each other: first installation, upgrade, then upgrades that fail.
"""

from __future__ import annotations

import fcntl
import getpass
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_runtime.bundle.folder import Bundle
from tests.builders import RELEASED, ROOT, draw_face, make_bundle, make_pixels, write_manifest
from tests.clips import write_clip
from tests.e2e.loopback import Loopback, missing, stand_in_for_systemd, start_sshd
from tests.mosquitto import free_port
from tests.small_disk import fill, needs_root, small_disk

# A deployment starts on a desktop and installs its own interpreter there, whichever is installed here.
pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())

FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
RUNNING = '[camera.front]\nsource = "synthetic:loop,realtime,fps=2"\n# by the owner\n'
Run = subprocess.CompletedProcess[str]


class Device:
    """A folder that stands for a device's root, and what a person does with it."""

    def __init__(self, loopback: Loopback, root: Path) -> None:
        self.loopback = loopback
        self.root = root
        self.config = root / "etc/familiar/familiar.toml"
        self.key = root / "etc/familiar/device.key"
        self.home = root / "opt/familiar"
        self.took_s = 0.0
        """How long the last deployment took that reached its end."""

    def deploy(self, *arguments: str | Path) -> Run:
        started = time.monotonic()
        done = self.start(*arguments)
        out, err = done.communicate()
        if done.returncode == 0:
            self.took_s = time.monotonic() - started
        return Run(done.args, done.returncode, out, err)

    def start(self, *arguments: str | Path) -> subprocess.Popen[str]:
        """A deployment under way, in a process group of its own."""
        own = ["--root", self.root, "--user", getpass.getuser(), "--watch", "3"]
        words = ["deploy", self.loopback.host, *self.loopback.options, *own, *arguments]
        return subprocess.Popen(
            [sys.executable, "-m", "edge_runtime", *map(str, words)],
            cwd=ROOT,
            # Wheels are fetched once for all tests here, and none are left in the home folder.
            env={**os.environ, "XDG_CACHE_HOME": str(self.loopback.folder / "cache")},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,
        )

    def familiar(self, *arguments: str | Path) -> Run:
        program = self.root / "usr/local/bin/familiar"
        words = [program, *map(str, arguments)]
        return subprocess.run(words, cwd="/", env={"PATH": os.defpath}, capture_output=True, text=True)

    def people(self) -> list[str]:
        return [person["name"] for person in json.loads(self.familiar("people", "list", "--json").stdout)]

    def daemon(self) -> int:
        """Process id of the running daemon, as it says itself."""
        told = self.familiar("status", "--json")
        assert told.returncode == 0, told.stderr
        return int(json.loads(told.stdout)["pid"])

    def releases(self) -> list[str]:
        return sorted(path.name for path in (self.home / "releases").iterdir())

    def current(self) -> str:
        return (self.home / "current").readlink().name

    def state(self) -> tuple[object, ...]:
        """What an upgrade that fails leaves as it is."""
        unit = (self.root / "etc/systemd/system/familiar.service").read_text()
        return self.current(), self.releases(), self.config.read_text(), self.key.read_bytes(), unit


@pytest.fixture(scope="module")
def loopback(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loopback]:
    server, loopback = start_sshd(tmp_path_factory.mktemp("sshd"))
    yield loopback
    server.terminate()
    server.wait(10)


@pytest.fixture(autouse=True)
def no_upload_stays(loopback: Loopback) -> Iterator[None]:
    """Whatever became of the deployment."""
    yield
    assert list(loopback.home.iterdir()) == []


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("bundle") / "tiny").path


@pytest.fixture(scope="module")
def installed(loopback: Loopback, bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Device, Run]:
    """A device after its first deployment, without systemd, with the wheels of the lock."""
    device = Device(loopback, tmp_path_factory.mktemp("device"))
    return device, device.deploy("--bundle", bundle)


@pytest.fixture(scope="module")
def wheelhouse(installed: tuple[Device, Run], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every wheel the device needs, in a folder of the user's."""
    device, done = installed
    assert done.returncode == 0, done.stderr
    folder = tmp_path_factory.mktemp("wheelhouse")
    for wheel in (device.loopback.folder / "cache/familiar/wheels").glob("*.whl"):
        shutil.copy(wheel, folder)
    return folder


@pytest.fixture(scope="module")
def upgraded(installed: tuple[Device, Run], bundle: Path) -> Iterator[tuple[Device, Run, Callable[..., Run]]]:
    """The same device upgraded, with the stand-in for systemd, and with one person enrolled before."""
    device, _ = installed
    standin = device.loopback.commands
    stand_in_for_systemd(device.loopback, device.root)
    (device.root / "run/systemd/system").mkdir(parents=True)
    device.config.write_text(RUNNING)
    photo = device.root / "ada.png"
    cv2.imwrite(str(photo), cv2.cvtColor(draw_face(0), cv2.COLOR_RGB2BGR))
    enrolled = device.familiar("enroll", "Ada", photo)
    assert enrolled.returncode == 0, enrolled.stderr
    (wheel,) = (device.home / "current").resolve().glob("*.whl")
    for name in ("20010101T000000Z-1", "20020101T000000Z-2", "20030101T000000Z-3"):
        (device.home / "releases" / name).mkdir()
        (device.home / "releases" / name / ".complete").touch()
    (device.home / "releases/20040101T000000Z-4").mkdir()

    def upgrade(*arguments: str | Path) -> Run:
        return device.deploy("--wheel", wheel, *arguments)

    yield device, upgrade("--bundle", bundle), upgrade
    subprocess.run([standin / "systemctl", "stop", "familiar.service"], check=True)


def test_a_dry_run_tells_the_plan_and_changes_nothing(loopback: Loopback, bundle: Path, tmp_path: Path) -> None:
    done = Device(loopback, tmp_path).deploy("--bundle", bundle, "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "[litert]" in done.stdout
    assert "nothing was changed" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_first_deployment(installed: tuple[Device, Run]) -> None:
    device, done = installed
    assert done.returncode == 0, done.stdout + done.stderr
    assert "self-test passed" in done.stdout
    assert "systemd does not run here" in done.stdout
    assert done.stdout.rstrip().endswith(f"{device.home}/current/familiar run")
    assert device.releases() == [device.current()]
    assert device.key.stat().st_mode & 0o777 == 0o600
    assert len(device.key.read_bytes()) == 32
    assert "v4l2:0" in device.config.read_text()
    listed = device.familiar("people", "list")
    assert listed.returncode == 0, listed.stderr
    verified = device.familiar("bundle", "verify")
    assert f"releases/{device.current()}/bundle" in verified.stdout, verified.stderr


def test_a_device_holds_the_runtime_alone(installed: tuple[Device, Run]) -> None:
    (packages,) = (installed[0].home / "current/venv/lib").glob("python3*/site-packages")
    present = {path.name for path in packages.iterdir()}
    assert {"edge_runtime", "numpy", "cv2", "ai_edge_litert"} <= present
    assert {"paho", "prometheus_client", "starlette", "uvicorn", "msgspec"} <= present
    assert not present & {"tensorflow", "keras", "train", "convert", "models", "tests"}
    assert not [*packages.rglob("*.pyi"), *packages.glob("*/tests")], "files that no device uses"


def test_an_installed_wheel_asks_for_a_wheel_to_send(installed: tuple[Device, Run], bundle: Path) -> None:
    done = installed[0].familiar("deploy", "pi@127.0.0.1", "--bundle", bundle)
    assert (done.returncode, done.stderr.count("\n")) == (12, 1)
    assert "--wheel FILE" in done.stderr


def test_upgrade_keeps_people_key_and_configuration(upgraded: tuple[Device, Run, Callable[..., Run]]) -> None:
    device, done, _ = upgraded
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 people enrolled" in done.stdout, "the self-test did not look at the gallery"
    assert "familiar.service is active" in done.stdout
    assert device.config.read_text() == RUNNING
    assert device.current() == device.releases()[-1]
    sent = re.search("sent ([0-9.]+) MB", done.stdout)
    assert sent and float(sent[1]) < 0.2, "what the device had was sent again"
    assert Path(f"/proc/{device.daemon()}/cmdline").read_text().find(device.current()) > 0
    assert device.people() == ["Ada"]


def test_the_last_three_releases_stay(
    installed: tuple[Device, Run], upgraded: tuple[Device, Run, Callable[..., Run]]
) -> None:
    """One is here from long ago; older ones are gone, and so is what a power cut left without its mark."""
    device, _, _ = upgraded
    first = re.search("has release (\\S+);", installed[1].stdout)
    assert first
    assert device.releases() == ["20030101T000000Z-3", first[1], device.current()]


def test_wrong_outputs_leave_the_daemon_alone(upgraded: tuple[Device, Run, Callable[..., Run]], tmp_path: Path) -> None:
    device, _, upgrade = upgraded
    wrong = make_bundle(tmp_path / "wrong").path
    with np.load(wrong / "golden.npz") as golden:
        np.savez(wrong / "golden.npz", chips=golden["chips"], codes=-golden["codes"])
    write_manifest(wrong)
    Bundle(wrong)
    before, pid = device.state(), device.daemon()
    done = upgrade("--bundle", wrong)
    assert (done.returncode, done.stderr.count("\n")) == (12, 1)
    assert "golden outputs" in done.stderr
    assert f"release {device.current()} stays in use" in done.stderr
    assert (device.state(), device.daemon()) == (before, pid)


def test_a_daemon_that_does_not_start_brings_the_old_one_back(
    upgraded: tuple[Device, Run, Callable[..., Run]], bundle: Path, tmp_path: Path
) -> None:
    device, _, upgrade = upgraded
    (tmp_path / "new.toml").write_text('[camera.front]\nsource = "file:/no/such/clip.mp4"\n')
    before, pid = device.state(), device.daemon()
    done = upgrade("--bundle", bundle, "--config", tmp_path / "new.toml")
    assert (done.returncode, done.stderr.count("\n")) == (12, 1)
    assert "/no/such/clip.mp4" in done.stderr
    assert f"the previous release {device.current()} runs again" in done.stdout
    assert device.state() == before
    assert device.daemon() != pid
    assert device.people() == ["Ada"]


def test_what_pip_says_is_shown(
    upgraded: tuple[Device, Run, Callable[..., Run]], bundle: Path, wheelhouse: Path, tmp_path: Path
) -> None:
    device, _, upgrade = upgraded
    (tmp_path / "few").mkdir()
    tqdm = next(wheelhouse.glob("tqdm-*.whl"))
    (tmp_path / "few" / tqdm.name).write_bytes(tqdm.read_bytes())
    before = device.state()
    done = upgrade("--bundle", bundle, "--wheelhouse", tmp_path / "few")
    assert (done.returncode, done.stderr.count("\n")) == (12, 1)
    assert "No matching distribution found" in done.stdout
    assert device.state() == before


def test_two_deployments_at_once(installed: tuple[Device, Run], bundle: Path) -> None:
    device, _ = installed
    (wheel,) = (device.home / "current").resolve().glob("*.whl")
    before = device.releases()
    with (device.home / ".deploy.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = device.deploy("--bundle", bundle, "--wheel", wheel)
    assert (done.returncode, done.stderr.count("\n")) == (12, 1)
    assert "another deployment" in done.stderr
    assert device.releases() == before


def test_nothing_is_sent_with_a_broken_configuration(loopback: Loopback, bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "new.toml").write_text("[decide]\nmargni = 1\n")
    done = Device(loopback, tmp_path / "device").deploy("--bundle", bundle, "--config", tmp_path / "new.toml")
    assert (done.returncode, done.stdout) == (3, "")
    assert "'margin'" in done.stderr


def test_a_device_with_an_unknown_host_key_is_refused(loopback: Loopback, bundle: Path, tmp_path: Path) -> None:
    """known_hosts is the user's: nothing is added to it unasked."""
    strangers = tmp_path / "known_hosts"
    strangers.touch()
    done = subprocess.run(
        [
            *(sys.executable, "-m", "edge_runtime", "deploy", loopback.host, "--bundle", str(bundle)),
            *("-o", f"UserKnownHostsFile={strangers}", "-o", "BatchMode=yes", *loopback.options[:4]),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr.count("\n")) == (12, 1)
    assert "Host key verification failed" in done.stderr


CUTS = int(os.environ.get("DEPLOY_CUTS", "0"))
long = pytest.mark.skipif(not CUTS, reason="takes minutes: make deploy-faults")


def test_status_and_back_to_the_release_before(upgraded: tuple[Device, Run, Callable[..., Run]]) -> None:
    device, _, _ = upgraded
    told = device.deploy("--status")
    assert told.returncode == 0, told.stdout + told.stderr
    assert re.search(f"{re.escape(device.loopback.host)} +ok +{device.current()} +tiny", told.stdout)
    releases, pid = device.releases(), device.daemon()
    before = releases[releases.index(device.current()) - 1]
    done = device.deploy("--rollback")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (device.current(), device.releases(), device.people()) == (before, releases, ["Ada"])
    assert device.daemon() != pid


def sealed(device: Device) -> dict[str, bytes]:
    """What the gallery holds, byte for byte; gallery.db-shm is but SQLite's index of it while somebody reads."""
    state = device.root / "var/lib/familiar"
    return {name: (state / name).read_bytes() for name in ("gallery.db", "gallery.db-wal") if (state / name).exists()}


@long
def test_a_release_that_ends_while_it_is_watched_is_taken_back(
    upgraded: tuple[Device, Run, Callable[..., Run]], bundle: Path, tmp_path: Path
) -> None:
    device, _, upgrade = upgraded
    clip = write_clip(tmp_path / "short.avi", [make_pixels()] * 25)
    (tmp_path / "new.toml").write_text(f'[camera.front]\nsource = "file:{clip}?realtime"\n')
    before, people = device.state(), sealed(device)
    done = upgrade("--bundle", bundle, "--config", tmp_path / "new.toml", "--watch", "30")
    assert (done.returncode, done.stderr.count("\n")) == (12, 1), done.stdout
    assert f"the previous release {device.current()} runs again" in done.stdout
    assert (device.state(), sealed(device)) == (before, people)
    assert device.people() == ["Ada"]


@long
def test_another_encoder_needs_the_photos_and_is_one_command(
    upgraded: tuple[Device, Run, Callable[..., Run]], tmp_path: Path
) -> None:
    device, _, upgrade = upgraded
    (tmp_path / "photos").mkdir()
    shutil.copy(device.root / "ada.png", tmp_path / "photos")
    before, people, pid = device.state(), sealed(device), device.daemon()
    refused = upgrade("--bundle", RELEASED)
    assert refused.returncode == 12
    assert "--reembed --photos DIR" in refused.stderr
    assert (device.state(), sealed(device), device.daemon()) == (before, people, pid)
    broken = tmp_path / "new.toml"
    broken.write_text('[camera.front]\nsource = "file:/no/such/clip.mp4"\n')
    failed = upgrade("--bundle", RELEASED, "--reembed", "--photos", tmp_path / "photos", "--config", broken)
    assert failed.returncode == 12
    assert "the embeddings were made again" in failed.stdout
    assert "the gallery is as it was" in failed.stdout
    assert (device.state(), sealed(device), device.people()) == (before, people, ["Ada"])
    done = upgrade("--bundle", RELEASED, "--reembed", "--photos", tmp_path / "photos")
    assert done.returncode == 0, done.stdout + done.stderr
    assert device.people() == ["Ada"]
    assert not list(device.home.glob("releases/*/photos")), "photos stayed on the device"
    after, pid = device.state(), device.daemon()
    assert device.deploy("--rollback").returncode == 12, "the release before does not fit the people any more"
    assert (device.state(), device.daemon()) == (after, pid)


@long
@pytest.mark.parametrize("cut", range(max(CUTS, 1)))
def test_a_link_that_is_cut_leaves_one_release_running(
    upgraded: tuple[Device, Run, Callable[..., Run]], cut: int
) -> None:
    """At a moment drawn at random; ``make deploy-faults`` cuts more often."""
    device, _, _ = upgraded
    (wheel,) = (device.home / "current").resolve().glob("*.whl")
    people, before = sealed(device), device.current()
    under_way = device.start("--wheel", wheel, "--bundle", RELEASED)
    after_s = random.Random(cut).uniform(0.02, 1.1) * device.took_s
    with suppress(subprocess.TimeoutExpired):
        under_way.communicate(timeout=after_s)
    for pid in _ssh_of(device):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    under_way.kill()
    under_way.communicate()
    with (device.home / ".deploy.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
    whole = [path.parent.name for path in device.home.glob("releases/*/.complete")]
    assert device.current() in whole, f"cut after {after_s:.1f} s: the release in use is half-made"
    assert device.daemon() > 0
    assert before in whole
    assert sealed(device) == people
    for left in device.loopback.home.glob(".familiar-deploy.*"):
        shutil.rmtree(left)


def _ssh_of(device: Device) -> list[int]:
    """Process ids of the connections to this device: each names its key file."""
    found = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            words = place.read_bytes().split(b"\0")
            if words[0] in (b"ssh", b"/usr/bin/ssh") and str(device.loopback.folder / "user_key").encode() in words:
                found.append(int(place.parent.name))
    return found


@long
@pytest.mark.skipif(FAKETIME is None, reason="needs libfaketime: apt install faketime")
def test_a_device_whose_clock_says_1970(bundle: Path, tmp_path: Path) -> None:
    """A Raspberry Pi without a network has no time; the desktop names the releases."""
    (tmp_path / "sshd").mkdir()
    back_s = int(time.time()) - 86400
    clock = f"LD_PRELOAD={FAKETIME} FAKETIME=-{back_s} FAKETIME_DONT_FAKE_MONOTONIC=1"
    server, loopback = start_sshd(tmp_path / "sshd", clock)
    device = Device(loopback, tmp_path / "device")
    (device.root / "run/systemd/system").mkdir(parents=True)
    stand_in_for_systemd(loopback, device.root)
    (tmp_path / "new.toml").write_text(RUNNING)
    try:
        first = device.deploy("--bundle", bundle, "--config", tmp_path / "new.toml")
        assert first.returncode == 0, first.stdout + first.stderr
        _, port, _, identity, *others = loopback.options
        words = ["ssh", "-p", port, "-i", identity, *others, loopback.host, "date", "+%Y"]
        assert subprocess.run(words, capture_output=True, text=True).stdout == "1970\n", "the clock there was right"
        before, pid = device.current(), device.daemon()
        second = device.deploy("--bundle", bundle)
        assert second.returncode == 0, second.stdout + second.stderr
        assert device.releases() == [before, device.current()] and device.current() != before
        assert device.daemon() != pid
        assert device.deploy("--rollback").returncode == 0
        assert device.current() == before
    finally:
        subprocess.run([loopback.commands / "systemctl", "stop", "familiar.service"])
        server.terminate()
        server.wait(10)


@long
@needs_root
def test_a_disk_that_fills_up_leaves_the_old_release(loopback: Loopback, bundle: Path, tmp_path: Path) -> None:
    with small_disk(tmp_path / "card", 1 << 20) as card:
        device = Device(loopback, card / "root")
        device.root.mkdir()
        under_way = device.start("--bundle", bundle)
        while under_way.poll() is None and not list(device.home.glob("releases/*/venv/lib")):
            time.sleep(0.05)
        filler = fill(card)
        _, said = under_way.communicate()
        assert under_way.returncode == 12
        assert "nothing is installed there, as before" in said
        filler.unlink()
        assert device.releases() == []
        assert not (device.home / "current").is_symlink()


@pytest.mark.parametrize(
    "flood", ["yes", "while :; do echo fact python=3.11; done", "sleep 1; printf '\\033[31m'; exit 1"]
)
def test_a_hostile_device_gets_one_line(loopback: Loopback, bundle: Path, flood: str) -> None:
    """A device whose shell is not what it says: endless words, or codes for a terminal."""
    shell = loopback.commands / "sh"
    shell.write_text(f"#!/bin/bash\n{flood}\n")
    shell.chmod(0o755)
    try:
        done = Device(loopback, Path("/nowhere")).deploy("--bundle", bundle)
    finally:
        shell.unlink()
    assert (done.returncode, done.stderr.count("\n")) == (12, 1)
    assert "\x1b" not in done.stdout + done.stderr


def test_outputs_need_no_more_than_a_line_of_the_configuration(
    upgraded: tuple[Device, Run, Callable[..., Run]], bundle: Path, tmp_path: Path
) -> None:
    device, _, upgrade = upgraded
    web, figures = free_port(), free_port()
    (tmp_path / "new.toml").write_text(
        f'{RUNNING}[web]\nlisten = "127.0.0.1:{web}"\n[metrics]\nlisten = "127.0.0.1:{figures}"\n'
        f'[[sink]]\ntype = "mqtt"\nhost = "127.0.0.1"\nport = {free_port()}\n'
    )
    done = upgrade("--bundle", bundle, "--config", tmp_path / "new.toml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert b"familiar_camera_up" in urllib.request.urlopen(f"http://127.0.0.1:{figures}/metrics", timeout=20).read()
    assert urllib.request.urlopen(f"http://127.0.0.1:{web}/api/health", timeout=20).status == 200
    status = json.loads(device.familiar("status", "--json").stdout)
    (sink,) = status["events"]["sinks"].values()
    assert "refused" in str(sink["error"]).lower(), sink  # it tries, and no broker is there
