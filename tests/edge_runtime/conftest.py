"""The command as a person or a script calls it, in a home of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edge_runtime.app.command_line import main
from tests.builders import make_bundle
from tests.clips import visit, write_clip

Familiar = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small bundle that is good for nothing but trying; not to be changed."""
    return make_bundle(tmp_path_factory.mktemp("bundles") / "tiny").path


@pytest.fixture(scope="session")
def visit_clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A camera: a clip in which somebody comes and goes; not to be changed."""
    return f"file:{write_clip(tmp_path_factory.mktemp('clips') / 'visit.avi', visit(0))}"


@pytest.fixture
def familiar(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Familiar:
    """Runs a command in ``tmp_path``; returns exit code, standard output and error lines that are ours."""
    for name in ("RUNTIME_DIRECTORY", "STATE_DIRECTORY", "XDG_RUNTIME_DIR", "FAMILIAR_STATE", "FAMILIAR_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "conf"))
    monkeypatch.setenv("FAMILIAR_BUNDLE_PATH", str(tiny_bundle))
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        capfd.readouterr()
        code = main(arguments)
        out, err = capfd.readouterr()
        return code, out, "".join(line for line in err.splitlines(True) if line.startswith("familiar"))

    return run
