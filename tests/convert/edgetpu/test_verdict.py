"""The gate against what the compiler really did, and against models made to break one rule each."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ai_edge_litert")

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from convert.__main__ import main
from convert.edgetpu.graph import read_graph
from convert.edgetpu.verdict import CUSTOM_OP, Verdict, fits, gate
from edge_runtime.errors import InputError
from tests.builders import ROOT, SHARED, TINY_MODEL
from tests.convert.models import ModelMaker, altered

CORAL = SHARED / "reference" / "coral"
ENCODER = ROOT / "models" / "released" / "default" / "encoder.tflite"

Make = Callable[[ModelMaker], Any]


def judged(make: Make, **start: Any) -> Verdict:
    maker = ModelMaker(**start)
    make(maker)
    return gate(maker.finish())


def conv(m: ModelMaker, source: int | None = None, version: int = 3, **options: Any) -> int:
    inputs = [m.source if source is None else source, m.weights(4, 3, 3, 4, scales=4), m.constant([0] * 4)]
    return m.operator("CONV_2D", inputs, (1, 8, 8, 4), version, kind="Conv2DOptions", **options)


# Models that map


FLAT = (1, 8)
MAPS: dict[str, Make] = {
    "conv": conv,
    "conv of oldest version": lambda m: conv(m, version=1),
    "conv with relu6 and dilation": lambda m: conv(
        m, fusedActivationFunction=3, dilationWFactor=2, dilationHFactor=2
    ),
    "conv without bias": lambda m: m.operator("CONV_2D", [m.source, m.weights(4, 1, 1, 4)], (1, 8, 8, 4), 3),
    "dense": lambda m: m.operator("FULLY_CONNECTED", [m.source, m.weights(8, 256), m.constant([0] * 8)], FLAT, 4),
    "mean over the picture": lambda m: m.operator("MEAN", [m.source, m.constant([1, 2])], (1, 4), 2),
    "mean over the channels": lambda m: m.operator("MEAN", [m.source, m.constant([-1])], (1, 8, 8), 2),
    "pad": lambda m: m.operator(
        "PAD", [m.source, m.constant([[0, 0], [1, 1], [1, 1], [0, 0]])], (1, 10, 10, 4), 2
    ),
    "twice the size": lambda m: m.operator(
        "RESIZE_NEAREST_NEIGHBOR", [m.source, m.constant([16, 16])], (1, 16, 16, 4), 3
    ),
    "joined with zeros": lambda m: m.operator(
        "CONCATENATION", [m.source, m.constant(np.zeros((1, 8, 8, 2)), "INT8")], (1, 8, 8, 6), 2
    ),
    "softmax": lambda m: m.operator("SOFTMAX", [m.operator("RESHAPE", [m.source], (1, 256))], (1, 256), 2),
    "squeezed from the left": lambda m: m.operator("SQUEEZE", [m.source], (8, 8, 4)),
    "slice": lambda m: m.operator(
        "STRIDED_SLICE", [m.source, *(m.constant([n] * 4) for n in (0, 4, 1))], (1, 4, 4, 4), 2
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MAPS)
def test_what_follows_the_rules_maps(name: str) -> None:
    verdict = judged(MAPS[name])
    assert verdict.maps_wholly and verdict.why_not == "" and verdict.ends_at is None


# Models made to break one rule each: what is made, and what must be said about its last operator.


def dense(m: ModelMaker, **changes: Any) -> int:
    what = {"rows": 8, "scales": 1, "version": 4, "output": FLAT, "format": 0} | changes
    return m.operator(
        "FULLY_CONNECTED",
        [m.source, m.weights(what["rows"], 256, scales=what["scales"]), m.constant([0] * what["rows"])],
        what["output"],
        what["version"],
        kind="FullyConnectedOptions",
        weightsFormat=what["format"],
    )


def strided(m: ModelMaker, strides: int = 1, **masks: int) -> int:
    inputs = [m.source, *(m.constant([n] * 4) for n in (0, 4, strides))]
    return m.operator("STRIDED_SLICE", inputs, (1, 4, 4, 4), 2, kind="StridedSliceOptions", **masks)


def resized(m: ModelMaker, side: int, **options: Any) -> int:
    inputs = [m.source, m.constant([side, side])]
    kind = {"kind": "ResizeBilinearOptions"} | options
    return m.operator("RESIZE_BILINEAR", inputs, (1, side, side, 4), 3, **kind)


REFUSED: dict[str, tuple[Make, str]] = {
    "an operator it does not have": (lambda m: m.operator("LEAKY_RELU", [m.source], (1, 8, 8, 4)), "no such operator"),
    "arg max": (lambda m: m.operator("ARG_MAX", [m.source, m.constant(3)], (1, 8, 8), 2), "no such operator"),
    "float": (
        lambda m: m.operator("ADD", [m.source, m.source], m.tensor((1, 8, 8, 4), "FLOAT32"), 2),
        "found FLOAT32",
    ),
    "int16": (lambda m: m.operator("RELU", [m.source], m.tensor((1, 8, 8, 4), "INT16"), 2), "found INT16"),
    "int64": (lambda m: m.operator("RELU", [m.source], m.tensor((1, 8, 8, 4), "INT64"), 2), "found INT64"),
    "int32 that flows": (lambda m: m.operator("ADD", [m.source, m.source], m.tensor((4,), "INT32")), "found INT32"),
    "float weights": (
        lambda m: m.operator("CONV_2D", [m.source, m.constant(np.ones((4, 1, 1, 4)), "FLOAT32")], (1, 8, 8, 4), 3),
        "found FLOAT32",
    ),
    "a shape of run time": (lambda m: m.operator("RELU", [m.source], (-1, 8, 8, 4), 2), "fixed shape"),
    "a batch of two": (lambda m: m.operator("RELU", [m.source], (2, 8, 8, 4), 2), "innermost"),
    "five dimensions": (lambda m: m.operator("RESHAPE", [m.source], (1, 2, 4, 8, 4)), "innermost"),
    "a scale a channel that flows": (
        lambda m: m.operator("RELU", [m.source], m.tensor((1, 8, 8, 4), scales=4), 2),
        "one scale",
    ),
    "no scale": (lambda m: m.operator("RELU", [m.source], m.tensor((1, 8, 8, 4), scales=0), 2), "one scale"),
    "larger than any that maps": (lambda m: m.operator("RELU", [m.source], (1, 512, 512, 16), 2), "at most 3,170,352"),
    "weights of run time": (
        lambda m: m.operator("CONV_2D", [m.source, m.tensor((4, 1, 1, 4))], (1, 8, 8, 4), 3),
        "to be a constant",
    ),
    "nothing but constants": (
        lambda m: m.operator("ADD", [m.weights(1, 8, 8, 4), m.weights(1, 8, 8, 4)], (1, 8, 8, 4), 2),
        "not a constant",
    ),
    "an input short": (lambda m: m.operator("CONV_2D", [m.source], (1, 8, 8, 4), 3), "expected 2 inputs"),
    "add of version 4": (lambda m: m.operator("ADD", [m.source, m.source], (1, 8, 8, 4), 4), "version 3 or older"),
    "conv of version 6": (lambda m: conv(m, version=6), "version 5 or older"),
    "dense of version 10": (lambda m: dense(m, version=10), "version 9 or older"),
    "reshape of version 2": (lambda m: m.operator("RESHAPE", [m.source], (1, 256), 2), "version 1 or older"),
    "conv in groups": (
        lambda m: m.operator("CONV_2D", [m.source, m.weights(4, 3, 3, 2)], (1, 8, 8, 4), 3),
        "one group",
    ),
    "conv with two dilations": (lambda m: conv(m, dilationWFactor=2, dilationHFactor=1), "one dilation"),
    "conv with tanh": (lambda m: conv(m, fusedActivationFunction=4), "fused activation"),
    "depthwise with two filters a channel": (
        lambda m: m.operator("DEPTHWISE_CONV_2D", [m.source, m.weights(1, 3, 3, 8)], (1, 8, 8, 8), 3),
        "one filter a channel",
    ),
    "pool with relu": (
        lambda m: m.operator(
            "MAX_POOL_2D", [m.source], (1, 4, 4, 4), 2, kind="Pool2DOptions", fusedActivationFunction=1
        ),
        "fused activation",
    ),
    "dense with a scale a row": (lambda m: dense(m, scales=8), "one scale"),
    "dense of two rows": (lambda m: dense(m, output=(2, 4)), "one dimension"),
    "dense with shuffled weights": (lambda m: dense(m, format=1), "default format"),
    "softmax of a map": (lambda m: m.operator("SOFTMAX", [m.source], (1, 8, 8, 4), 2), "one dimension"),
    "mean over the batch": (lambda m: m.operator("MEAN", [m.source, m.constant([0])], (8, 8, 4), 2), "not the batch"),
    "mean over 3 channels": (
        lambda m: m.operator("MEAN", [m.operator("RELU", [m.source], (1, 8, 8, 3), 2), m.constant([3])], (1, 8, 8), 2),
        "multiple of 4",
    ),
    "sum over axes of run time": (
        lambda m: m.operator("SUM", [m.source, m.tensor((1,), "INT32")], (1, 8, 8, 1), 1),
        "to be a constant",
    ),
    "padded batch": (
        lambda m: m.operator("PAD", [m.source, m.constant([[1, 0], [0, 0], [0, 0], [0, 0]])], (1, 8, 8, 4), 2),
        "none of it of the batch",
    ),
    "split of the batch": (lambda m: m.operator("SPLIT", [m.constant(0), m.source], (1, 8, 8, 4), 2), "not the batch"),
    "packed into a batch": (
        lambda m: m.operator("PACK", [m.source], (1, 8, 8, 4), 2, kind="PackOptions", axis=0),
        "not the batch",
    ),
    "joined with a constant": (
        lambda m: m.operator("CONCATENATION", [m.source, m.weights(1, 8, 8, 2)], (1, 8, 8, 6), 2),
        "all zeros",
    ),
    "a slope a pixel": (lambda m: m.operator("PRELU", [m.source, m.weights(8, 8, 4)], (1, 8, 8, 4)), "a channel"),
    "squeezed in the middle": (
        lambda m: m.operator("SQUEEZE", [m.operator("MAX_POOL_2D", [m.source], (1, 8, 1, 4), 2)], (1, 8, 4)),
        "leading",
    ),
    "every second pixel": (lambda m: strided(m, 2), "strides of 1"),
    "a slice that drops an axis": (lambda m: strided(m, shrinkAxisMask=1), "change of axes"),
    "three times the size": (lambda m: resized(m, 24), "twice the size"),
    "aligned corners": (lambda m: resized(m, 16, alignCorners=True), "align_corners"),
    "a transposition": (lambda m: m.operator("TRANSPOSE", [m.source, m.constant([0, 2, 1, 3])], (1, 8, 8, 4)), "no su"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_a_broken_rule_is_named(name: str) -> None:
    make, said = REFUSED[name]
    verdict = judged(make)
    assert not verdict.maps_wholly
    last = verdict.operators[-1]
    assert not last.maps and last.own and said in last.reason and last.reason in verdict.why_not


def test_the_partition_ends_at_the_first_operator_that_does_not_map() -> None:
    def make(m: ModelMaker) -> None:
        first = conv(m)
        middle = m.operator("LEAKY_RELU", [first], (1, 8, 8, 4))
        conv(m, middle)

    verdict = judged(make)
    assert [o.maps for o in verdict.operators] == [True, False, False] and verdict.ends_at == 1
    assert [o.own for o in verdict.operators] == [False, True, False]
    assert "after operator 1 LEAKY_RELU" in verdict.operators[2].reason


def test_a_float_model_with_int8_inside_begins_after_its_quantize() -> None:
    def make(m: ModelMaker) -> None:
        inner = conv(m, m.operator("QUANTIZE", [m.source], (1, 8, 8, 4)))
        m.operator("DEQUANTIZE", [inner], m.tensor((1, 8, 8, 4), "FLOAT32"), 2)

    verdict = judged(make, dtype="FLOAT32")
    assert [o.maps for o in verdict.operators] == [False, True, False]
    assert verdict.ends_at == 2 and "operator 0 QUANTIZE" in verdict.why_not


@pytest.mark.parametrize(("version", "maps"), [("1.14.0", True), ("2.5.0", True), ("2.6.0", False), ("x", False)])
def test_a_runtime_newer_than_the_compiler_is_refused(version: str, maps: bool) -> None:
    maker = ModelMaker()
    conv(maker)
    verdict = gate(maker.finish(min_runtime_version=version))
    assert verdict.maps_wholly == maps and (maps or version in verdict.why_not)
    assert verdict.operators[0].maps == maps


def test_a_second_subgraph_and_no_operator_at_all_are_refused() -> None:
    maker = ModelMaker()
    conv(maker)
    verdict = gate(maker.finish(subgraphs=2))
    assert not verdict.maps_wholly and "one subgraph" in verdict.why_not and not verdict.operators[0].maps
    empty = gate(ModelMaker().finish())
    assert not empty.maps_wholly and "found none" in empty.why_not


def test_models_share_the_memory() -> None:
    encoder = gate(ENCODER.read_bytes())
    assert encoder.maps_wholly and len(encoder.operators) > 9 and encoder.operators[-1].name == "FULLY_CONNECTED"
    assert 2.2e6 < encoder.parameter_bytes < ENCODER.stat().st_size
    assert fits(encoder, encoder) and not fits(*[encoder] * 4)


def test_what_is_no_model_is_one_line() -> None:
    for data in (b"", b"hello", TINY_MODEL.read_bytes()[:300]):
        with pytest.raises(InputError, match=r"x\.tflite") as caught:
            gate(data, "x.tflite")
        assert "\n" not in str(caught.value)


# Against the compiler


@pytest.mark.skipif(not CORAL.is_dir(), reason=f"needs the models in {CORAL}")
@pytest.mark.parametrize("name", ["deeplabv3_mnv2_dm05_pascal_quant", "mobilenet_v1_0.25_128_quant", "split_concat"])
def test_the_compiler_left_to_the_cpu_what_the_gate_says(name: str) -> None:
    verdict = gate((CORAL / f"{name}.tflite").read_bytes())
    compiled = (CORAL / f"{name}_edgetpu.tflite").read_bytes()
    truth = read_graph(compiled)
    left = Counter((o.name, o.outputs[0].shape) for o in truth.operators if o.name != CUSTOM_OP)
    operators = read_graph((CORAL / f"{name}.tflite").read_bytes()).operators
    said = [o for o, v in zip(operators, verdict.operators, strict=True) if not v.maps]
    assert Counter((o.name, o.outputs[0].shape) for o in said) == left
    assert verdict.maps_wholly == (not left) == gate(compiled).maps_wholly
    assert gate(compiled).compiled and not verdict.compiled
    if left:
        # Where it stopped: what comes out of the custom operator is what goes into the operators that are left.
        ending = operators[verdict.ends_at or 0]
        made = {t.shape for o in truth.operators if o.name == CUSTOM_OP for t in o.outputs}
        assert ending.name == "RESIZE_BILINEAR" and ending.given[0].shape in made


@pytest.mark.skipif(not CORAL.is_dir(), reason=f"needs the models in {CORAL}")
def test_the_estimate_of_memory_is_near_what_the_compiler_made_of_it() -> None:
    # Length of `parameters` in the parameter-caching executable of each compiled file.
    for name, parameters in (("deeplabv3_mnv2_dm05_pascal_quant", 766_720), ("mobilenet_v1_0.25_128_quant", 566_912)):
        verdict = gate((CORAL / f"{name}.tflite").read_bytes())
        assert verdict.on_chip_bytes == pytest.approx(parameters, rel=0.05)


@pytest.mark.skipif(not CORAL.is_dir(), reason=f"needs the models in {SHARED}")
def test_models_of_others_are_refused_at_their_first_operator() -> None:
    for name, said in (("float", "found FLOAT32"), ("uint8", "fixed shape")):
        verdict = gate((SHARED / f"reference/mobilefacenet_{name}.tflite").read_bytes())
        assert not any(o.maps for o in verdict.operators) and said in verdict.why_not and verdict.ends_at is None


# The command


def test_the_table_names_every_operator_and_the_exit_code_says_whether_all_map(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["gate", str(ENCODER)]) == 0
    out = capsys.readouterr().out
    assert out.count("maps\n") == len(gate(ENCODER.read_bytes()).operators) and "maps wholly" in out and "fits" in out
    maker = ModelMaker()
    maker.operator("LEAKY_RELU", [conv(maker)], (1, 8, 8, 4))
    bad = tmp_path / "bad.tflite"
    bad.write_bytes(maker.finish())
    assert main(["gate", str(bad), str(ENCODER)]) == 1
    out = capsys.readouterr().out
    assert "ends at operator 1 LEAKY_RELU" in out and "1 of 2 operators" in out and "together:" in out
    assert main(["gate", str(bad), "--json"]) == 1
    document = json.loads(capsys.readouterr().out)["models"][0]
    assert (document["mapped"], document["ends_at"], document["maps_wholly"]) == (1, 1, False)


def test_a_model_cannot_send_the_terminal_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def edit(model: Any) -> None:
        code = model.operatorCodes[0]
        code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
        code.customCode = b"\x1b[2J"

    path = tmp_path / "m.tflite"
    path.write_bytes(altered(edit))
    assert main(["gate", str(path)]) == 1
    assert "\x1b" not in capsys.readouterr().out


def test_a_file_that_is_not_there_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gate", "nowhere.tflite"]) == 4
    assert capsys.readouterr().err.count("\n") == 1
