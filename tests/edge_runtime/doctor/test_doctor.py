"""Every failing row of the doctor's table, brought about for real, and the command it names tried where it can be."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from edge_runtime.app import command_line as cli
from edge_runtime.config import Config, events_path, gallery_path, unknowns_path
from edge_runtime.doctor import CHECKS, Examination, Row, examine
from edge_runtime.doctor import device as device_checks
from edge_runtime.doctor import software as software_checks
from edge_runtime.events.store import EventStore
from edge_runtime.faces.chain import open_chain
from edge_runtime.gallery.directory import Directory
from edge_runtime.gallery.opening import open_gallery
from edge_runtime.storage.keys import load_key
from tests.builders import make_bundle, make_event, write_manifest
from tests.running_service import LIVE, RunningService, make_config, until
from tests.standin_tpu import StandinTpu, compile_for_tpu


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("bundles") / "tiny").path


@pytest.fixture
def config(tmp_path: Path, bundle: Path) -> Config:
    """Sound in every respect, with one person's code in the gallery."""
    config = make_config(tmp_path, bundle, door="synthetic:size=160x120")
    with open_chain(config) as chain, open_gallery(config, chain) as gallery:
        gallery.add("Ada", chain.bundle.golden()[1][0], 1.0, "a.png")
    return config


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A tree like /sys and /proc of a device that tells everything, in place of this machine's."""
    made = tmp_path / "root"
    for path, text in {
        "proc/meminfo": "MemTotal: 900000 kB\nMemAvailable: 400000 kB\n",
        "sys/class/thermal/thermal_zone0/temp": "51000\n",
        "sys/devices/platform/soc/soc:firmware/get_throttled": "0\n",
        "sys/fs/ext4/mmcblk0p2/errors_count": "0\n",
        "sys/block/mmcblk0/device/pre_eol_info": "0x01\n",
    }.items():
        put(made / path, text)
    return made


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def rows_of(config: Config, root: Path, *only: str, **more: Any) -> dict[str, Row]:
    """The rows by name; ``only`` names the checks to run, in order."""
    checks = [check for check in CHECKS if not only or check.__name__ in only]
    return {row.check: row for row in examine(Examination(config, "familiar.toml", root=root, **more), checks)}


def test_a_sound_device_has_no_failing_row(config: Config, root: Path) -> None:
    rows = rows_of(config, root)
    assert [row for row in rows.values() if row.state == "fail"] == []
    assert {check for check, row in rows.items() if row.state == "ok"} >= {
        "python", "numpy", "opencv", "interpreter", "configuration", "bundle", "golden outputs", "state folder",
        "device key", "gallery", "disk", "card", "memory", "clock" if rows["clock"].state == "ok" else "disk",
        "temperature", "throttling", "edge tpu", "camera door",
    }  # fmt: skip
    assert rows["gallery"].found.startswith("1 people")
    assert all(bool(row.command) == (row.state in ("warn", "fail")) for row in rows.values())


def test_what_a_device_does_not_tell_is_no_fault(config: Config, tmp_path: Path) -> None:
    rows = rows_of(config, tmp_path / "nothing")
    assert [row for row in rows.values() if row.state == "fail"] == []
    assert {"card", "memory", "temperature", "throttling", "service unit"} <= {
        row.check for row in rows.values() if row.state == "unknown"
    }


def shell(command: str) -> None:
    subprocess.run(command, shell=True, check=True)


def test_a_gallery_others_may_read_and_its_fix(config: Config, root: Path) -> None:
    Path(config.gallery.path).chmod(0o644)
    row = rows_of(config, root, "bundle", "gallery")["gallery"]
    assert (row.state, row.command) == ("fail", f"chmod 600 {config.gallery.path}")
    shell(row.command)
    assert rows_of(config, root, "bundle", "gallery")["gallery"].state == "ok"


def test_a_key_others_may_read_and_its_fix(config: Config, root: Path) -> None:
    Path(config.gallery.key_file).chmod(0o640)
    row = rows_of(config, root, "device_key")["device key"]
    assert (row.state, row.command) == ("fail", f"chmod 600 {config.gallery.key_file}")
    shell(row.command)
    assert rows_of(config, root, "device_key")["device key"].state == "ok"


def test_a_key_that_is_gone_or_another_one(config: Config, root: Path) -> None:
    Path(config.gallery.key_file).unlink()
    row = rows_of(config, root, "bundle", "device_key", "gallery")["device key"]
    assert row.state == "fail" and row.command.startswith(f"cp BACKUP/device.key {config.gallery.key_file}")
    load_key(config.gallery.key_file, create=True)
    rows = rows_of(config, root, "bundle", "device_key", "gallery")
    assert rows["device key"].state == "ok"
    assert rows["gallery"].state == "fail" and "is another one" in rows["gallery"].found
    assert "BACKUP/device.key" in rows["gallery"].command


def test_a_state_folder_others_may_enter_and_its_fix(config: Config, root: Path) -> None:
    folder = Path(config.gallery.path).parent
    folder.chmod(0o755)
    row = rows_of(config, root, "state_folder")["state folder"]
    assert (row.state, row.command) == ("fail", f"chmod 700 {folder}")
    shell(row.command)
    assert rows_of(config, root, "state_folder")["state folder"].state == "ok"
    (folder / "events.db").touch(mode=0o644)
    (folder / "events.db").chmod(0o644)
    row = rows_of(config, root, "state_folder")["state folder"]
    assert (row.state, row.command) == ("fail", f"chmod 600 {folder / 'events.db'}")
    shell(row.command)
    assert rows_of(config, root, "state_folder")["state folder"].state == "ok"


def test_a_gallery_cut_short(config: Config, root: Path) -> None:
    path = Path(config.gallery.path)
    os.truncate(path, path.stat().st_size // 2)
    row = rows_of(config, root, "bundle", "gallery")["gallery"]
    assert row.state == "fail" and "familiar repair" in row.command


def test_rows_that_are_damaged_and_what_was_set_aside(config: Config, root: Path) -> None:
    def found() -> dict[str, tuple[str, str]]:
        rows = rows_of(config, root, "bundle", "gallery", "event_log", "unknowns")
        return {check: (row.state, row.command) for check, row in rows.items() if check not in ("bundle", "promise")}

    log = events_path(config)
    with EventStore(log) as store:
        store.commit([(make_event(number), Directory()) for number in range(3)], frozenset(), (1.0, None), {}, 0)
    assert {state for state, _ in found().values()} == {"ok"}
    for path, change in (
        (gallery_path(config), "UPDATE audit SET at_s = 5"),
        (log, "UPDATE event SET camera = 'another' WHERE event_id = 2"),
    ):
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(change)
            connection.commit()
    unknowns_path(config).with_name("strangers.db.aside-1").touch(0o600)
    warned = {check for check, (state, command) in found().items() if state == "warn" and "familiar repair" in command}
    assert warned == {"gallery", "log of events", "strangers"}
    log.write_bytes(log.read_bytes()[:-4096])
    assert found()["log of events"][0] == "fail"


def test_a_gallery_of_another_bundle(config: Config, root: Path, tmp_path: Path) -> None:
    def other_colours(folder: Path) -> None:
        model = folder / "encoder.tflite"
        model.write_bytes(model.read_bytes() + b"\0")

    other = make_bundle(tmp_path / "other", with_files=other_colours).path
    rows = rows_of(dataclasses.replace(config, bundle=dataclasses.replace(config.bundle, path=str(other))), root)
    assert rows["bundle"].state == rows["golden outputs"].state == "ok"
    assert rows["gallery"].state == "fail" and rows["gallery"].command.startswith("familiar people reembed")


def test_a_bundle_that_is_missing_altered_or_computes_something_else(
    config: Config, root: Path, bundle: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    at = dataclasses.replace(config, bundle=dataclasses.replace(config.bundle, path=str(broken)))
    rows = rows_of(at, root, "bundle", "gallery")
    assert rows["bundle"].state == "fail" and "familiar deploy" in rows["bundle"].command
    assert rows["gallery"].state == "unknown"
    shutil.copytree(bundle, broken)
    (broken / "CARD.md").write_text("# altered\n")
    assert "was altered" in rows_of(at, root, "bundle", "gallery")["bundle"].found
    shutil.copy(bundle / "golden.npz", broken / "golden.npz")
    import numpy as np

    with np.load(bundle / "golden.npz") as golden:
        np.savez(broken / "golden.npz", chips=golden["chips"], codes=-golden["codes"])
    write_manifest(broken)
    rows = rows_of(at, root, "bundle", "gallery")
    assert rows["bundle"].state == "ok"
    assert rows["golden outputs"].state == "fail" and "computes something else" in rows["golden outputs"].found


@pytest.mark.parametrize(
    ("path", "text", "check", "state", "says"),
    [
        ("proc/meminfo", "MemTotal: 400000 kB\nMemAvailable: 90000 kB\n", "memory", "warn", "87 of 390 MB free"),
        ("sys/class/thermal/thermal_zone1/temp", "78200", "temperature", "warn", "78 °C"),
        ("sys/class/thermal/thermal_zone1/temp", "88000", "temperature", "fail", "88 °C"),
        (
            "sys/devices/platform/soc/soc:firmware/get_throttled",
            "50005",
            "throttling",
            "fail",
            "now: under-voltage",
        ),
        (
            "sys/devices/platform/soc/soc:firmware/get_throttled",
            "10000",
            "throttling",
            "warn",
            "since the start",
        ),
        ("sys/fs/ext4/mmcblk0p2/errors_count", "3", "card", "warn", "mmcblk0p2 has met errors"),
        ("sys/block/mmcblk0/device/pre_eol_info", "0x03", "card", "warn", "nearly worn out"),
    ],
)
def test_what_the_kernel_says(
    config: Config, root: Path, path: str, text: str, check: str, state: str, says: str
) -> None:
    put(root / path, text)
    row = rows_of(config, root, "memory", "temperature", "throttling", "disk")[check]
    assert row.state == state and says in row.found and row.command


def test_a_clock_before_this_softwares_time(config: Config, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 86400.0)
    row = rows_of(config, root, "clock")["clock"]
    assert row.state == "fail" and row.command == "sudo timedatectl set-ntp true"


def test_a_full_disk(config: Config, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.statvfs

    def little(path: Path) -> os.statvfs_result:
        values = [*real(path)[:10], 0]
        values[4] = 10 * 2**20 // values[1]
        return os.statvfs_result(values)

    monkeypatch.setattr(os, "statvfs", little)
    row = rows_of(config, root, "disk")["disk"]
    assert row.state == "fail" and "10 MB free" in row.found and "journalctl --vacuum" in row.command


def test_the_search_for_a_mount_point_ends_where_none_is_reported(
    config: Config, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As seen under emulation: not even the root is said to be a mount point.
    monkeypatch.setattr(Path, "is_mount", lambda path: False)
    assert rows_of(config, root, "disk")["disk"].found.endswith("MB free on /")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to mount a file system")
def test_a_disk_mounted_read_only_and_its_fix(config: Config, root: Path, tmp_path: Path) -> None:
    mount = tmp_path / "card"
    mount.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(mount)], capture_output=True)
    if done.returncode:
        pytest.skip("mounting is not allowed here")
    try:
        shell(f"mount -o remount,ro {mount}")
        at = dataclasses.replace(config, gallery=dataclasses.replace(config.gallery, path=str(mount / "gallery.db")))
        row = rows_of(at, root, "disk")["disk"]
        assert (row.state, row.command) == ("fail", f"sudo mount -o remount,rw {mount}")
        shell(row.command.removeprefix("sudo "))
        assert "read-only" not in rows_of(at, root, "disk")["disk"].found
    finally:
        shell(f"umount {mount}")


@pytest.mark.parametrize(
    ("source", "says", "command"),
    [
        ("v4l2:977", "/dev/video977", "ls -l /dev/video*"),
        ("file:nowhere.mp4", "nowhere.mp4", "familiar config show"),
        ("webcam:0", "expected one of", "familiar config show"),
    ],
)
def test_a_camera_that_is_not_there(config: Config, root: Path, source: str, says: str, command: str) -> None:
    at = dataclasses.replace(config, camera={"door": dataclasses.replace(config.camera["door"], source=source)})
    row = rows_of(at, root, "cameras")["camera door"]
    assert row.state == "fail" and says in row.found and row.command.startswith(command)


def test_no_camera_and_its_fix(config: Config, tmp_path: Path) -> None:
    path = tmp_path / "fresh" / "familiar.toml"
    examination = Examination(dataclasses.replace(config, camera={}), str(path))
    (row,) = device_checks.cameras(examination)
    assert row.state == "fail"
    shell(row.command)
    assert '[camera.front]\nsource = "v4l2:0"' in path.read_text()


def plug_in(root: Path) -> Path:
    """A USB accelerator, as the kernel shows one."""
    for name, text in {"idVendor": "18d1", "idProduct": "9302", "busnum": "2", "devnum": "7"}.items():
        put(root / "sys/bus/usb/devices/2-1" / name, text)
    node = root / "dev/bus/usb/002/007"
    put(node, "")
    return node


def test_an_accelerator_that_is_wanted_and_missing(config: Config, root: Path) -> None:
    at = dataclasses.replace(config, runtime=dataclasses.replace(config.runtime, interpreter="edgetpu:usb:0"))
    row = rows_of(at, root, "edge_tpu")["edge tpu"]
    assert row.state == "fail" and row.command.startswith("lsusb")


def test_an_accelerator_without_library_models_or_rights(
    config: Config, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = plug_in(root)
    monkeypatch.setenv("FAMILIAR_LIBEDGETPU", "libnowhere.so.1")
    row = rows_of(config, root, "bundle", "edge_tpu")["edge tpu"]
    assert row.state == "fail" and "libnowhere" in row.found and "libedgetpu1-std" in row.command
    StandinTpu(tmp_path / "tpu", monkeypatch)
    row = rows_of(config, root, "bundle", "edge_tpu")["edge tpu"]
    assert row.state == "warn" and "python -m convert compile" in row.command
    compiled = make_bundle(tmp_path / "compiled", with_files=compile_for_tpu).path
    at = dataclasses.replace(config, bundle=dataclasses.replace(config.bundle, path=str(compiled)))
    row = rows_of(at, root, "bundle", "edge_tpu")["edge tpu"]
    assert row.state == "ok" and str(node) in row.found
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != node)
    row = rows_of(at, root, "bundle", "edge_tpu")["edge tpu"]
    assert row.state == "fail" and "60-coral.rules" in row.command and "plugdev" in row.command


@pytest.mark.parametrize(
    ("shown", "state", "says", "command"),
    [
        ("LoadState=not-found\nActiveState=inactive", "warn", "not installed", "familiar deploy"),
        ("LoadState=loaded\nActiveState=failed\nResult=watchdog", "fail", "watchdog", "journalctl"),
        ("LoadState=loaded\nActiveState=inactive\nUnitFileState=enabled", "warn", "inactive", "sudo systemctl enable"),
        ("LoadState=loaded\nActiveState=active\nUnitFileState=disabled", "warn", "disabled", "sudo systemctl enable"),
        (
            "LoadState=loaded\nActiveState=active\nUnitFileState=enabled\nType=simple\nWatchdogUSec=0",
            "warn", "without a watchdog", "sudo systemctl revert",
        ),
        (
            "LoadState=loaded\nActiveState=active\nUnitFileState=enabled\nType=notify\nWatchdogUSec=1min",
            "ok", "watchdog 1min", "",
        ),
    ],
)  # fmt: skip
def test_the_unit_as_systemd_shows_it(
    config: Config, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    shown: str, state: str, says: str, command: str,
) -> None:  # fmt: skip
    (root / "run/systemd/system").mkdir(parents=True)
    program = tmp_path / "bin" / "systemctl"
    put(program, f"#!/bin/sh\ncat <<'END'\n{shown}\nEND\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    (row,) = software_checks.unit(Examination(config, root=root))
    assert row.state == state and says in row.found and row.command.startswith(command)


def test_no_interpreter_and_one_that_does_not_import(
    config: Config, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    absent = next((name for name in ("litert", "tflite") if name not in software_checks.installed_interpreters()), None)
    monkeypatch.setattr(software_checks, "installed_interpreters", lambda: [])
    (row,) = software_checks.interpreter(Examination(config))
    assert row.state == "fail" and "'familiar-edge[" in row.command
    if absent:
        monkeypatch.setattr(software_checks, "installed_interpreters", lambda: [absent])
        (row,) = software_checks.interpreter(Examination(config))
        assert row.state == "fail" and "--force-reinstall" in row.command


def test_a_numpy_that_tflite_runtime_does_not_take(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    import numpy

    monkeypatch.setattr(software_checks, "installed_interpreters", lambda: ["tflite"])
    monkeypatch.setattr(numpy, "__version__", "2.1.0")
    (row,) = software_checks.numpy(Examination(config))
    assert row.state == "fail" and row.command.endswith("-m pip install 'numpy<2'")


def test_a_check_that_breaks_is_a_row(config: Config) -> None:
    def odd_sensor(examination: Examination) -> Any:
        raise ZeroDivisionError("no degrees")

    (row,) = examine(Examination(config), [odd_sensor])
    assert (row.check, row.state) == ("odd sensor", "fail") and "ZeroDivisionError: no degrees" in row.found


def test_the_command_prints_a_table_or_json_and_fails_with_a_row(
    config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "familiar.toml"
    settings = [("bundle.path", config.bundle.path), ("gallery.path", config.gallery.path)]
    settings += [("gallery.key_file", config.gallery.key_file), ("control.socket", config.control.socket)]
    chosen = [part for key, value in settings for part in ("--set", f"{key}={value}")]
    path.write_text('[camera.door]\nsource = "synthetic:size=160x120"\n')
    assert cli.main(["doctor", "--config", str(path), *chosen]) == 0
    table = capsys.readouterr().out
    assert "golden outputs   ok" in table and len(table.splitlines()) >= len(CHECKS)
    assert cli.main(["doctor", "--config", str(path), *chosen, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["ok"] and {"check", "state", "found", "command"} == {*document["rows"][0]}
    path.write_text("[camera.door]\nsorce = 3\n")
    assert cli.main(["doctor", "--config", str(path), *chosen]) == 1
    table = capsys.readouterr().out
    assert "did you mean 'source'?" in table and f"fix: ${{EDITOR:-nano}} {path}" in table


def test_a_running_daemon_keeps_its_cameras_and_tells_its_state(bundle: Path, tmp_path: Path, root: Path) -> None:
    config = make_config(tmp_path, bundle, door=LIVE)
    with RunningService(config) as running:
        until(lambda: "running" in [camera.state for camera in running.service.cameras.values()], "it runs")
        rows = rows_of(config, root, "daemon", "cameras", status=running.service.status())
        assert rows["daemon"].state == "ok"
        assert rows["camera door"].found.startswith("running in the daemon")
        running.service.health.report("pace", "hot, fewer frames")
        row = rows_of(config, root, "daemon", "cameras", status=running.service.status())["daemon"]
        assert (row.state, row.found) == ("warn", "pace: hot, fewer frames")
        status = running.service.status()
        ((name, sink),) = status["events"]["sinks"].items()
        assert rows_of(config, root, "sinks", status=status)[f"sink {name}"].state == "ok"
        sink |= {"error": "wrong password", "aside": True}
        row = rows_of(config, root, "sinks", status=status)[f"sink {name}"]
        assert (row.state, row.found) == ("fail", "set aside: wrong password")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody else")
def test_somebody_else_is_told_whose_files_these_are(config: Config, tmp_path: Path, root: Path) -> None:
    nobody = 65534
    pid = os.fork()
    if not pid:  # a child, so that this process stays who it is
        try:
            os.setresgid(nobody, nobody, nobody)
            os.setresuid(nobody, nobody, nobody)
            from edge_runtime.doctor import places

            (row,) = places.state_folder(Examination(config, root=root))
            told = row.state == "fail" and "nobody cannot" in row.found and "sudo" in row.command
            os._exit(0 if told else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
