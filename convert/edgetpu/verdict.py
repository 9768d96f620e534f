"""Whether a .tflite file maps to the Edge TPU, without its compiler: every rule that is known, operator by operator.

The compiler makes one partition: from the first operator that maps to the first that does not, in the order they
run. Everything after that stays on the CPU.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from convert.edgetpu.graph import Graph, Operator, Tensor, read_graph
from convert.edgetpu.rules import EIGHT_BIT, why_not

MEMORY_BYTES = 8 << 20
"""On-chip memory of an Edge TPU."""
RESERVED_BYTES = 1 << 20
"""Of it for activations and instructions: logs of compilers 15 and 16 show 6.98 to 7.25 MiB left for parameters."""
CUSTOM_OP = "CUSTOM edgetpu-custom-op"
_NEWEST_RUNTIME = (2, 5, 0)


@dataclass(frozen=True)
class OperatorVerdict:
    """What becomes of one operator.

    Attributes:
        index: in the order of execution, from 0.
        name, version: of the builtin.
        output: shape of its first output, as ``1x32x32x64``.
        maps: whether it runs on the Edge TPU.
        reason: why not; empty if it maps.
        own: the reason lies in the operator itself, not in one before it.
    """

    index: int
    name: str
    version: int
    output: str
    maps: bool
    reason: str
    own: bool


@dataclass(frozen=True)
class Verdict:
    """What the gate says of a file.

    Attributes:
        where: the file's name.
        operators: one verdict each, in the order of execution.
        faults: of the model as a whole; with one, nothing maps.
        ends_at: index of the first operator that ends the partition; None if none does, or nothing maps at all.
        compiled: the compiler has been here already.
        parameter_bytes: constants of the operators that map.
        on_chip_bytes: what these take there, padded; an estimate.
    """

    where: str
    operators: tuple[OperatorVerdict, ...]
    faults: tuple[str, ...]
    ends_at: int | None
    compiled: bool
    parameter_bytes: int
    on_chip_bytes: int

    @property
    def maps_wholly(self) -> bool:
        """Whether every operator runs on the Edge TPU."""
        return not self.faults and bool(self.operators) and all(operator.maps for operator in self.operators)

    @property
    def why_not(self) -> str:
        """The first reason against it, in one line; empty where it maps wholly."""
        for fault in self.faults:
            return fault
        for operator in self.operators:
            if not operator.maps and operator.own:
                return f"operator {operator.index} {operator.name}: {operator.reason}"
        return "" if self.operators else "expected operators, found none"

    def as_json(self) -> dict[str, Any]:
        return {
            "file": self.where,
            "maps_wholly": self.maps_wholly,
            "compiled": self.compiled,
            "faults": list(self.faults),
            "mapped": sum(operator.maps for operator in self.operators),
            "ends_at": self.ends_at,
            "parameter_bytes": self.parameter_bytes,
            "on_chip_bytes": self.on_chip_bytes,
            "fits": fits(self),
            "operators": [vars(operator) for operator in self.operators],
        }


def fits(*verdicts: Verdict) -> bool:
    """Whether the parameters of all these models have room on the chip at the same time, as far as can be estimated."""
    return sum(verdict.on_chip_bytes for verdict in verdicts) <= MEMORY_BYTES - RESERVED_BYTES


def gate(model: bytes, where: str = "model") -> Verdict:
    """Judge a .tflite file.

    Args:
        model: the file.
        where: its name, for messages.

    Raises:
        InputError: not a TFLite flatbuffer, or a damaged one.
    """
    graph = read_graph(model, where)
    if any(operator.name == CUSTOM_OP for operator in graph.operators):
        return _compiled(graph, where)
    faults = _faults(graph)
    reasons = [why_not(operator) for operator in graph.operators]
    start = next((i for i, reason in enumerate(reasons) if reason is None), len(reasons))
    end = next((i for i in range(start, len(reasons)) if reasons[i] is not None), None)
    verdicts = []
    for index, (operator, reason) in enumerate(zip(graph.operators, reasons, strict=True)):
        own = reason is not None
        if faults:
            reason = reason or "the model as a whole does not map"
        elif not own and end is not None and index > end:
            reason = f"after operator {end} {graph.operators[end].name}, which ends the partition"
        verdicts.append(_verdict(index, operator, reason or "", own))
    mapped = [operator for operator, verdict in zip(graph.operators, verdicts, strict=True) if verdict.maps]
    return Verdict(
        where,
        tuple(verdicts),
        tuple(faults),
        None if faults or start == len(reasons) else end,
        False,
        sum(len(t.data) for t in _distinct(mapped) if t.data is not None),
        sum(_on_chip(operator) for operator in mapped),
    )


def _verdict(index: int, operator: Operator, reason: str, own: bool) -> OperatorVerdict:
    output = "x".join(map(str, operator.outputs[0].shape)) if operator.outputs else ""
    return OperatorVerdict(index, operator.name, operator.version, output, not reason, reason, own)


def _compiled(graph: Graph, where: str) -> Verdict:
    """A file the compiler made: what it took is one custom operator, everything else it left to the CPU."""
    verdicts = [
        _verdict(i, o, "" if o.name == CUSTOM_OP else "left to the CPU by the compiler", o.name != CUSTOM_OP)
        for i, o in enumerate(graph.operators)
    ]
    end = next((verdict.index for verdict in verdicts if not verdict.maps), None)
    several = sum(verdict.maps for verdict in verdicts) > 1
    faults = ("expected one edgetpu-custom-op, found several; compile it without -n",) if several else ()
    return Verdict(where, tuple(verdicts), faults, end, True, 0, 0)


def _faults(graph: Graph) -> list[str]:
    """What speaks against the model as a whole."""
    faults = []
    if graph.subgraphs != 1:
        faults.append(f"expected one subgraph, found {graph.subgraphs}")
    if graph.min_runtime_version:
        try:
            older = tuple(int(part) for part in graph.min_runtime_version.split(".")) <= _NEWEST_RUNTIME
        except ValueError:
            older = False
        if not older:
            faults.append(
                f"min_runtime_version: expected 2.5.0 or older, found {graph.min_runtime_version!r}; compiler 16 "
                "knows no newer operators"
            )
    return faults


def _distinct(operators: list[Operator]) -> list[Tensor]:
    return list({id(tensor): tensor for operator in operators for tensor in operator.given}.values())


def _on_chip(operator: Operator) -> int:
    """Bytes an operator's parameters take on the chip.

    Lanes of 32 channels in and out, 64 for a depthwise filter, 16 bytes a channel for bias and scale: within 4 % of
    what two compiled models hold.
    """
    weights = next((t for t in operator.given if t.constant and t.dtype in EIGHT_BIT), None)
    if weights is None:
        return 0
    shape = weights.shape
    if operator.name == "DEPTHWISE_CONV_2D" and len(shape) == 4:
        channels = _up(shape[3], 64)
        return channels * shape[1] * shape[2] + 16 * channels
    if operator.name in ("CONV_2D", "TRANSPOSE_CONV", "FULLY_CONNECTED") and len(shape) in (2, 4):
        outputs = _up(shape[0], 32)
        return outputs * _up(shape[-1], 32) * math.prod(shape[1:-1]) + 16 * outputs
    return weights.size


def _up(number: int, step: int) -> int:
    return -(-number // step) * step
