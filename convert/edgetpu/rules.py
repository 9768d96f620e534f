"""What the Edge TPU asks of one operator: the rules behind :mod:`convert.edgetpu.verdict`.

They are those of Coral's "TensorFlow models on the Edge TPU" (supported operations and their limits) and of the
compiler's own messages in public threads; versions are the newest that compiler 16 takes. Where only the compiler
knows, the answer is that it does not map: what passes here is meant to map there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from convert.edgetpu.graph import Operator, Tensor

EIGHT_BIT = ("INT8", "UINT8")
_LARGEST_ACTIVATION = 257 * 257 * 48
"""Bytes of the largest tensor seen to map (DeepLab v3); beyond, the compiler gives up on some models."""
_LARGEST_SOFTMAX = 16_000
_LARGEST_RESIZE = 128
"""Side, px, up to which public logs show a resize mapped; larger ones are refused there as often as not."""
_FUSED = {0: "none", 1: "RELU", 2: "RELU_N1_TO_1", 3: "RELU6"}

Rule = Callable[[Operator], str | None]
"""Why an operator does not map; None if nothing speaks against it."""


def why_not(operator: Operator) -> str | None:
    """The first rule that speaks against an operator, whatever comes before it."""
    kind = _KINDS.get(operator.name)
    if kind is None:
        return "the Edge TPU has no such operator"
    if operator.version > kind.newest:
        return f"expected version {kind.newest} or older, found {operator.version}"
    if len(operator.inputs) < kind.inputs or not operator.outputs or None in operator.inputs[: kind.inputs]:
        return f"expected {kind.inputs} inputs and an output, found {len(operator.given)} and {len(operator.outputs)}"
    parameters = [t for i, t in enumerate(operator.inputs) if i in kind.parameters and t is not None]
    flowing = [t for i, t in enumerate(operator.inputs) if i not in kind.parameters and t is not None]
    return (
        next(filter(None, map(_parameter_fault, parameters)), None)
        or next(filter(None, map(_flow_fault, [*flowing, *operator.outputs])), None)
        or ("expected an input that is not a constant" if all(t.constant for t in flowing) else None)
        or _fused_fault(operator, kind.fused)
        or kind.rule(operator)
    )


def _parameter_fault(tensor: Tensor) -> str | None:
    if not tensor.constant:
        return f"expected {tensor.name!r} to be a constant, it is only known at run time"
    if tensor.dtype not in (*EIGHT_BIT, "INT32"):
        return f"expected {tensor.name!r} as INT8, UINT8 or INT32, found {tensor.dtype}"
    return None


def _flow_fault(tensor: Tensor) -> str | None:
    """What speaks against a tensor that goes through the chip."""
    if tensor.dtype not in EIGHT_BIT:
        return f"expected {tensor.name!r} as INT8 or UINT8, found {tensor.dtype}"
    if any(length < 0 for length in tensor.shape):
        return f"expected a fixed shape of {tensor.name!r}, found {tensor.shape}"
    if any(length != 1 for length in tensor.shape[:-3]):
        return f"expected all but the three innermost dimensions of {tensor.name!r} to be 1, found {tensor.shape}"
    if len(tensor.scales) != 1 or not tensor.scales[0] > 0:
        return f"expected one scale for {tensor.name!r}, found {len(tensor.scales)}"
    if tensor.variable:
        return f"expected {tensor.name!r} to keep nothing between runs, it is a variable"
    if not tensor.constant and tensor.size > _LARGEST_ACTIVATION:
        return f"expected at most {_LARGEST_ACTIVATION:,} bytes in {tensor.name!r}, found {tensor.size:,}"
    return None


def _fused_fault(operator: Operator, allowed: bool) -> str | None:
    fused = operator.options.get("fusedActivationFunction", 0)
    if fused and (not allowed or fused not in _FUSED):
        expected = "none, RELU, RELU6 or RELU_N1_TO_1" if allowed else "none"
        return f"expected {expected} as fused activation, found {_FUSED.get(fused, fused)}"
    return None


def _anything(operator: Operator) -> str | None:
    return None


def _convolution(operator: Operator) -> str | None:
    across, down = operator.options.get("dilationWFactor", 1), operator.options.get("dilationHFactor", 1)
    if across != down:
        return f"expected one dilation in x and y, found {across} and {down}"
    source, weights = operator.given[:2]
    if len(weights.shape) != 4 or len(source.shape) != 4:
        return f"expected four dimensions of input and filter, found {source.shape} and {weights.shape}"
    if operator.name == "CONV_2D" and weights.shape[3] != source.shape[3]:
        return f"expected one group, found filters of {weights.shape[3]} channels for {source.shape[3]}"
    if operator.name == "DEPTHWISE_CONV_2D" and weights.shape[3] != source.shape[3]:
        return f"expected one filter a channel, found {weights.shape[3]} for {source.shape[3]}"
    return None


def _dense(operator: Operator) -> str | None:
    weights, output = operator.given[1], operator.outputs[0]
    if len(weights.scales) != 1:
        return f"expected one scale for {weights.name!r}, found {len(weights.scales)}"
    if operator.options.get("weightsFormat", 0):
        return "expected the default format of weights, found a shuffled one"
    if output.size != max((*output.shape, 1)):
        return f"expected an output of one dimension, found {output.shape}"
    return None


def _softmax(operator: Operator) -> str | None:
    source = operator.given[0]
    if source.size != max((*source.shape, 1)) or source.size > _LARGEST_SOFTMAX:
        return f"expected one dimension of at most {_LARGEST_SOFTMAX:,} values, found {source.shape}"
    return None


def _resize(operator: Operator) -> str | None:
    source, output = operator.given[0].shape, operator.outputs[0].shape
    if operator.options.get("alignCorners"):
        return "expected align_corners = false, for only the compiler knows whether it is precise enough otherwise"
    if len(source) != 4 or [2 * n for n in source[1:3]] != list(output[1:3]) or max(output[1:3]) > _LARGEST_RESIZE:
        return (
            f"expected twice the size and at most {_LARGEST_RESIZE} px, found {source} to {output}; "
            "only the compiler knows whether others are precise enough"
        )
    return None


def _concatenation(operator: Operator) -> str | None:
    constants = [t for t in operator.given if t.constant]
    if constants and (len(operator.given) != 2 or any(_real(t).any() for t in constants)):
        return "expected no constant among its inputs, or two inputs of which one is all zeros"
    return None


def _real(tensor: Tensor) -> Any:
    """An 8-bit constant's values less its zero point; not zero where they cannot be read."""
    values = tensor.values()
    return np.ones(1) if values is None else values.astype(np.int64) - (tensor.zero_points or (0,))[0]


def _not_the_batch(operator: Operator) -> str | None:
    """Reductions: constant axes, none of them the batch."""
    axes = _axes(operator.given[1], len(operator.given[0].shape))
    if axes is None or 0 in axes:
        return f"expected to reduce along known axes, not the batch, found {axes}"
    return None


def _mean(operator: Operator) -> str | None:
    shape = operator.given[0].shape
    axes = _axes(operator.given[1], len(shape))
    if axes and len(shape) - 1 in axes and shape[-1] % 4:
        return f"expected a multiple of 4 channels to average, found {shape[-1]}"
    return _not_the_batch(operator)


def _pad(operator: Operator) -> str | None:
    amounts = operator.given[1].values()
    if amounts is None or amounts.ndim != 2 or len(amounts) != len(operator.given[0].shape) or amounts[0].any():
        return "expected known padding, none of it of the batch"
    return None


def _split(operator: Operator) -> str | None:
    axes = _axes(operator.given[0], len(operator.given[1].shape))
    return f"expected to split along a known axis, not the batch, found {axes}" if not axes or 0 in axes else None


def _pack(operator: Operator) -> str | None:
    axis = operator.options.get("axis", 0)
    return f"expected to pack along an axis, not the batch, found {axis}" if axis == 0 else None


def _prelu(operator: Operator) -> str | None:
    alpha = operator.given[1].shape
    return f"expected one slope a channel, found {alpha}" if any(n != 1 for n in alpha[:-1]) else None


def _squeeze(operator: Operator) -> str | None:
    source, output = operator.given[0].shape, operator.outputs[0].shape
    if [n for n in source if n != 1] != [n for n in output if n != 1] or source[len(source) - len(output) :] != output:
        return f"expected to squeeze leading dimensions only, found {source} to {output}"
    return None


def _strided_slice(operator: Operator) -> str | None:
    strides = operator.given[3].values()
    masks = [operator.options.get(mask, 0) for mask in ("ellipsisMask", "newAxisMask", "shrinkAxisMask")]
    if strides is None or (strides != 1).any() or any(masks):
        return "expected strides of 1, no ellipsis and no change of axes"
    return None


def _axes(tensor: Tensor, rank: int) -> list[int] | None:
    """Axes from 0; None where they cannot be read or lead out of the tensor."""
    values = tensor.values()
    if values is None or values.dtype.kind != "i":
        return None
    axes = sorted({int(axis) + rank if axis < 0 else int(axis) for axis in values.ravel()})
    return axes if all(0 <= axis < rank for axis in axes) else None


@dataclass(frozen=True)
class _Kind:
    """One builtin the Edge TPU knows.

    Attributes:
        newest: version.
        inputs: how many there must be at the least.
        parameters: which of the inputs must be constants, read when it is compiled.
        fused: whether an activation may be fused to it.
        rule: what else it asks for.
    """

    newest: int
    inputs: int = 1
    parameters: tuple[int, ...] = ()
    fused: bool = False
    rule: Rule = _anything


_KINDS = {
    "ADD": _Kind(3, 2, fused=True),
    "AVERAGE_POOL_2D": _Kind(2),
    "CONCATENATION": _Kind(2, rule=_concatenation),
    "CONV_2D": _Kind(5, 2, (1, 2), True, _convolution),
    "DEPTHWISE_CONV_2D": _Kind(6, 2, (1, 2), True, _convolution),
    "EXPAND_DIMS": _Kind(1, 2, (1,)),
    "FULLY_CONNECTED": _Kind(9, 2, (1, 2), True, _dense),
    "L2_NORMALIZATION": _Kind(2),
    "LOGISTIC": _Kind(2),
    "MAXIMUM": _Kind(2, 2),
    "MAX_POOL_2D": _Kind(2),
    "MEAN": _Kind(3, 2, (1,), rule=_mean),
    "MINIMUM": _Kind(2, 2),
    "MUL": _Kind(4, 2, fused=True),
    "PACK": _Kind(2, rule=_pack),
    "PAD": _Kind(3, 2, (1,), rule=_pad),
    "PRELU": _Kind(1, 2, (1,), rule=_prelu),
    "QUANTIZE": _Kind(2),
    "REDUCE_MAX": _Kind(2, 2, (1,), rule=_not_the_batch),
    "REDUCE_MIN": _Kind(2, 2, (1,), rule=_not_the_batch),
    "RELU": _Kind(2),
    "RELU6": _Kind(2),
    "RELU_N1_TO_1": _Kind(1),
    "RESHAPE": _Kind(1, parameters=(1,)),
    "RESIZE_BILINEAR": _Kind(4, 2, (1,), rule=_resize),
    "RESIZE_NEAREST_NEIGHBOR": _Kind(4, 2, (1,), rule=_resize),
    "SLICE": _Kind(2, 3, (1, 2)),
    "SOFTMAX": _Kind(3, rule=_softmax),
    "SPACE_TO_DEPTH": _Kind(2),
    "SPLIT": _Kind(2, 2, (0,), rule=_split),
    "SQUARED_DIFFERENCE": _Kind(2, 2),
    "SQUEEZE": _Kind(1, rule=_squeeze),
    "STRIDED_SLICE": _Kind(4, 4, (1, 2, 3), rule=_strided_slice),
    "SUB": _Kind(5, 2, fused=True),
    "SUM": _Kind(2, 2, (1,), rule=_not_the_batch),
    "TANH": _Kind(2),
    "TRANSPOSE_CONV": _Kind(3, 3, (0, 1, 3), True),
}
