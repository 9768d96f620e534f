"""Looks into a .tflite file without TensorFlow: which operators on which tensors, and whether all of it is int8."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from edge_runtime.errors import InputError

_NEWEST_OPERATOR = 161
"""RIGHT_SHIFT, the newest builtin operator whose kernel tflite-runtime 2.14 carries."""
_NOT_OPERATORS = {"CUSTOM", "DELEGATE", "PLACEHOLDER_FOR_GREATER_OP_CODES"}
_IDENTIFIER = b"TFL3"


@dataclass(frozen=True)
class Tensor:
    """One tensor of a graph.

    Attributes:
        name: as the converter wrote it.
        dtype: as ``INT8`` or ``FLOAT32``.
        shape: with -1 where it is only known at run time.
        scales: of its quantisation; empty without, one, or one a channel.
        constant: whether its values are in the file.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    scales: int
    constant: bool


@dataclass(frozen=True)
class Operator:
    """One step of a graph.

    Attributes:
        name: the builtin's, as ``CONV_2D``; ``CUSTOM <name>`` for others; ``UNKNOWN <code>`` beyond the schema.
        version: of the builtin.
        code: the builtin's number.
        inputs, outputs: tensors; an optional one left out is not listed.
    """

    name: str
    version: int
    code: int
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


@dataclass(frozen=True)
class Graph:
    """What a .tflite file computes.

    Attributes:
        subgraphs: how many there are; the rest is about the first.
        tensors: all of it, used or not.
        operators: in the order they run.
        inputs, outputs: of the whole graph.
    """

    subgraphs: int
    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


def read_graph(data: bytes, where: str = "model") -> Graph:
    """Parse a .tflite file.

    Args:
        data: the file.
        where: its name, for the error line.

    Raises:
        InputError: not a TFLite flatbuffer, or a damaged one.
    """
    if data[4:8] != _IDENTIFIER:
        raise InputError(f"{where}: expected a TFLite model, found something else ({len(data)} bytes); check the file")
    try:
        model = schema.ModelT.InitFromPackedBuf(data, 0)
        graph = model.subgraphs[0]
        tensors = tuple(_tensor(tensor, model.buffers) for tensor in graph.tensors)
        pick = functools.partial(_pick, tensors)
        operators = tuple(
            Operator(*_kind(model.operatorCodes[o.opcodeIndex]), pick(o.inputs), pick(o.outputs))
            for o in (graph.operators if graph.operators is not None else ())
        )
        return Graph(len(model.subgraphs), tensors, operators, pick(graph.inputs), pick(graph.outputs))
    except Exception as error:  # the generated reader raises whatever a wild offset leads to
        raise InputError(
            f"{where}: expected a whole TFLite model, found a damaged one ({type(error).__name__}: {error}); "
            "convert it again"
        ) from error


def int8_faults(graph: Graph, per_tensor_dense: bool = True) -> list[str]:
    """Why this graph is not full int8 with fixed shapes for the interpreters of a device; empty if it is.

    Args:
        graph: of :func:`read_graph`.
        per_tensor_dense: also want one scale for the weights of a dense layer.
    """
    faults = []
    if graph.subgraphs != 1:
        faults.append(f"expected one subgraph, found {graph.subgraphs}")
    if len(graph.inputs) != 1 or len(graph.outputs) != 1:
        faults.append(f"expected one input and one output, found {len(graph.inputs)} and {len(graph.outputs)}")
    for operator in graph.operators:
        if operator.name in _NOT_OPERATORS or " " in operator.name or operator.code > _NEWEST_OPERATOR:
            faults.append(f"operator {operator.name}: expected a builtin that tflite-runtime 2.14 knows")
        if per_tensor_dense and operator.name == "FULLY_CONNECTED" and operator.inputs[1].scales > 1:
            faults.append(
                f"operator FULLY_CONNECTED: expected one scale for {operator.inputs[1].name!r}, found one a row"
            )
    makers = {id(t): operator.name for operator in graph.operators for t in operator.outputs}
    for tensor in graph.tensors:
        maker = makers.get(id(tensor), "a constant" if tensor.constant else "the input")
        if tensor.dtype != "INT8" and not (tensor.dtype == "INT32" and tensor.constant):
            faults.append(f"tensor {tensor.name!r} (of {maker}): expected INT8, found {tensor.dtype}")
        if any(length < 0 for length in tensor.shape):
            faults.append(f"tensor {tensor.name!r} (of {maker}): expected a fixed shape, found {tensor.shape}")
    return faults


def _tensor(tensor: Any, buffers: Sequence[Any]) -> Tensor:
    known = tensor.shape if tensor.shape is not None else ()
    # A shape that changes is written as a signature with -1 beside the shape it starts with.
    shape = tensor.shapeSignature if tensor.shapeSignature is not None and len(tensor.shapeSignature) else known
    quantisation = tensor.quantization
    scales = quantisation.scale if quantisation is not None and quantisation.scale is not None else ()
    data = buffers[tensor.buffer].data
    return Tensor(
        tensor.name.decode(errors="replace"),
        _names(schema.TensorType)[tensor.type],
        tuple(int(n) for n in shape),
        len(scales),
        data is not None and len(data) > 0,
    )


def _kind(code: Any) -> tuple[str, int, int]:
    """Name, version and number of an operator; files older than 2020 keep the number in the deprecated field."""
    number = max(code.builtinCode, code.deprecatedBuiltinCode)
    name = _names(schema.BuiltinOperator).get(number, f"UNKNOWN {number}")
    if name == "CUSTOM":
        name = f"CUSTOM {(code.customCode or b'').decode(errors='replace')}"
    return name, int(code.version), int(number)


def _pick(tensors: Sequence[Tensor], indices: Any) -> tuple[Tensor, ...]:
    return tuple(tensors[i] for i in (indices if indices is not None else ()) if i >= 0)


@functools.cache
def _names(enumeration: Any) -> dict[int, str]:
    return {value: name for name, value in vars(enumeration).items() if isinstance(value, int)}
