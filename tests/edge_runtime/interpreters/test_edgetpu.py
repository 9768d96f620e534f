"""An accelerator that works, vanishes, hangs and returns, on every interpreter installed."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edge_runtime import interpreters
from edge_runtime.errors import ConfigError, InputError, InterpreterError
from edge_runtime.interpreters import installed_interpreters, on_cpu, open_interpreter
from edge_runtime.interpreters._edgetpu import compiled_file
from edge_runtime.protocols import Interpreter
from tests.builders import TINY_MODEL
from tests.running_service import until
from tests.standin_tpu import StandinTpu, compile_for_tpu

INPUT = np.random.default_rng(0).integers(-128, 127, (1, 28, 28, 1)).astype(np.int8)


@pytest.fixture
def tpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandinTpu:
    return StandinTpu(tmp_path / "tpu", monkeypatch)


@pytest.fixture(params=installed_interpreters())
def package(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each package in turn is the only one installed."""
    monkeypatch.setattr(interpreters, "installed_interpreters", lambda: [request.param])
    return str(request.param)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    copied = Path(shutil.copy(TINY_MODEL, folder / "encoder.tflite"))
    compile_for_tpu(folder)
    return copied


@pytest.fixture
def opened(tpu: StandinTpu, package: str, model: Path) -> Iterator[Interpreter]:
    interpreter = open_interpreter("edgetpu:usb:0", model)
    yield interpreter
    tpu.command("work")
    interpreter.close()


@pytest.fixture
def expected(model: Path) -> np.ndarray:
    interpreter = open_interpreter("cpu", model)
    (output,) = interpreter.run(INPUT)
    interpreter.close()
    return np.asarray(output)


def back_on_tpu(interpreter: Interpreter) -> bool:
    interpreter.run(INPUT)
    return interpreter.accelerator == "edgetpu"


def test_the_tpu_runs_the_compiled_file(opened: Interpreter, tpu: StandinTpu, expected: np.ndarray) -> None:
    assert (opened.accelerator, opened.degraded) == ("edgetpu", None)
    assert tpu.openings == ["device=usb:0"]
    np.testing.assert_array_equal(opened.run(INPUT)[0], expected)
    assert tpu.runs == 1


def test_one_that_vanishes_costs_no_run_and_returns(opened: Interpreter, tpu: StandinTpu, expected: np.ndarray) -> None:
    opened.run(INPUT)
    tpu.command("gone")
    for _ in range(3):
        np.testing.assert_array_equal(opened.run(INPUT)[0], expected)
    assert opened.accelerator == "cpu"
    assert (
        opened.degraded is not None and "gone, on the CPU" in opened.degraded and "familiar doctor" in opened.degraded
    )
    until(lambda: opened.run(INPUT) is not None and len(tpu.openings) >= 3, "tried again twice")
    assert opened.accelerator == "cpu"
    tpu.command("work")
    until(lambda: back_on_tpu(opened), "back on the TPU")
    assert opened.degraded is None
    runs = tpu.runs
    np.testing.assert_array_equal(opened.run(INPUT)[0], expected)
    assert tpu.runs == runs + 1


def test_a_run_that_hangs_is_left_behind(tpu: StandinTpu, package: str, model: Path, expected: np.ndarray) -> None:
    interpreter = open_interpreter("edgetpu", model)
    interpreter.run(INPUT)
    threads = threading.active_count()
    tpu.command("hang")
    np.testing.assert_array_equal(interpreter.run(INPUT)[0], expected)
    assert interpreter.accelerator == "cpu"
    assert interpreter.degraded is not None and "did not end within 5 s" in interpreter.degraded
    tpu.command("work")
    until(lambda: back_on_tpu(interpreter), "back on the TPU")
    interpreter.close()
    until(lambda: threading.active_count() < threads, "no thread left behind")


def test_auto_takes_a_tpu_only_with_a_compiled_file_and_an_answer(tpu: StandinTpu, package: str, model: Path) -> None:
    assert open_interpreter("auto", model).accelerator == "edgetpu"
    tpu.command("gone")
    assert open_interpreter("auto", model).accelerator == "cpu"
    tpu.command("work")
    compiled_file(model).unlink()
    assert open_interpreter("auto", model).accelerator == "cpu"


def test_cpu_and_a_packages_name_never_touch_it(tpu: StandinTpu, package: str, model: Path) -> None:
    for name in ("cpu", package):
        assert open_interpreter(name, model).accelerator == "cpu"
    assert tpu.openings == []
    assert [on_cpu(name) for name in ("auto", "edgetpu:usb:0", package)] == ["cpu", "cpu", package]


def test_an_explicit_tpu_is_never_replaced(tpu: StandinTpu, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tpu.command("gone")
    with pytest.raises(InterpreterError, match=r"edgetpu:pci:0: expected an Edge TPU, none answers .*doctor"):
        open_interpreter("edgetpu:pci:0", model)
    monkeypatch.setenv("FAMILIAR_LIBEDGETPU", "libnowhere.so.1")
    with pytest.raises(InterpreterError, match=r"expected libnowhere\.so\.1, cannot load it"):
        open_interpreter("edgetpu", model)
    compiled_file(model).unlink()
    with pytest.raises(InterpreterError, match=r"encoder_edgetpu\.tflite: expected .*convert compile"):
        open_interpreter("edgetpu", model)


@pytest.mark.parametrize("name", ["edgetpu:usb:first", "edgetpu:isa", "edgetpu:", "auto:usb"])
def test_a_device_that_cannot_be_is_refused(model: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="expected one of auto, cpu, edgetpu"):
        open_interpreter(name, model)


def test_it_is_as_strict_as_the_cpu(opened: Interpreter) -> None:
    with pytest.raises(InputError, match="expected int8"):
        opened.run(INPUT.astype(np.float32))
    assert opened.accelerator == "edgetpu"
    opened.close()
    opened.close()
    with pytest.raises(InterpreterError, match="closed"):
        opened.run(INPUT)
