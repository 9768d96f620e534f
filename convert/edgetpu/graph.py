"""Looks into a .tflite file without TensorFlow: which operators, with which options, on which tensors.

Only what is asked for is read, and never more of anything than the file has room for: somebody else's file may be
damaged or made to hurt, and ends in one line all the same.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from edge_runtime.errors import InputError

_NEWEST_OPERATOR = 161
"""RIGHT_SHIFT, the newest builtin operator whose kernel tflite-runtime 2.14 carries."""
_NOT_OPERATORS = {"CUSTOM", "DELEGATE", "PLACEHOLDER_FOR_GREATER_OP_CODES"}
_IDENTIFIER = b"TFL3"
_LEAST_ENTRY_BYTES = 4
"""What one entry of a list takes in the file at the least: its offset."""
_LONGEST_NAME = 300
_DTYPES = {"INT8": np.int8, "UINT8": np.uint8, "INT32": np.int32, "INT64": np.int64, "FLOAT32": np.float32}


@dataclass(frozen=True, eq=False)
class Tensor:
    """One tensor of a graph.

    Attributes:
        name: as the converter wrote it.
        dtype: as ``INT8`` or ``FLOAT32``.
        shape: with -1 where it is only known at run time.
        scales: of its quantisation; empty without, one, or one a channel.
        zero_points: as many as scales.
        data: uint8 (bytes,), its values if they are in the file; None otherwise.
        variable: keeps its values from one run to the next.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    scales: tuple[float, ...]
    zero_points: tuple[int, ...]
    data: NDArray[np.uint8] | None = field(repr=False)
    variable: bool

    @property
    def constant(self) -> bool:
        """Whether its values are in the file."""
        return self.data is not None

    @property
    def size(self) -> int:
        """Number of values, taking a length only known at run time for 1."""
        size = 1
        for length in self.shape:
            size *= max(length, 1)
        return size

    def values(self) -> NDArray[Any] | None:
        """The constant's values in its shape; None for another tensor, a type without a numpy one or missing bytes."""
        kind = _DTYPES.get(self.dtype)
        if self.data is None or kind is None or len(self.data) != self.size * np.dtype(kind).itemsize:
            return None
        return np.frombuffer(self.data.tobytes(), kind).reshape(self.shape)


@dataclass(frozen=True, eq=False)
class Operator:
    """One step of a graph.

    Attributes:
        name: the builtin's, as ``CONV_2D``; ``CUSTOM <name>`` for others; ``UNKNOWN <code>`` beyond the schema.
        version: of the builtin.
        code: the builtin's number.
        inputs: tensors in the builtin's order; None for an optional one left out.
        outputs: tensors.
        options: the builtin's own, by their names in the schema, as ``fusedActivationFunction``.
    """

    name: str
    version: int
    code: int
    inputs: tuple[Tensor | None, ...]
    outputs: tuple[Tensor, ...]
    options: Mapping[str, Any]

    @property
    def given(self) -> tuple[Tensor, ...]:
        """The inputs without those left out."""
        return tuple(tensor for tensor in self.inputs if tensor is not None)


@dataclass(frozen=True, eq=False)
class Graph:
    """What a .tflite file computes.

    Attributes:
        subgraphs: how many there are; the rest is about the first.
        tensors: all of it, used or not.
        operators: in the order they run.
        inputs, outputs: of the whole graph.
        min_runtime_version: the oldest runtime it asks for, as ``1.14.0``; empty where it says nothing.
    """

    subgraphs: int
    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    min_runtime_version: str


def read_graph(data: bytes | bytearray, where: str = "model") -> Graph:
    """Parse a .tflite file.

    Args:
        data: the file; the tensors' ``data`` are views of it.
        where: its name, for the error line.

    Raises:
        InputError: not a TFLite flatbuffer, or a damaged one.
    """
    if data[4:8] != _IDENTIFIER:
        raise InputError(f"{where}: expected a TFLite model, found something else ({len(data)} bytes); check the file")
    try:
        return _Reader(data).graph()
    except Exception as error:  # the generated reader raises whatever a wild offset leads to
        what = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise InputError(
            f"{where}: expected a whole TFLite model, found a damaged one ({what}); convert it again"
        ) from error


def int8_faults(graph: Graph, per_tensor_dense: bool = True) -> list[str]:
    """Why this graph is not full int8 with fixed shapes for the interpreters of a device; empty if it is.

    Args:
        graph: of :func:`read_graph`.
        per_tensor_dense: also want one scale for the weights of a dense layer.
    """
    faults = loading_faults(graph)
    for operator in graph.operators:
        if per_tensor_dense and operator.name == "FULLY_CONNECTED":
            weights = operator.inputs[1] if len(operator.inputs) > 1 else None
            if weights is not None and len(weights.scales) > 1:
                faults.append(f"operator FULLY_CONNECTED: expected one scale for {weights.name!r}, found one a row")
    maker = _makers(graph)
    for tensor in graph.tensors:
        if tensor.dtype != "INT8" and not (tensor.dtype == "INT32" and tensor.constant):
            faults.append(f"tensor {tensor.name!r} (of {maker(tensor)}): expected INT8, found {tensor.dtype}")
    return faults


def loading_faults(graph: Graph) -> list[str]:
    """Why the interpreters of a device would not take this graph, whatever its types; empty if they would."""
    faults = []
    if graph.subgraphs != 1:
        faults.append(f"expected one subgraph, found {graph.subgraphs}")
    if len(graph.inputs) != 1 or not graph.outputs:
        faults.append(f"expected one input and an output, found {len(graph.inputs)} and {len(graph.outputs)}")
    for operator in graph.operators:
        if operator.name in _NOT_OPERATORS or " " in operator.name or operator.code > _NEWEST_OPERATOR:
            faults.append(f"operator {operator.name}: expected a builtin that tflite-runtime 2.14 knows")
    maker = _makers(graph)
    for tensor in graph.tensors:
        if any(length < 0 for length in tensor.shape):
            faults.append(f"tensor {tensor.name!r} (of {maker(tensor)}): expected a fixed shape, found {tensor.shape}")
    return faults


def _makers(graph: Graph) -> Callable[[Tensor], str]:
    """Tells for a tensor what makes it."""
    makers = {id(t): operator.name for operator in graph.operators for t in operator.outputs}
    return lambda tensor: makers.get(id(tensor), "a constant" if tensor.constant else "the input")


class _Reader:
    """Reads one file; raises whatever a wild offset leads to."""

    def __init__(self, data: bytes | bytearray) -> None:
        self._size = len(data)
        self._model = schema.Model.GetRootAs(data, 0)
        self._entries = 0

    def graph(self) -> Graph:
        model = self._model
        subgraphs = self._count(model.SubgraphsLength())
        first = model.Subgraphs(0)
        tensors = tuple(self._tensor(first.Tensors(i)) for i in range(self._count(first.TensorsLength())))
        operators = tuple(
            self._operator(first.Operators(i), tensors) for i in range(self._count(first.OperatorsLength()))
        )
        inputs, outputs = (self._pick(tensors, numbers) for numbers in (first.InputsAsNumpy(), first.OutputsAsNumpy()))
        return Graph(subgraphs, tensors, operators, _present(inputs), _present(outputs), self._runtime_version())

    def _count(self, count: int) -> int:
        """``count``, if the file has room for as many entries beside all that were read before."""
        self._entries += count
        if count < 0 or self._entries * _LEAST_ENTRY_BYTES > self._size:
            raise ValueError(f"more entries than {self._size} bytes can hold")
        return count

    def _tensor(self, tensor: Any) -> Tensor:
        shape = _numbers(tensor.ShapeAsNumpy())
        # A shape that changes is written as a signature with -1 beside the shape it starts with.
        signature = _numbers(tensor.ShapeSignatureAsNumpy())
        shape = signature if len(signature) else shape
        self._count(len(shape))
        if len(shape) > 8 or any(length < -1 for length in shape):
            raise ValueError(f"the shape {shape[:9]}")
        quantisation = tensor.Quantization()
        scales = _numbers(quantisation.ScaleAsNumpy()) if quantisation else ()
        zero_points = _numbers(quantisation.ZeroPointAsNumpy()) if quantisation else ()
        self._count(len(scales))
        data = self._model.Buffers(self._index(tensor.Buffer(), self._model.BuffersLength())).DataAsNumpy()
        return Tensor(
            self._text(tensor.Name()),
            _names(schema.TensorType)[tensor.Type()],
            tuple(int(length) for length in shape),
            tuple(float(scale) for scale in scales),
            tuple(int(zero) for zero in zero_points),
            data if isinstance(data, np.ndarray) and len(data) else None,
            bool(tensor.IsVariable()),
        )

    def _operator(self, operator: Any, tensors: tuple[Tensor, ...]) -> Operator:
        code = self._model.OperatorCodes(self._index(operator.OpcodeIndex(), self._model.OperatorCodesLength()))
        # Files older than 2020 keep the number in the deprecated field.
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        name = _names(schema.BuiltinOperator).get(number, f"UNKNOWN {number}")
        if name == "CUSTOM":
            name = f"CUSTOM {self._text(code.CustomCode())}"
        table = operator.BuiltinOptions()
        options = schema.BuiltinOptionsCreator(operator.BuiltinOptionsType(), table) if table is not None else None
        return Operator(
            name,
            int(code.Version()),
            int(number),
            self._pick(tensors, operator.InputsAsNumpy()),
            _present(self._pick(tensors, operator.OutputsAsNumpy())),
            dict(vars(options)) if options is not None else {},
        )

    def _pick(self, tensors: tuple[Tensor, ...], indices: Any) -> tuple[Tensor | None, ...]:
        chosen = _numbers(indices)
        self._count(len(chosen))
        return tuple(None if index == -1 else tensors[self._index(int(index), len(tensors))] for index in chosen)

    def _text(self, text: bytes | None) -> str:
        self._count(len(text or b"") // _LEAST_ENTRY_BYTES)
        return (text or b"")[:_LONGEST_NAME].decode(errors="replace")

    def _index(self, index: int, length: int) -> int:
        if not 0 <= index < length:
            raise ValueError(f"index {index} of {length}")
        return index

    def _runtime_version(self) -> str:
        for i in range(self._count(self._model.MetadataLength())):
            entry = self._model.Metadata(i)
            if entry.Name() == b"min_runtime_version":
                data = self._model.Buffers(self._index(entry.Buffer(), self._model.BuffersLength())).DataAsNumpy()
                return bytes(_numbers(data)[:64]).split(b"\0")[0].decode(errors="replace")
        return ""


def _present(tensors: Iterable[Tensor | None]) -> tuple[Tensor, ...]:
    return tuple(tensor for tensor in tensors if tensor is not None)


def _numbers(vector: Any) -> Any:
    """A vector of numbers as the generated reader gives it: numpy's, or 0 for one that is not there."""
    return vector if isinstance(vector, np.ndarray) else ()


@functools.cache
def _names(enumeration: Any) -> dict[int, str]:
    return {value: name for name, value in vars(enumeration).items() if isinstance(value, int)}
