"""What a person sees who has not installed what conversion needs, or interrupts it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edge_runtime.errors import InterpreterError
from tests.builders import ROOT
from tests.convert.inputs import save_encoder, write_people, write_run


def test_a_missing_package_is_one_line() -> None:
    code = "import sys; sys.modules['tqdm'] = None; from convert.__main__ import main; sys.exit(main(['model', '-h']))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == InterpreterError.exit_code
    assert done.stderr.strip().count("\n") == 0 and "[desktop]" in done.stderr


def test_an_interrupted_conversion_leaves_nothing(tmp_path: Path) -> None:
    pytest.importorskip("tensorflow")
    write_people(tmp_path / "chips.npz")
    run = write_run(tmp_path / "run", tmp_path / "chips.npz", save_encoder(tmp_path / "m.keras"))
    out, scratch = tmp_path / "out", tmp_path / "scratch"
    out.mkdir()
    scratch.mkdir()
    command = [sys.executable, "-m", "convert", "model", str(run), "--out", str(out / "b")]
    process = subprocess.Popen(
        command, cwd=ROOT, env={"PATH": "/usr/bin:/bin", "TMPDIR": str(scratch)}, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    # The converter's own folder shows that it is at work.
    while not any(scratch.glob("familiar-convert-*/probe.npy")) and time.monotonic() < deadline:
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 128 + signal.SIGTERM
    assert not any(out.iterdir()) and not any(scratch.iterdir())
