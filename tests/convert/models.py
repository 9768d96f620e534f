"""Small .tflite files made tensor by tensor, and real ones with something altered; needs no TensorFlow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tests.builders import TINY_MODEL

Shape = Sequence[int]


def altered(edit: Callable[[Any], object], original: bytes | None = None) -> bytes:
    """A model (default: the tiny one) with something changed in it."""
    model = schema.ModelT.InitFromPackedBuf(original or TINY_MODEL.read_bytes(), 0)
    edit(model)
    return pack(model)


def pack(model: Any) -> bytes:
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


class ModelMaker:
    """Collects tensors and operators of one model; every method returns the index of the tensor it made."""

    def __init__(self, source: Shape = (1, 8, 8, 4), dtype: str = "INT8") -> None:
        """Begin with the input."""
        self._tensors: list[Any] = []
        self._buffers = [schema.BufferT()]
        self._operators: list[Any] = []
        self._codes: list[Any] = []
        self.source = self.tensor(source, dtype)

    def tensor(self, shape: Shape, dtype: str = "INT8", scales: int = 1) -> int:
        """A tensor known at run time; a -1 in ``shape`` becomes its signature."""
        tensor = schema.TensorT()
        tensor.name = f"t{len(self._tensors)}".encode()
        tensor.shape = [abs(n) for n in shape]
        tensor.shapeSignature = list(shape) if -1 in shape else None
        tensor.type = getattr(schema.TensorType, dtype)
        tensor.quantization = schema.QuantizationParametersT()
        tensor.quantization.scale, tensor.quantization.zeroPoint = [0.1] * scales, [0] * scales
        tensor.buffer = 0
        self._tensors.append(tensor)
        return len(self._tensors) - 1

    def constant(self, values: Any, dtype: str = "INT32", scales: int = 1) -> int:
        """A tensor whose values are in the file."""
        array = np.asarray(values, {"INT32": np.int32, "INT8": np.int8, "FLOAT32": np.float32}[dtype])
        index = self.tensor(array.shape, dtype, scales)
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(array.tobytes(), np.uint8)
        self._buffers.append(buffer)
        self._tensors[index].buffer = len(self._buffers) - 1
        return index

    def weights(self, *shape: int, scales: int = 1) -> int:
        return self.constant(np.ones(shape), "INT8", scales)

    def operator(self, name: str, inputs: Sequence[int], output: Shape | int, version: int = 1, **options: Any) -> int:
        """An operator with one output, of a shape, or a tensor made before; options by their names in the schema."""
        code = schema.OperatorCodeT()
        code.builtinCode = getattr(schema.BuiltinOperator, name)
        code.deprecatedBuiltinCode, code.version = min(code.builtinCode, 127), version
        self._codes.append(code)
        operator = schema.OperatorT()
        operator.opcodeIndex = len(self._codes) - 1
        made = output if isinstance(output, int) else self.tensor(output)
        operator.inputs, operator.outputs = list(inputs), [made]
        if options:
            kind = options.pop("kind")
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, kind)
            operator.builtinOptions = getattr(schema, f"{kind}T")()
            for key, value in options.items():
                assert hasattr(operator.builtinOptions, key), key
                setattr(operator.builtinOptions, key, value)
        self._operators.append(operator)
        return made

    def finish(self, *outputs: int, min_runtime_version: str = "", subgraphs: int = 1) -> bytes:
        """The file; the last operator's output unless others are named."""
        graph = schema.SubGraphT()
        graph.tensors, graph.operators, graph.inputs = self._tensors, self._operators, [self.source]
        graph.outputs = list(outputs) or ([self._operators[-1].outputs[0]] if self._operators else [self.source])
        model = schema.ModelT()
        model.version, model.operatorCodes, model.buffers = 3, self._codes, self._buffers
        model.subgraphs = [graph] * subgraphs
        if min_runtime_version:
            buffer, entry = schema.BufferT(), schema.MetadataT()
            buffer.data = np.frombuffer(min_runtime_version.encode().ljust(16, b"\0"), np.uint8)
            model.buffers = [*self._buffers, buffer]
            entry.name, entry.buffer = b"min_runtime_version", len(model.buffers) - 1
            model.metadata = [entry]
        return pack(model)
