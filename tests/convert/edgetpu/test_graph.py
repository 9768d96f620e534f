"""A .tflite file is judged by what is in it: one altered tensor or operator is found and named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("ai_edge_litert")

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from convert.edgetpu.graph import int8_faults, read_graph
from edge_runtime.errors import InputError
from tests.builders import SHARED, TINY_MODEL
from tests.convert.models import altered


def faults(edit: Callable[[Any], object]) -> list[str]:
    return int8_faults(read_graph(altered(edit)))


def test_the_tiny_model_is_read_and_has_no_fault() -> None:
    graph = read_graph(TINY_MODEL.read_bytes())
    assert [o.name for o in graph.operators] == ["RESHAPE", "FULLY_CONNECTED"]
    assert graph.inputs[0].shape == (1, 28, 28, 1) and graph.outputs[0].shape == (1, 32)
    assert int8_faults(graph) == []
    assert faults(lambda model: None) == []


def test_a_float_tensor_is_named_with_its_operator() -> None:
    def edit(model: Any) -> None:
        graph = model.subgraphs[0]
        graph.tensors[graph.outputs[0]].type = schema.TensorType.FLOAT32

    (fault,) = faults(edit)
    assert "FULLY_CONNECTED" in fault and "FLOAT32" in fault


@pytest.mark.parametrize("kind", ["FLOAT16", "INT64", "INT16", "UINT8", "BOOL"])
def test_any_other_type_is_a_fault(kind: str) -> None:
    def edit(model: Any) -> None:
        graph = model.subgraphs[0]
        graph.tensors[graph.inputs[0]].type = getattr(schema.TensorType, kind)

    assert any(kind in fault and "the input" in fault for fault in faults(edit))


def test_a_shape_of_run_time_is_a_fault() -> None:
    def edit(model: Any) -> None:
        graph = model.subgraphs[0]
        graph.tensors[graph.inputs[0]].shapeSignature = [-1, 28, 28, 1]

    (fault,) = faults(edit)
    assert "fixed shape" in fault and "(-1, 28, 28, 1)" in fault


def test_custom_and_unknown_operators_are_named() -> None:
    def custom(model: Any) -> None:
        code = model.operatorCodes[0]
        code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
        code.customCode = b"FlexErf"

    def newer(model: Any) -> None:
        model.operatorCodes[0].builtinCode = schema.BuiltinOperator.STABLEHLO_LOGISTIC

    def beyond(model: Any) -> None:
        model.operatorCodes[0].builtinCode = 5000

    assert any("CUSTOM FlexErf" in fault for fault in faults(custom))
    assert any("STABLEHLO_LOGISTIC" in fault for fault in faults(newer))
    assert any("UNKNOWN 5000" in fault for fault in faults(beyond))


def test_more_than_one_subgraph_input_or_output_is_a_fault() -> None:
    assert any("one subgraph" in fault for fault in faults(lambda m: m.subgraphs.append(m.subgraphs[0])))

    def edit(model: Any) -> None:
        graph = model.subgraphs[0]
        graph.inputs = [*graph.inputs, graph.outputs[0]]

    assert any("one input" in fault for fault in faults(edit))


def test_one_scale_a_row_of_a_dense_layer_is_a_fault_where_one_is_wanted() -> None:
    def edit(model: Any) -> None:
        graph = model.subgraphs[0]
        weights = graph.tensors[graph.operators[1].inputs[1]].quantization
        weights.scale, weights.zeroPoint = [0.1] * 32, [0] * 32

    data = altered(edit)
    assert any("FULLY_CONNECTED" in fault for fault in int8_faults(read_graph(data)))
    assert int8_faults(read_graph(data), per_tensor_dense=False) == []


@pytest.mark.parametrize("data", [b"", b"TFL3", b"hello, I am no model", TINY_MODEL.read_bytes()[:200]])
def test_what_is_no_model_is_one_line(data: bytes) -> None:
    with pytest.raises(InputError, match=r"x\.tflite") as caught:
        read_graph(data, "x.tflite")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("what", ["scales", "name"])
def test_a_small_file_cannot_be_made_to_look_large(what: str) -> None:
    builder = flatbuffers.Builder(1 << 16)
    name = builder.CreateString("x" * (40_000 if what == "name" else 4))
    scales = builder.CreateNumpyVector(np.ones(10_000 if what == "scales" else 1, np.float32))
    schema.QuantizationParametersStart(builder)
    schema.QuantizationParametersAddScale(builder, scales)
    quantisation = schema.QuantizationParametersEnd(builder)
    schema.TensorStart(builder)
    schema.TensorAddName(builder, name)
    schema.TensorAddQuantization(builder, quantisation)
    tensor = schema.TensorEnd(builder)
    builder.StartVector(4, 20_000, 4)
    for _ in range(20_000):  # all of them the same
        builder.PrependUOffsetTRelative(tensor)
    tensors = builder.EndVector()
    schema.SubGraphStart(builder)
    schema.SubGraphAddTensors(builder, tensors)
    subgraph = schema.SubGraphEnd(builder)
    schema.BufferStart(builder)
    buffer = schema.BufferEnd(builder)
    vectors = []
    for offset in (subgraph, buffer):
        builder.StartVector(4, 1, 4)
        builder.PrependUOffsetTRelative(offset)
        vectors.append(builder.EndVector())
    schema.ModelStart(builder)
    schema.ModelAddSubgraphs(builder, vectors[0])
    schema.ModelAddBuffers(builder, vectors[1])
    builder.Finish(schema.ModelEnd(builder), b"TFL3")
    data = bytes(builder.Output())
    assert len(data) < 200_000
    with pytest.raises(InputError, match="more entries"):
        read_graph(data)


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"needs the models in {SHARED}")
def test_models_of_others() -> None:
    floats = int8_faults(read_graph((SHARED / "reference/mobilefacenet_float.tflite").read_bytes()))
    assert any("FLOAT32" in fault for fault in floats)
    compiled = sorted((SHARED / "reference/coral").glob("*_edgetpu.tflite"))[0]
    assert any("edgetpu-custom-op" in fault for fault in int8_faults(read_graph(compiled.read_bytes())))
