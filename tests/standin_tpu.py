"""A Coral Edge TPU for tests: a real delegate that TFLite loads, compiled here, that fails on command."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from edge_runtime.interpreters._edgetpu import LIBRARY_VARIABLE, compiled_file

SOURCE = Path(__file__).with_name("standin_tpu.c")


class StandinTpu:
    """What libedgetpu and the accelerator are to an interpreter, until the fixture's test ends."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Compile the library and let it be found; skips where there is no C compiler."""
        compiler = shutil.which("gcc") or shutil.which("cc")
        if compiler is None:
            pytest.skip("the stand-in for an Edge TPU is compiled, and neither gcc nor cc is here")
        folder.mkdir(parents=True, exist_ok=True)
        self.library = folder / "libstandin.so"
        subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", str(self.library), str(SOURCE)], check=True)
        self._control = folder / "control"
        self.command("work")
        monkeypatch.setenv("STANDIN_TPU", str(self._control))
        monkeypatch.setenv(LIBRARY_VARIABLE, str(self.library))

    def command(self, what: str) -> None:
        """``work``, ``gone`` or ``hang``, from now on."""
        draft = self._control.with_name("draft")
        draft.write_text(what)
        draft.replace(self._control)

    @property
    def runs(self) -> int:
        """How often an operator ran on it."""
        path = self._control.with_name("control.runs")
        return path.stat().st_size if path.exists() else 0

    @property
    def openings(self) -> list[str]:
        """The options of each attempt to open it."""
        path = self._control.with_name("control.opened")
        return [line.strip() for line in path.read_text().splitlines()] if path.exists() else []


def compile_for_tpu(folder: Path) -> None:
    """Put a "compiled" file beside each model in a bundle's folder: the stand-in takes ordinary models."""
    for model in sorted(folder.glob("*.tflite")):
        shutil.copy(model, compiled_file(model))
