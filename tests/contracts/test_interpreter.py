"""Every installed interpreter, the same tests: golden outputs to the last bit but one, and clear refusals."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edge_runtime.errors import ConfigError, InputError, InterpreterError
from edge_runtime.interpreters import installed_interpreters, open_interpreter
from edge_runtime.interpreters._flatbuffer import FlatbufferInterpreter
from edge_runtime.schema.backends import backend_names
from tests.builders import TINY_MODEL

GOLDEN = TINY_MODEL.with_name("tiny_outputs.npz")
ABSENT = sorted(set(backend_names("edge_runtime.interpreters")) - set(installed_interpreters()))


def test_one_is_installed() -> None:
    assert installed_interpreters()


@pytest.fixture(params=installed_interpreters())
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def interpreter(name: str) -> Iterator[FlatbufferInterpreter]:
    opened = open_interpreter(name, TINY_MODEL)
    yield opened
    opened.close()


def test_it_says_what_the_model_takes_and_gives(interpreter: FlatbufferInterpreter) -> None:
    assert interpreter.input_shape == (1, 28, 28, 1)
    (output,) = interpreter.outputs
    assert output.shape == (1, 32)
    assert interpreter.input_dtype == output.dtype == np.int8
    assert interpreter.input_quantization[0] > 0 and -128 <= interpreter.input_quantization[1] <= 127
    assert output.quantization[0] > 0


@pytest.mark.parametrize("threads", [1, 2])
def test_golden_outputs(name: str, threads: int) -> None:
    with np.load(GOLDEN) as golden:
        inputs, outputs = golden["inputs"], golden["outputs"]
    interpreter = open_interpreter(name, TINY_MODEL, threads)
    found = np.stack([interpreter.run(tensor[None])[0][0] for tensor in inputs])
    interpreter.close()
    assert found.dtype == np.int8 and len(np.unique(found)) > 50
    assert np.abs(found.astype(int) - outputs.astype(int)).max() <= 1


def test_a_result_is_not_overwritten_by_the_next(interpreter: FlatbufferInterpreter) -> None:
    with np.load(GOLDEN) as golden:
        inputs = golden["inputs"]
    (first,) = interpreter.run(inputs[:1])
    kept = first.copy()
    assert not np.array_equal(interpreter.run(inputs[1:2])[0], kept)
    np.testing.assert_array_equal(first, kept)


@pytest.mark.parametrize(
    "tensor",
    [
        np.zeros((1, 28, 28, 1), np.uint8),
        np.zeros((1, 28, 28, 1), np.float32),
        np.zeros((2, 28, 28, 1), np.int8),
        np.zeros((28, 28, 1), np.int8),
        np.zeros((1, 1, 28, 28), np.int8),
    ],
)
def test_another_dtype_or_shape_is_refused(interpreter: FlatbufferInterpreter, tensor: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"expected int8 \(1, 28, 28, 1\), received"):
        interpreter.run(tensor)


def test_closed_twice_and_used_no_more(interpreter: FlatbufferInterpreter) -> None:
    interpreter.close()
    interpreter.close()
    with pytest.raises(InterpreterError, match="closed"):
        interpreter.run(np.zeros((1, 28, 28, 1), np.int8))


@pytest.mark.parametrize("data", [None, b"", b"not a model", b"\x1c\0\0\0TFL3" + bytes(64)])
def test_what_is_no_model_is_one_line(name: str, data: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(InterpreterError) as caught:
        open_interpreter(name, path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


def test_an_unknown_name_lists_the_known() -> None:
    with pytest.raises(ConfigError, match="litert, tflite"):
        open_interpreter("onnx", TINY_MODEL)


@pytest.mark.parametrize("absent", ABSENT)
def test_one_that_is_not_installed_is_never_replaced(absent: str) -> None:
    with pytest.raises(InterpreterError, match=rf"pip install 'familiar-edge\[{absent}\]'"):
        open_interpreter(absent, TINY_MODEL)
