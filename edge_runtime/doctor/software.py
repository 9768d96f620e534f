"""What is installed, and what runs."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from edge_runtime.doctor.rows import Examination, Row, State, said
from edge_runtime.interpreters import installed_interpreters

_OLDEST, _NEWEST = (3, 11), (3, 13)
_UNIT = "familiar.service"
_PATIENCE_S = 20


def python(examination: Examination) -> Iterator[Row]:
    """A version that every dependency has wheels for."""
    found = "{}.{}.{}".format(*sys.version_info[:3])
    fits = _OLDEST <= sys.version_info[:2] <= _NEWEST
    yield Row("python", "ok" if fits else "fail", found, "" if fits else "sudo apt install python3.11-venv")


def numpy(examination: Examination) -> Iterator[Row]:
    """numpy, and one that the interpreter takes."""
    import numpy

    # tflite-runtime imports under numpy 2 and fails when a model is opened.
    if int(numpy.__version__.partition(".")[0]) >= 2 and installed_interpreters()[:1] == ["tflite"]:
        yield Row("numpy", "fail", f"{numpy.__version__}, too new for tflite-runtime", f"{_pip()} 'numpy<2'")
    else:
        yield Row("numpy", "ok", numpy.__version__)


def opencv(examination: Examination) -> Iterator[Row]:
    """OpenCV imports."""
    try:
        found = importlib.import_module("cv2").__version__
    except ImportError as error:
        yield Row("opencv", "fail", said(error), f"{_pip()} opencv-python-headless")
    else:
        yield Row("opencv", "ok", found)


def interpreter(examination: Examination) -> Iterator[Row]:
    """A package that runs models is installed and imports."""
    from edge_runtime.interpreters import litert, tflite

    names = installed_interpreters()
    if not names:
        extra = "litert" if sys.maxsize > 2**32 else "tflite"
        yield Row("interpreter", "fail", "not installed", f"{_pip()} 'familiar-edge[{extra}]'")
        return
    module = {"litert": litert, "tflite": tflite}[names[0]]
    try:
        module.interpreter_class()
    except (ImportError, OSError) as error:
        yield Row("interpreter", "fail", f"{names[0]}: {said(error)}", f"{_pip()} --force-reinstall {module.PACKAGE}")
    else:
        yield Row("interpreter", "ok", ", ".join(names))


def configuration(examination: Examination) -> Iterator[Row]:
    """The file is sound; the other rows are of the defaults where it is not."""
    if examination.config_error is None:
        here = Path(examination.config_path).exists()
        yield Row("configuration", "ok", examination.config_path if here else "no file, so everything is as by default")
    else:
        where = examination.config_path
        yield Row("configuration", "fail", said(examination.config_error), f"${{EDITOR:-nano}} {where}")


def unit(examination: Examination) -> Iterator[Row]:
    """The service is installed, starts with the device, and runs."""
    if not (examination.root / "run/systemd/system").is_dir() or shutil.which("systemctl") is None:
        yield Row("service unit", "unknown", "systemd does not run here")
        return
    shown = dict(
        line.split("=", 1)
        for line in _systemctl("show", "-p", "LoadState,ActiveState,UnitFileState,Type,WatchdogUSec,Result", _UNIT)
        if "=" in line
    )
    state = f"{shown.get('ActiveState')}, {shown.get('UnitFileState') or 'not enabled'}"
    if shown.get("LoadState") != "loaded":
        yield Row("service unit", "warn", "not installed", "familiar deploy USER@THIS-DEVICE   (on the desktop)")
    elif shown.get("ActiveState") == "failed":
        why = f"{state} ({shown.get('Result')})"
        yield Row("service unit", "fail", why, "journalctl -u familiar -n 20; sudo systemctl restart familiar")
    elif shown.get("ActiveState") != "active" or shown.get("UnitFileState") != "enabled":
        yield Row("service unit", "warn", state, "sudo systemctl enable --now familiar")
    elif shown.get("Type") != "notify" or shown.get("WatchdogUSec") in ("0", "infinity", None):
        yield Row("service unit", "warn", f"{state}, without a watchdog", "sudo systemctl revert familiar")
    else:
        yield Row("service unit", "ok", f"{state}, watchdog {shown['WatchdogUSec']}")


def daemon(examination: Examination) -> Iterator[Row]:
    """What the running daemon says of itself."""
    status, error = examination.status, examination.daemon_error
    if error is not None:
        yield Row("daemon", "fail", said(error), f"sudo usermod -aG familiar {os.environ.get('USER', '$USER')}")
    elif status is None:
        yield Row("daemon", "warn", "does not run", "sudo systemctl start familiar   (or: familiar run)")
    else:
        states: dict[str, State] = {"ok": "ok", "degraded": "warn", "failing": "fail"}
        reasons = "; ".join(f"{one['part']}: {one['reason']}" for one in status["troubles"])
        state = states.get(status["state"], "fail")
        yield Row("daemon", state, reasons or status["state"], "" if state == "ok" else "journalctl -u familiar -n 20")


def sinks(examination: Examination) -> Iterator[Row]:
    """Every sink takes events, and has passed over none."""
    for name, sink in ((examination.status or {}).get("events") or {}).get("sinks", {}).items():
        if sink["error"]:
            aside = "set aside: " if sink.get("aside") else ""
            yield Row(f"sink {name}", "fail" if aside else "warn", f"{aside}{sink['error']}", "familiar config show")
        elif sink.get("refused"):
            found = f"{sink['refused']} events passed over, which the receiver never takes"
            yield Row(f"sink {name}", "warn", found, "familiar config show")
        else:
            yield Row(f"sink {name}", "ok", f"{sink['delivered']} delivered, {sink['behind']} behind")


def _systemctl(*arguments: str) -> list[str]:
    done = subprocess.run(["systemctl", *arguments], capture_output=True, text=True, timeout=_PATIENCE_S)
    return done.stdout.splitlines()


def _pip() -> str:
    return f"{sys.executable} -m pip install"
