"""What ai-edge-litert and tflite-runtime have in common: the same Interpreter class under two names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import InputError, InterpreterError
from edge_runtime.protocols import Port
from edge_runtime.system.native_output import XNNPACK, without_lines


class FlatbufferInterpreter:
    """One .tflite model with one input, batch 1; see ``protocols.Interpreter``."""

    accelerator = "cpu"
    degraded: str | None = None

    def __init__(self, interpreter_class: Any, model: Path, threads: int, package: str, delegate: Any = None) -> None:
        delegates = [delegate] if delegate is not None else None
        try:
            with without_lines(XNNPACK):
                interpreter = interpreter_class(
                    model_path=str(model), num_threads=threads, experimental_delegates=delegates
                )
                interpreter.allocate_tensors()
            inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
        except SystemError as error:
            raise InterpreterError(
                f"{package} cannot open {model.name} under numpy {np.__version__} ({error}); "
                "tflite-runtime needs numpy < 2, ai-edge-litert takes both"
            ) from error
        except (ValueError, RuntimeError, OSError) as error:
            raise InterpreterError(
                f"{model}: {package} does not take this model ({' '.join(str(error).split())}); "
                "expected a TFLite model without custom operators, convert it again"
            ) from error
        if len(inputs) != 1 or not outputs:
            raise InterpreterError(f"{model}: expected one input and an output, found {len(inputs)} and {len(outputs)}")
        self.package = package
        self.input_shape = tuple(int(n) for n in inputs[0]["shape"])
        self.input_dtype: np.dtype[Any] = np.dtype(inputs[0]["dtype"])
        self.input_quantization: tuple[float, int] = _quantization(inputs[0])
        self.outputs = tuple(
            Port(tuple(int(n) for n in each["shape"]), np.dtype(each["dtype"]), _quantization(each)) for each in outputs
        )
        self._input, self._indices = inputs[0]["index"], [each["index"] for each in outputs]
        self._interpreter = interpreter

    def run(self, tensor: NDArray[Any]) -> list[NDArray[Any]]:
        """Run the model once; one copy an output.

        Raises:
            InputError: the tensor is not exactly ``input_shape`` and ``input_dtype``.
            InterpreterError: closed, or the run failed.
        """
        if self._interpreter is None:
            raise InterpreterError("interpreter: closed; open it again")
        if tensor.shape != self.input_shape or tensor.dtype != self.input_dtype:
            raise InputError(
                f"tensor: expected {self.input_dtype} {self.input_shape}, received {tensor.dtype} {tensor.shape}"
            )
        try:
            self._interpreter.set_tensor(self._input, tensor)
            self._interpreter.invoke()
            return [np.asarray(self._interpreter.get_tensor(index)) for index in self._indices]
        except (ValueError, RuntimeError) as error:
            raise InterpreterError(f"{self.package}: the run failed ({error})") from error

    def close(self) -> None:
        """Free the model; may be called again."""
        self._interpreter = None


def _quantization(details: dict[str, Any]) -> tuple[float, int]:
    scale, zero_point = details["quantization"]
    return float(scale), int(zero_point)
