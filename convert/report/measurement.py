"""Everything that is measured before a bundle is written, and the checks that decide whether it may be."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convert.recipe import Recipe
from convert.report.beside import beside_released, coin_fault
from convert.report.layers import LayerError, layer_errors, layer_fault
from convert.report.parity import Parity, compare
from convert.report.planted import TELLING, Planted, plant
from edge_runtime.bundle.preprocessing import Preprocessing
from edge_runtime.faces.encoder import TfliteEncoder
from edge_runtime.interpreters import open_interpreter
from edge_runtime.types import Floats, Pixels

CHECKS = (
    "cosine_mean",
    "cosine_p1",
    "layers",
    "pair_accuracy_loss",
    "tmr_loss",
    "dir_loss_1_percent",
    "dir_loss_01_percent",
    "stated",
    "edgetpu",
    "coin",
)
"""Names of all checks, as ``--force`` takes them."""
_AGAINST_FLOAT = ("cosine_mean", "cosine_p1", *CHECKS[3:7], "layer_snr_db")
"""The recipe's keys that are floors against a float model."""
_LAYER_CHIPS = 24
_MOST_PLANTED = 1500
_LEAST_PAIRS = 300
"""Fewer do not show that another preprocessing were better."""


@dataclass(frozen=True)
class Measured:
    """What was found.

    Attributes:
        parity: the model against its float one, or alone.
        layers: the error of each layer; empty without a float model of the same layers.
        planted: mistakes made on purpose.
        failed: what a check has to say, by its name; empty if all passed.
        limits: the floors that were applied, by the recipe's key.
        unsure: why nobody can tell whether the preprocessing was stated rightly; None: they can, or a run says it.
        units, norms: float32 (N, D) and (N,), the model's codes of the probe.
    """

    parity: Parity
    layers: list[LayerError]
    planted: list[Planted]
    failed: dict[str, str]
    limits: dict[str, float]
    unsure: str | None
    units: Floats
    norms: Floats

    def document(self, name: str, held_out: str, forced: Sequence[str]) -> dict[str, Any]:
        """The parity report, JSON-ready."""
        return {
            "schema": 1,
            "name": name,
            "held_out": held_out,
            "beside": beside_released(self.parity),
            "parity": self.parity.as_json(),
            "layers": [layer.as_json() for layer in self.layers],
            "planted": [mistake.as_json() for mistake in self.planted],
            "limits": self.limits,
            "failed": self.failed,
            "unsure": self.unsure,
            "forced": [name for name in forced if name in self.failed],
        }


def measure(
    model: Path,
    reference: bytes | None,
    raw_float: Floats | None,
    preprocessing: Preprocessing,
    probe: Pixels,
    names: Sequence[str],
    recipe: Recipe,
    by_hand: bool = False,
) -> Measured:
    """Compare a model with its float one, layer by layer and person by person, and plant mistakes in it.

    Args:
        model: the .tflite file; a spoilt copy is made beside it for a moment.
        reference: the float .tflite file; None: nobody has it.
        raw_float: float32 (N, D), codes of the float model; None: the reference's own, if there is a reference.
        preprocessing: of both models.
        probe: uint8 (N, h, w, 3) RGB chips of people neither was fitted on.
        names: the person of each; empty where nobody knows.
        recipe: with the floors.
        by_hand: the preprocessing was stated by a person and is doubted if a planted mistake does better.
    """
    layers: list[LayerError] = []
    with _open(model, preprocessing) as encoder:
        units, norms = encoder.encode(probe)
        if reference is not None:
            other = model.with_name("reference.tflite")
            other.write_bytes(reference)
            try:
                with _open(other, preprocessing) as float_encoder:
                    if raw_float is None:
                        float_units, float_norms = float_encoder.encode(probe)
                        raw_float = float_units * float_norms[:, None]
                    tensors = [lambda i, e=e: e.tensor(probe[i : i + 1]) for e in (float_encoder, encoder)]
                    layers = layer_errors(
                        reference, model.read_bytes(), tensors[0], tensors[1], min(_LAYER_CHIPS, len(probe))
                    )
            finally:
                other.unlink()
    parity = compare(raw_float, units, norms, names, recipe.label)
    some = slice(0, _MOST_PLANTED)
    own = units * norms[:, None] if raw_float is None else raw_float
    planted = plant(model, preprocessing, probe[some], own[some], names[some], recipe)
    better = next((mistake.name for mistake in planted if mistake.better), None) if by_hand else None
    failed = _failed(parity, layers, better, recipe)
    unsure = _unsure(parity, better) if by_hand else None
    limits = {key: float(getattr(recipe, key)) for key in _AGAINST_FLOAT} if raw_float is not None else {}
    if not layers:
        limits.pop("layer_snr_db", None)
    return Measured(parity, layers, planted, failed, limits, unsure, units, norms)


def _failed(parity: Parity, layers: list[LayerError], better: str | None, recipe: Recipe) -> dict[str, str]:
    """What each check that fails has to say, by its name."""
    failed = parity.faults(recipe)
    if fault := layer_fault(layers, recipe.layer_snr_db):
        failed["layers"] = fault
    if fault := coin_fault(parity):
        failed["coin"] = fault
    if better and parity.pairs >= _LEAST_PAIRS:
        failed["stated"] = f"expected to tell people apart best as it was stated, found better with {better}"
    return failed


def _unsure(parity: Parity, better: str | None) -> str | None:
    """Why figures do not show whether the preprocessing was stated rightly; None: they do."""
    hint = f"; on these it tells people apart better with {better}" if better else ""
    if parity.pairs < _LEAST_PAIRS:
        return (
            "nobody can tell whether colours and normalisation were stated rightly: "
            f"{parity.pairs} pairs of photos to judge by, and {_LEAST_PAIRS} are needed; "
            f"give --chips of people with several photos each{hint}"
        )
    apart = (parity.separation or {})[parity.label]
    if apart < TELLING:
        return (
            "nobody can tell whether colours and normalisation were stated rightly: the model hardly tells people "
            f"apart (d' {apart:.2f}, and {TELLING} is needed){hint}"
        )
    return None


@contextlib.contextmanager
def _open(model: Path, preprocessing: Preprocessing) -> Iterator[TfliteEncoder]:
    encoder = TfliteEncoder(open_interpreter("auto", model), preprocessing)
    try:
        yield encoder
    finally:
        encoder.close()
