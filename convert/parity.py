"""What int8 costs: codes of the float and the int8 model on the same chips of people neither was fitted on."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from convert.recipe import Recipe
from edge_runtime.encoder import normalise
from edge_runtime.errors import InputError
from edge_runtime.metrics import cosine_summary, dir_at_fpir, pair_accuracy, pair_similarity, tmr_at_fmr
from edge_runtime.pairs import make_pairs
from edge_runtime.types import Floats

_FMR = 1e-3
_FPIRS = (0.01, 0.001)
_PEOPLE, _PHOTOS, _DRAWS = 40, 3, 20


@dataclass(frozen=True)
class Parity:
    """Float against int8.

    Attributes:
        chips: how many were compared.
        people: of the chips; None where nobody knows their names.
        cosine: ``mean``, ``min`` and ``p1`` (first percentile) of the cosine of the two codes.
        norm_ratio: ``mean``, ``p1`` and ``p99`` of int8 length / float length; None if all codes are zero.
        rejected: chips with a zero code, of ``float`` and ``int8``.
        pairs: how many pairs of photos stand behind ``pair_accuracy``; 0 without pairs.
        pair_accuracy: of ``float`` and ``int8``, 0..1; None without pairs.
        tmr_at_fmr_1e_3: of ``float`` and ``int8``, 0..1, where quantisation shows first; None without pairs.
        identification: DIR at rank 1 (ISO/IEC 19795-1) by FPIR, ``mean`` and ``spread`` of ``float`` and ``int8``,
            0..1, with the ``people`` enrolled from ``photos`` photos each and how many ``draws``; None where the
            people are too few.
    """

    chips: int
    people: int | None
    cosine: dict[str, float]
    norm_ratio: dict[str, float] | None
    rejected: dict[str, int]
    pairs: int
    pair_accuracy: dict[str, float] | None
    tmr_at_fmr_1e_3: dict[str, float] | None
    identification: dict[str, Any] | None

    def as_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    def faults(self, recipe: Recipe) -> list[str]:
        """How far the int8 model misses the recipe's floors; empty if it does not."""
        floors = {"mean": recipe.cosine_mean, "p1": recipe.cosine_p1}
        return [
            f"cosine {name}: expected at least {floor:g}, found {self.cosine[name]:.4f}"
            for name, floor in floors.items()
            if not self.cosine[name] >= floor
        ]


def compare(raw_float: Floats, int8_unit: Floats, int8_norms: Floats, names: Sequence[str]) -> Parity:
    """Compare codes of the same chips.

    Args:
        raw_float: float32 (N, D) as the float model gives them.
        int8_unit: float32 (N, D) of unit length, from the int8 model.
        int8_norms: float32 (N,), their lengths before.
        names: the person of each chip; empty where nobody knows.

    Raises:
        InputError: no chips, or two shapes.
    """
    float_unit, float_norms = normalise(raw_float.astype(np.float32))
    cosine = cosine_summary(float_unit, int8_unit)
    both = (float_norms > 0) & (int8_norms > 0)
    ratio = int8_norms[both] / float_norms[both]
    spread = (
        {"mean": ratio.mean(), "p1": np.quantile(ratio, 0.01), "p99": np.quantile(ratio, 0.99)} if len(ratio) else None
    )
    pairs, accuracy, tmr = 0, None, None
    known = [name for name in names if name]
    if len(known) == len(names):
        try:
            left, right, same, fold = make_pairs(names)
            codes = {"float": float_unit, "int8": int8_unit}
            pairs = len(left)
            accuracy = {k: pair_accuracy(pair_similarity(c[left], c[right]), same, fold).mean for k, c in codes.items()}
            tmr = {k: tmr_at_fmr(c, names, _FMR).tmr for k, c in codes.items()}
        except InputError:
            pass  # too few people with two photos: the cosines say what can be said
    return Parity(
        chips=len(names),
        people=len(set(known)) if known else None,
        cosine={name: float(value) for name, value in cosine.items()},
        norm_ratio=spread and {name: float(value) for name, value in spread.items()},
        rejected={"float": int((float_norms == 0).sum()), "int8": int((int8_norms == 0).sum())},
        pairs=pairs,
        pair_accuracy=accuracy,
        tmr_at_fmr_1e_3=tmr,
        identification=_identification({"float": float_unit, "int8": int8_unit}, names) if pairs else None,
    )


def _identification(codes: dict[str, Floats], names: Sequence[str]) -> dict[str, Any] | None:
    """DIR by FPIR; half the people with enough photos are enrolled if they are fewer than twice the usual number."""
    enough = sum(count > _PHOTOS for count in Counter(names).values())
    people = min(_PEOPLE, enough // 2)
    drawn = {"people": people, "photos": _PHOTOS, "draws": _DRAWS}
    try:
        found = {k: dir_at_fpir(c, names, _FPIRS, **drawn) for k, c in codes.items()}
    except InputError:
        return None
    rates = {
        str(fpir): {k: {"mean": rows[i].dir_mean, "spread": rows[i].dir_std} for k, rows in found.items()}
        for i, fpir in enumerate(_FPIRS)
    }
    return {**drawn, "rates": rates}
