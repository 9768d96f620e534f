"""Where two models part: the error of every layer, to find the one that breaks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.edgetpu.graph import Graph, Operator, Tensor, read_graph
from edge_runtime.types import Floats

_CONVERSIONS = {"QUANTIZE", "DEQUANTIZE"}
_LEAST = 1e-15
"""Of a share of error: beyond what float32 can show."""

TensorOf = Callable[[int], NDArray[Any]]
"""The input tensor for chip number i."""


@dataclass(frozen=True)
class LayerError:
    """One layer of the model measured, against the same layer of the reference.

    Attributes:
        index: of the operator in the model measured.
        operator: the builtin's name.
        name: of its output.
        snr_db: power of the reference's values over that of the difference, dB: what has added up to here.
        added: power of the error that this layer adds to its worst input's, as a share of the signal's.
    """

    index: int
    operator: str
    name: str
    snr_db: float
    added: float

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def layer_errors(
    reference: bytes, candidate: bytes, reference_tensor: TensorOf, candidate_tensor: TensorOf, chips: int
) -> list[LayerError]:
    """Compare the outputs of the layers that both models have, in the order they run.

    Both are the same network: their operators are the same but for conversions between types. Where they are not,
    nothing can be said layer by layer.

    Args:
        reference, candidate: .tflite files that an interpreter has opened before.
        reference_tensor, candidate_tensor: the input tensor for chip number i.
        chips: how many chips to run, at least one.

    Returns:
        One entry a layer; empty where the two are different networks.
    """
    graphs = read_graph(reference), read_graph(candidate)
    matched = _matched(*graphs)
    if not matched:
        return []
    signal, noise = np.zeros(len(matched) + 1), np.zeros(len(matched) + 1)
    runs = (_Run(reference, graphs[0]), _Run(candidate, graphs[1]))
    for i in range(chips):
        wanted, found = (
            run(tensor(i), [graph.inputs[0], *(pair[side].outputs[0] for pair in matched)])
            for side, (run, tensor, graph) in enumerate(
                zip(runs, (reference_tensor, candidate_tensor), graphs, strict=True)
            )
        )
        for k, (w, f) in enumerate(zip(wanted, found, strict=True)):
            signal[k] += float((w**2).sum())
            noise[k] += float(((w - f) ** 2).sum())
    share = np.minimum(noise / np.maximum(signal, _LEAST), 1 / _LEAST)
    return _errors(graphs[1], [pair[1] for pair in matched], share[0], share[1:])


def _matched(reference: Graph, candidate: Graph) -> list[tuple[Operator, Operator]]:
    """The layers of both in order, if they are the same network."""
    steps = [[o for o in g.operators if o.name not in _CONVERSIONS and _computes(o)] for g in (reference, candidate)]
    same = [o.name for o in steps[0]] == [o.name for o in steps[1]] and all(
        a.outputs and b.outputs and a.outputs[0].shape == b.outputs[0].shape for a, b in zip(*steps, strict=False)
    )
    return list(zip(*steps, strict=True)) if same else []


def _computes(operator: Operator) -> bool:
    """Whether it works on anything but constants; half-precision weights are widened by operators that do not."""
    return any(not tensor.constant for tensor in operator.given)


def _errors(graph: Graph, layers: list[Operator], at_input: float, shares: NDArray[np.float64]) -> list[LayerError]:
    by_tensor = {id(graph.inputs[0]): at_input}
    values = dict(zip(map(id, layers), shares, strict=True))
    errors = []
    for index, operator in enumerate(graph.operators):
        before = max((by_tensor.get(id(t), 0.0) for t in operator.given), default=0.0)
        own = float(values.get(id(operator), before))
        by_tensor |= {id(tensor): own for tensor in operator.outputs}
        if id(operator) in values:
            snr_db = -10 * float(np.log10(max(own, _LEAST)))
            added = max(own - before, 0.0)
            name = operator.outputs[0].name.partition(";")[0]  # the rest are layers that were fused into it
            errors.append(LayerError(index, operator.name, name, round(snr_db, 2), added))
    return errors


class _Run:
    """An interpreter that keeps every tensor, on the plain kernels: a delegate would hide those in between."""

    def __init__(self, model: bytes, graph: Graph) -> None:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        self._interpreter = Interpreter(
            model_content=model,
            experimental_preserve_all_tensors=True,
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        )
        self._interpreter.allocate_tensors()
        self._index = {id(tensor): i for i, tensor in enumerate(graph.tensors)}

    def __call__(self, source: NDArray[Any], wanted: list[Tensor]) -> list[Floats]:
        self._interpreter.set_tensor(self._interpreter.get_input_details()[0]["index"], source)
        self._interpreter.invoke()
        return [self._real(tensor) for tensor in wanted]

    def _real(self, tensor: Tensor) -> Floats:
        values = np.asarray(self._interpreter.get_tensor(self._index[id(tensor)]))
        if values.dtype.kind == "f":
            return values.astype(np.float32)
        scale, zero = (tensor.scales or (1.0,))[0], (tensor.zero_points or (0,))[0]
        return ((values.astype(np.float32) - zero) * np.float32(scale)).astype(np.float32)


def worst(errors: list[LayerError]) -> LayerError | None:
    """The layer that adds most error; None without layers."""
    return max(errors, key=lambda error: error.added, default=None)


def layer_fault(errors: list[LayerError], least_snr_db: float) -> str | None:
    """What to say where the error of a layer is larger than allowed; None where it is not."""
    low = min(errors, key=lambda error: error.snr_db, default=None)
    bad = worst(errors)
    if low is None or bad is None or low.snr_db >= least_snr_db:
        return None
    return (
        f"expected at least {least_snr_db:g} dB at every layer, found {low.snr_db:.1f} at {low.operator} {low.index}; "
        f"most of it comes from {bad.operator} {bad.index} ({bad.name})"
    )
