"""Mistakes made on purpose, to show that the parity report would catch them: an untried gate proves nothing."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from convert.edgetpu.graph import Tensor, read_graph
from convert.recipe import Recipe
from convert.report.parity import Parity, compare
from edge_runtime.bundle.preprocessing import Preprocessing
from edge_runtime.faces.encoder import TfliteEncoder
from edge_runtime.interpreters import open_interpreter
from edge_runtime.types import Floats, Pixels

_ELEMENTS = {"INT8": np.int8, "UINT8": np.uint8, "FLOAT16": np.float16, "FLOAT32": np.float32}
_LEAST_WEIGHTS = 64
_BETTER = 1.03
"""What separates people so much better is no mistake; a swap of colours costs 7 to 30 % (d')."""
TELLING = 1.5
"""d' of a model that knows people at all (77 % of pairs, were scores Gaussian); that of a weaker one proves nothing."""
_COMMON = ((127.5, 127.5), (0.0, 255.0), (0.0, 1.0))
"""Mean and std of the normalisations in common use (the last for models that do it themselves); planted where the right
one is another."""
_SAME_RANGE = 0.1
"""Two normalisations are the same mistake if black and white come out as near as this, in shares of their distance."""


@dataclass(frozen=True)
class Planted:
    """One mistake and what became of it.

    Attributes:
        name: the mistake, in words.
        parity: of the spoilt model.
        caught_by: names of the checks that fail; empty if nothing noticed.
        better: it tells people apart clearly *better* than the model as stated: what was stated is the mistake.
    """

    name: str
    parity: Parity
    caught_by: tuple[str, ...]
    better: bool

    def as_json(self) -> dict[str, Any]:
        return {"name": self.name, "caught_by": list(self.caught_by), "better": self.better} | {
            key: getattr(self.parity, key) for key in ("cosine", "pair_accuracy", "separation", "tmr_at_fmr_1e_3")
        }


def plant(
    model: Path,
    preprocessing: Preprocessing,
    probe: Pixels,
    raw_float: Floats,
    names: Sequence[str],
    recipe: Recipe,
) -> list[Planted]:
    """Make every mistake and measure what it does.

    Args:
        model: the .tflite file; a spoilt copy is made beside it, and removed.
        preprocessing: the right one.
        probe: uint8 (N, h, w, 3) RGB.
        raw_float: float32 (N, D), the codes to compare with.
        names: the person of each chip; empty where nobody knows.
        recipe: whose floors have to notice.
    """
    swapped = np.ascontiguousarray(probe[..., ::-1])
    spoilt = model.with_name("spoilt.tflite")
    layer = spoil_layer(model.read_bytes())
    spoilt.write_bytes(layer[1])
    try:
        mistakes: list[tuple[str, Callable[[], tuple[Floats, Floats]]]] = [
            ("red and blue swapped", lambda: _codes(model, preprocessing, swapped)),
        ]
        for name, normalised in _normalised_otherwise(preprocessing):
            mistakes.append((name, functools.partial(_codes, model, normalised, probe)))
        if layer[0]:
            mistakes.append((f"weights of {layer[0]} reversed", lambda: _codes(spoilt, preprocessing, probe)))
        stated = compare(raw_float, *_codes(model, preprocessing, probe), names, recipe.label)
        return [
            _planted(name, compare(raw_float, *make(), names, recipe.label), stated, recipe) for name, make in mistakes
        ]
    finally:
        spoilt.unlink()


def _normalised_otherwise(right: Preprocessing) -> list[tuple[str, Preprocessing]]:
    """The common normalisations that are others than ``right``, with their names."""
    found = []
    black, white = ((value - right.mean[0]) / right.std[0] for value in (0, 255))
    for mean, std in _COMMON:
        near = _SAME_RANGE * 255 / std
        if max(abs(-mean / std - black), abs((255 - mean) / std - white)) > near:
            channels = right.channels
            other = dataclasses.replace(right, mean=(mean,) * channels, std=(std,) * channels)
            found.append((f"normalised by {mean:g}/{std:g}", other))
    return found


def _planted(name: str, parity: Parity, stated: Parity, recipe: Recipe) -> Planted:
    apart, right = parity.separation, stated.separation
    better = bool(apart and right and apart[parity.label] > max(_BETTER * right[parity.label], TELLING))
    return Planted(name, parity, tuple(parity.faults(recipe)), better)


def _codes(model: Path, preprocessing: Preprocessing, chips: Pixels) -> tuple[Floats, Floats]:
    with contextlib.closing(TfliteEncoder(open_interpreter("auto", model), preprocessing)) as encoder:
        return encoder.encode(chips)


def spoil_layer(model: bytes, which: int | None = None) -> tuple[str, bytes]:
    """A model with the weights of one layer in reverse order, as a wrong layout would have them.

    Args:
        model: a .tflite file.
        which: index of the operator; None: the middle one of those with weights.

    Returns:
        The operator's name and index, as ``CONV_2D 7`` (empty if no operator has weights), and the file.
    """
    data = bytearray(model)
    operators = read_graph(data).operators
    weighted = [i for i, operator in enumerate(operators) if any(map(_weights, operator.given))]
    chosen = weighted[len(weighted) // 2 : len(weighted) // 2 + 1] if which is None else [which]
    if not chosen:
        return "", bytes(data)
    tensor = next(filter(_weights, operators[chosen[0]].given))
    assert tensor.data is not None
    values = tensor.data.view(_ELEMENTS[tensor.dtype])
    values[:] = values[::-1].copy()
    return f"{operators[chosen[0]].name} {chosen[0]}", bytes(data)


def _weights(tensor: Tensor) -> bool:
    return tensor.constant and tensor.dtype in _ELEMENTS and tensor.size >= _LEAST_WEIGHTS
