"""The locks are what pyproject.toml asks for, hold nothing that is known to be unsafe, and are what is installed."""

from __future__ import annotations

import importlib.util
import tomllib
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from edge_runtime.deploy.payload import Payload, leave_out
from edge_runtime.deploy.wheels import Target, collect, pins
from edge_runtime.errors import DeployError, InputError
from tests.builders import ROOT

LITERT = [Target(machine, (3, minor), "litert") for machine in ("aarch64", "x86_64") for minor in (11, 12, 13)]


def program(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"ci_{name}", ROOT / f".ci/{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("target", [*LITERT, Target("x86_64", (3, 11), "tflite")], ids=str)
def test_a_lock_is_in_step_with_the_project(target: Target) -> None:
    lock = target.lock()
    assert lock is not None, f"no lock for {target}: run make lock"
    locked = {canonicalize_name(pin.name): pin.version for pin in pins(lock)}
    for text in program("lock").requirements(target):
        wanted = Requirement(text)
        version = locked.get(canonicalize_name(wanted.name))
        assert version is not None, f"{target}: {wanted.name} is not locked: run make lock"
        assert version in wanted.specifier, f"{target}: {wanted} but {version} is locked: run make lock"


def test_there_is_no_lock_where_no_index_has_the_wheels() -> None:
    assert Target("armv7l", (3, 11), "tflite").lock() is None


def test_a_line_that_is_no_pin() -> None:
    assert pins("# nothing\n") == []
    with pytest.raises(InputError, match="expected NAME==VERSION"):
        pins("numpy>=2\n")


def test_a_version_with_a_known_hole_is_found() -> None:
    audit = program("audit")
    zeros = "0" * 64
    assert "CVE-2025-53644" in audit.in_lock(f"opencv-python-headless==4.11.0.86 --hash=sha256:{zeros}\n")[0]
    assert audit.in_lock(f"opencv-python-headless==4.12.0.88 --hash=sha256:{zeros}\n") == []
    assert audit.allowed(["pillow>=12", "numpy"]) != []
    assert audit.allowed(["pillow>=13", "numpy"]) == []
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert audit.allowed([*project["dependencies"], *project["optional-dependencies"]["litert"]]) == []


def test_wheels_that_are_here_need_no_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from edge_runtime.bundle.folder import file_digest

    for name in ("PIP_NO_INDEX", "PIP_NO_INPUT"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    wheel = tmp_path / "thing-1.0-py3-none-any.whl"
    wheel.write_bytes(b"a wheel")
    lock = f"thing==1.0 --hash=sha256:{file_digest(wheel)[0]}\n"
    assert collect(LITERT[0], lock, tmp_path) == [wheel]
    wheel.write_bytes(b"a wheel that was cut")
    with pytest.raises(DeployError, match="--wheelhouse DIR"):
        collect(LITERT[0], lock, tmp_path)


def test_what_the_device_has_is_not_sent_again(tmp_path: Path) -> None:
    (tmp_path / "bundle").mkdir()
    for name in ("bundle/a.tflite", "install.sh", "unit"):
        (tmp_path / name).write_text(name)
    sums = {"bundle/a.tflite": "a" * 64, "install.sh": "b" * 64, "unit": "c" * 64}
    (tmp_path / "SHA256SUMS").write_text("".join(f"{digest}  {name}\n" for name, digest in sums.items()))
    told = [("a" * 64, "bundle/b.tflite"), ("b" * 64, "install.sh"), ("c" * 64, "../../etc/shadow")]
    less = leave_out(Payload(tmp_path, "0" * 64, 100), told)
    assert less.size == 100 - len("bundle/a.tflite")
    assert (tmp_path / "REUSE").read_text() == "bundle/a.tflite bundle/b.tflite\n"
    assert not (tmp_path / "bundle/a.tflite").exists()
    assert (tmp_path / "install.sh").exists() and (tmp_path / "unit").exists()
