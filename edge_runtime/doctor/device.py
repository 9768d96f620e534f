"""The machine itself: memory, clock, heat, power, accelerator, cameras. What a device does not report is no fault."""

from __future__ import annotations

import ctypes
import os
import select
import time
from collections.abc import Iterator
from pathlib import Path

from edge_runtime.bundle.folder import Bundle
from edge_runtime.capture.process import CaptureProcess
from edge_runtime.config import CameraConfig
from edge_runtime.doctor.rows import Examination, Row, State, said
from edge_runtime.errors import FamiliarError
from edge_runtime.interpreters import compiled_file, tpu_library
from edge_runtime.storage.ownership import user_name
from edge_runtime.tracking.scheduler import firmware_flags, hottest_c, told_flags

_LITTLE_MB = 150
_HOT_C, _TOO_HOT_C = 75.0, 85.0
_TIME_ERROR = 5
_USB_IDS = {("1a6e", "089a"), ("18d1", "9302")}
"""Coral's USB Accelerator before and after its first use."""
_UDEV = (
    """printf 'SUBSYSTEM=="usb", ATTRS{idVendor}=="%s", GROUP="plugdev", MODE="0660"\\n' 1a6e 18d1"""
    " | sudo tee /etc/udev/rules.d/60-coral.rules && sudo udevadm control --reload && sudo udevadm trigger"
)


def memory(examination: Examination) -> Iterator[Row]:
    """There is room for the models."""
    lines = (examination.read("proc/meminfo") or "").splitlines()
    sizes = {line.partition(":")[0]: int(line.split()[1]) // 1024 for line in lines if len(line.split()) > 1}
    if "MemAvailable" not in sizes:
        yield Row("memory", "unknown", "not known here")
        return
    found = f"{sizes['MemAvailable']} of {sizes.get('MemTotal', 0)} MB free"
    little = sizes["MemAvailable"] < _LITTLE_MB
    yield Row("memory", "warn" if little else "ok", found, "ps aux --sort=-rss | head" if little else "")


def clock(examination: Examination) -> Iterator[Row]:
    """The clock is not before this software's own time, and somebody keeps it right."""
    ours = Path(__file__).stat().st_mtime
    now = time.strftime("%Y-%m-%d %H:%M", time.localtime())
    synchronise = "sudo timedatectl set-ntp true"
    # A day's grace: files that were just copied keep another machine's time.
    if time.time() < ours - 86400:
        yield Row("clock", "fail", f"{now}, before this software was made", synchronise)
        return
    try:
        state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(512))  # all modes zero: only asks
    except (OSError, AttributeError):
        state = -1
    if state < 0:
        yield Row("clock", "ok", f"{now}; whether it is synchronised is not known here")
    elif state == _TIME_ERROR:
        yield Row("clock", "warn", f"{now}, not synchronised", synchronise)
    else:
        yield Row("clock", "ok", f"{now}, synchronised")


def temperature(examination: Examination) -> Iterator[Row]:
    """No sensor is near the point where the processor slows down."""
    celsius = hottest_c(examination.root / "sys")
    if celsius is None:
        yield Row("temperature", "unknown", "not known here")
    elif celsius < _HOT_C:
        yield Row("temperature", "ok", f"{celsius:.0f} °C")
    else:
        slower = "familiar run --set detect.every=8   (and a heat sink or fan)"
        yield Row("temperature", "fail" if celsius >= _TOO_HOT_C else "warn", f"{celsius:.0f} °C", slower)


def throttling(examination: Examination) -> Iterator[Row]:
    """A Raspberry Pi has had enough power and has not been slowed down."""
    flags = firmware_flags(examination.root / "sys")
    if flags is None:
        yield Row("throttling", "unknown", "not known here")
        return
    now, before = told_flags(flags), told_flags(flags >> 16)
    fix = "vcgencmd get_throttled   (use the official power supply, and a heat sink)"
    if now:
        yield Row("throttling", "fail", f"now: {', '.join(now)}", fix)
    elif before:
        yield Row("throttling", "warn", f"since the start: {', '.join(before)}", fix)
    else:
        yield Row("throttling", "ok", "never since the start")


def edge_tpu(examination: Examination) -> Iterator[Row]:
    """Where there is an accelerator, or one is wanted: library, rights, and compiled models."""
    wanted = examination.config.runtime.interpreter.startswith("edgetpu")
    nodes = [*_usb_nodes(examination), *examination.paths("dev/apex_*")]
    if not nodes:
        absent = "not found on USB or PCI"
        if wanted:
            yield Row(
                "edge tpu", "fail", absent, 'lsusb -d 1a6e:; lsusb -d 18d1:   (or set [runtime] interpreter = "cpu")'
            )
        else:
            yield Row("edge tpu", "ok", f"{absent}; the CPU does it")
        return
    me = user_name(os.geteuid())
    if locked := [node for node in nodes if node.exists() and not os.access(node, os.R_OK | os.W_OK)]:
        fix = f"{_UDEV}; sudo usermod -aG plugdev,apex {me}"
        yield Row("edge tpu", "fail", f"{locked[0]} is there, {me} may not use it", fix)
        return
    try:
        ctypes.CDLL(tpu_library())
    except OSError as error:
        yield Row("edge tpu", "fail", said(error), "sudo apt install libedgetpu1-std   (or set FAMILIAR_LIBEDGETPU)")
        return
    bundle = examination.seen.get("bundle")
    if isinstance(bundle, Bundle) and not compiled_file(bundle.path / bundle.manifest.encoder_file).is_file():
        fix = f"python -m convert compile {bundle.path.name}   (on the desktop, then familiar deploy)"
        yield Row("edge tpu", "fail" if wanted else "warn", f"{nodes[0]}, but the bundle has no compiled models", fix)
    else:
        yield Row("edge tpu", "ok", f"{nodes[0]}, {tpu_library()}")


def cameras(examination: Examination) -> Iterator[Row]:
    """Every configured camera gives a picture; the daemon's are asked about, not opened."""
    running = (examination.status or {}).get("cameras", {})
    if not examination.config.camera:
        path = Path(examination.config_path).absolute()
        edit = f"mkdir -p {path.parent} && printf '[camera.front]\\nsource = \"v4l2:0\"\\n' >> {path}"
        yield Row("cameras", "fail", "no camera is configured", edit)
    for name, camera in examination.config.camera.items():
        check = f"camera {name}"
        if name in running:
            state = running[name]["state"]
            found = f"{state} in the daemon, {running[name]['frames_per_s']:.1f} frames a second"
            how: dict[str, State] = {"running": "ok", "opening": "warn"}
            yield Row(check, how.get(state, "fail"), found, "" if state == "running" else "familiar status")
        else:
            yield _looked_through(check, name, camera)


def _looked_through(check: str, name: str, camera: CameraConfig) -> Row:
    """Open a camera for one picture."""
    kind, argument = camera.source.split()
    try:
        with CaptureProcess.of(name, camera) as capture:
            while (frame := capture.take()) is None and not capture.ended:
                select.select([capture], [], [], max(capture.due_s - time.monotonic(), 0.0))
    except FamiliarError as error:
        if kind == "v4l2":
            node = Path(f"/dev/video{argument}" if argument.isdecimal() else argument)
            locked = node.exists() and not os.access(node, os.R_OK | os.W_OK)
            me = user_name(os.geteuid())
            return Row(check, "fail", said(error), f"sudo usermod -aG video {me}" if locked else "ls -l /dev/video*")
        return Row(check, "fail", said(error), f"familiar config show   (see [camera.{name}] source)")
    if frame is None:
        return Row(check, "fail", f"{camera.source} has no picture", f"familiar config show   (see [camera.{name}])")
    height, width = frame.pixels.shape[:2]
    return Row(check, "ok", f"{camera.source}, {width}x{height}")


def _usb_nodes(examination: Examination) -> list[Path]:
    """Device nodes of Coral accelerators on USB."""
    nodes = []
    for path in examination.paths("sys/bus/usb/devices/*/idVendor"):
        ids = path.read_text().strip(), (path.parent / "idProduct").read_text().strip()
        if ids in _USB_IDS:
            bus, number = ((path.parent / name).read_text().strip() for name in ("busnum", "devnum"))
            nodes.append(examination.root / f"dev/bus/usb/{int(bus):03}/{int(number):03}")
    return nodes
