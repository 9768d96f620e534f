"""What a conversion costs: codes of two models on the same chips of people neither was fitted on."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.recipe import Recipe
from edge_runtime.errors import InputError
from edge_runtime.geometry.embeddings import normalise
from edge_runtime.metrics.biometrics import cosine_summary, dir_at_fpir, pair_accuracy, pair_similarity, tmr_at_fmr
from edge_runtime.metrics.lfw_pairs import make_pairs
from edge_runtime.types import Floats

FLOAT = "float"
"""What the model is called that is compared with."""
_FMR = 1e-3
_FPIRS = {"0.01": "dir_loss_1_percent", "0.001": "dir_loss_01_percent"}
"""Rates by their name in tables, with the recipe's key for each."""
_PEOPLE, _PHOTOS, _DRAWS = 40, 3, 20
_BINS = 20


@dataclass(frozen=True)
class Parity:
    """One model against another, or one alone.

    Attributes:
        label: of the model measured, as ``int8``; the other one is ``float``.
        chips: how many were compared.
        people: of the chips; None where nobody knows their names.
        cosine: ``mean``, ``min`` and ``p1`` (first percentile) of the cosine of the two codes; None for one alone.
        histogram: ``edges`` (21,) and ``counts`` (20,) of these cosines, from the least to 1.
        norm_ratio: ``mean``, ``p1`` and ``p99`` of length / float length; None if all codes are zero, or for one alone.
        rejected: chips with a zero code, by model.
        pairs: how many pairs of photos stand behind ``pair_accuracy``; 0 without pairs.
        pair_accuracy: by model, 0..1; None without pairs.
        pair_accuracy_error: standard error of the difference of the two accuracies, over the folds; None for one alone.
        separation: by model, how far same and different pairs lie apart (d', see :func:`separation`); None without
            pairs. It tells a right from a nearly right preprocessing where accuracy does not yet.
        tmr_at_fmr_1e_3: by model, 0..1, where quantisation shows first; None without pairs.
        identification: DIR at rank 1 (ISO/IEC 19795-1) by FPIR, ``mean`` and ``spread`` by model, 0..1, with the
            ``people`` enrolled from ``photos`` photos each and how many ``draws``; None where the people are too few.
    """

    label: str
    chips: int
    people: int | None
    cosine: dict[str, float] | None
    histogram: dict[str, list[float]] | None
    norm_ratio: dict[str, float] | None
    rejected: dict[str, int]
    pairs: int
    pair_accuracy: dict[str, float] | None
    pair_accuracy_error: float | None
    separation: dict[str, float] | None
    tmr_at_fmr_1e_3: dict[str, float] | None
    identification: dict[str, Any] | None

    def as_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    def faults(self, recipe: Recipe) -> dict[str, str]:
        """How far the model misses the recipe's floors, by the check's name; empty if it does not."""
        faults = {}
        for name, floor in (("mean", recipe.cosine_mean), ("p1", recipe.cosine_p1)):
            if self.cosine and not self.cosine[name] >= floor:
                faults[f"cosine_{name}"] = f"expected at least {floor:g}, found {self.cosine[name]:.4f}"
        losses = {"pair_accuracy_loss": self.pair_accuracy, "tmr_loss": self.tmr_at_fmr_1e_3}
        if self.identification:
            rates = self.identification["rates"]
            losses |= {key: {k: v["mean"] for k, v in rates[rate].items()} for rate, key in _FPIRS.items()}
        for check, shares in losses.items():
            allowed = getattr(recipe, check)
            if shares and FLOAT in shares and self.label != FLOAT:
                loss = shares[FLOAT] - shares[self.label]
                if check == "pair_accuracy_loss":
                    loss -= self.pair_accuracy_error or 0.0  # what chance alone may do to so few pairs
                if not loss <= allowed:
                    faults[check] = (
                        f"expected to lose at most {allowed:.1%}, found {shares[FLOAT]:.1%} to {shares[self.label]:.1%}"
                    )
        return faults


def compare(raw_float: Floats | None, unit: Floats, norms: Floats, names: Sequence[str], label: str = "int8") -> Parity:
    """Compare codes of the same chips.

    Args:
        raw_float: float32 (N, D) as the float model gives them; None: there is none to compare with.
        unit: float32 (N, D) of unit length, from the model measured.
        norms: float32 (N,), their lengths before.
        names: the person of each chip; empty where nobody knows.
        label: of the model measured.

    Raises:
        InputError: no chips, or two shapes.
    """
    codes, rejected = {}, {}
    cosine = histogram = ratio = None
    if raw_float is not None:
        float_unit, float_norms = normalise(raw_float.astype(np.float32))
        codes[FLOAT], rejected[FLOAT] = float_unit, int((float_norms == 0).sum())
        cosine = {name: float(value) for name, value in cosine_summary(float_unit, unit).items()}
        histogram = _histogram((float_unit * unit).sum(1))
        ratio = _ratio(norms, float_norms)
    codes[label], rejected[label] = unit, int((norms == 0).sum())
    known = [name for name in names if name]
    verification = _verification(codes, names) if len(known) == len(names) else None
    return Parity(
        label,
        len(names),
        len(set(known)) if known else None,
        cosine,
        histogram,
        ratio,
        rejected,
        verification.pairs if verification else 0,
        verification.accuracy if verification else None,
        verification.error if verification else None,
        verification.separation if verification else None,
        verification.tmr if verification else None,
        identification(codes, names) if verification else None,
    )


def _histogram(cosines: Floats) -> dict[str, list[float]]:
    low = min(float(np.floor(cosines.min() * 100) / 100), 0.99)
    counts, edges = np.histogram(np.clip(cosines, low, 1), _BINS, (low, 1))
    return {"edges": [round(float(edge), 6) for edge in edges], "counts": [int(count) for count in counts]}


def _ratio(norms: Floats, float_norms: Floats) -> dict[str, float] | None:
    both = (float_norms > 0) & (norms > 0)
    ratio = norms[both] / float_norms[both]
    if not len(ratio):
        return None
    p1, p99 = np.quantile(ratio, (0.01, 0.99))
    return {"mean": float(ratio.mean()), "p1": float(p1), "p99": float(p99)}


@dataclass(frozen=True)
class _Verification:
    """How many pairs; accuracy on them by model, the error of its difference, separation and TMR by model."""

    pairs: int
    accuracy: dict[str, float]
    error: float | None
    separation: dict[str, float]
    tmr: dict[str, float]


def _verification(codes: dict[str, Floats], names: Sequence[str]) -> _Verification | None:
    """Nothing where too few people have two photos."""
    try:
        left, right, same, fold = make_pairs(names)
        similar = {k: pair_similarity(c[left], c[right]) for k, c in codes.items()}
        found = {k: pair_accuracy(scores, same, fold) for k, scores in similar.items()}
        error = None
        if len(found) == 2:
            one, other = (np.asarray(accuracy.accuracy) for accuracy in found.values())
            error = float(np.std(one - other, ddof=1) / np.sqrt(len(one)))
        apart = {k: separation(scores, same) for k, scores in similar.items()}
        tmr = {k: tmr_at_fmr(c, names, _FMR).tmr for k, c in codes.items()}
    except InputError:
        return None
    return _Verification(len(left), {k: accuracy.mean for k, accuracy in found.items()}, error, apart, tmr)


def separation(similarity: Floats, same: NDArray[np.bool_]) -> float:
    """Decidability d' of scores (P,): distance of the means of same and different pairs in their common spread.

    Daugman, "Biometric decision landscapes", 2000.
    """
    mine, others = similarity[same].astype(np.float64), similarity[~same].astype(np.float64)
    return float((mine.mean() - others.mean()) / np.sqrt(max((mine.var() + others.var()) / 2, 1e-12)))


def identification(codes: dict[str, Floats], names: Sequence[str]) -> dict[str, Any] | None:
    """DIR by FPIR of several sets of codes of the same faces; None where there are too few people.

    Half the people with enough photos are enrolled if they are fewer than twice the usual number.
    """
    enough = sum(count > _PHOTOS for count in Counter(names).values())
    people = min(_PEOPLE, enough // 2)
    fpirs = [float(rate) for rate in _FPIRS]
    try:
        found = {k: dir_at_fpir(c, names, fpirs, people=people, photos=_PHOTOS, draws=_DRAWS) for k, c in codes.items()}
    except InputError:
        return None
    rates = {
        rate: {k: {"mean": rows[i].dir_mean, "spread": rows[i].dir_std} for k, rows in found.items()}
        for i, rate in enumerate(_FPIRS)
    }
    return {"people": people, "photos": _PHOTOS, "draws": _DRAWS, "rates": rates}
