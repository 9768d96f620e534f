"""Strangers who look like the household: how high they score against whom, and a threshold for each person.

Faces of one look (origin, gender, and how a picture was taken) lie near each other in the space of embeddings, so
strangers of a person's own look score higher against them than strangers in general. A bundle knows some dozen looks
as a mixture with one covariance, and for every two of them the share of pairs of different people whose similarity
reaches a score. Nobody is labelled on a device: how much a person is of each look follows from their embedding (linear
discriminant analysis, Fisher, 1936), and strangers who look like them are drawn in the same parts. That is conformal
prediction localised by the parts of a mixture; the similarity that decides does not choose the cohort.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from edge_runtime.bundle.left_out import LeftOut
from edge_runtime.errors import InputError
from edge_runtime.types import Floats

Reals = NDArray[np.float64]

GRID = np.linspace(0.0, 1.0, 101)
"""Scores at which shares of pairs are known."""
LEAST_SHARE = 1e-12
_RATES = (0.01, 0.001)


@dataclass(frozen=True, slots=True)
class LooksSheet:
    """What the manifest says of the looks, in its section ``looks``.

    Attributes:
        people, spread, own, photos: as in :class:`Looks`.
        kinds: how many looks there are.
        source: whose faces stand behind them, in words.
        cases: how many ``left_out`` holds.
    """

    people: int
    spread: tuple[float, float]
    own: tuple[float, float]
    kinds: int
    source: str = ""
    photos: float = 0.0
    cases: int = 0

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`as_json`.

        Raises:
            KeyError, TypeError, ValueError: a value missing, or of another kind.
        """
        (wide, rare), (mean, deviation) = (map(float, document[name]) for name in ("spread", "own"))
        numbers = int(document["people"]), (wide, rare), (mean, deviation), int(document["kinds"])
        left_out = float(document.get("photos", 0.0)), int(document.get("cases", 0))
        return cls(*numbers, str(document.get("source", "")), *left_out)

    def as_json(self) -> dict[str, Any]:
        return {
            "people": self.people,
            "spread": list(self.spread),
            "own": list(self.own),
            "kinds": self.kinds,
            "photos": self.photos,
            "cases": self.cases,
            **({"source": self.source} if self.source else {}),
        }


@dataclass(frozen=True)
class Looks:
    """What a bundle knows of strangers by their look.

    Attributes:
        weights, bias: float32 (K, D) and (K,), the linear discriminant of each look.
        reached: float64 (K, K, T): the share of pairs, a stranger of one look and an enrolled person of another, whose
            similarity reaches ``GRID``.
        means: float64 (K, K), the same pairs' mean similarity.
        people: how many real people stand behind it.
        spread: standard deviation of log(measured rate / stated rate), of people it was not fitted to, at 1 in 100
            and 1 in 1,000.
        own: mean and standard deviation of true scores, one enrolled photo of a person against another photo.
        photos: strangers' scores against an average of photos scatter more than against one photo, by the average's
            length before it was normalised to the power of ``-photos``.
        left_out: how far looks were off for people whose source they had not seen; None: not measured.
    """

    weights: Floats
    bias: Floats
    reached: Reals
    means: Reals
    people: int
    spread: tuple[float, float]
    own: tuple[float, float]
    photos: float = 0.0
    left_out: LeftOut | None = None

    def __post_init__(self) -> None:
        kinds, size = self.weights.shape if self.weights.ndim == 2 else (0, 0)
        shapes = (kinds,), (kinds, kinds, len(GRID)), (kinds, kinds)
        if not kinds or (self.bias.shape, self.reached.shape, self.means.shape) != shapes:
            raise InputError(
                f"looks: expected bias {shapes[0]}, shares {shapes[1]} and means {shapes[2]} for codes of {size}, "
                f"found {self.bias.shape}, {self.reached.shape} and {self.means.shape}"
            )
        if self.left_out is not None and (len(self.left_out.usual), len(self.left_out.whitening)) != (kinds, size):
            raise InputError(f"looks: expected distances for {kinds} looks and codes of {size}")
        numbers = (*self.spread, *self.own, self.photos)
        if self.people < 1 or not all(math.isfinite(value) and value >= 0 for value in numbers) or not self.own[1]:
            raise InputError(f"looks: expected people, and a spread, own scores and photos >= 0, found {numbers}")

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], sheet: LooksSheet) -> Self:
        """From a bundle's file and the manifest's ``looks``; the inverse of :meth:`as_arrays` and :meth:`sheet`.

        Raises:
            InputError: arrays that do not fit together, or numbers out of range.
            KeyError: an array missing.
        """
        reached = 10.0 ** arrays["log_reached"].astype(np.float64)
        means = arrays["means"].astype(np.float64)
        if not (np.isfinite(reached).all() and np.isfinite(means).all() and np.isfinite(arrays["weights"]).all()):
            raise InputError("looks: expected finite numbers")
        return cls(
            arrays["weights"].astype(np.float32),
            arrays["bias"].astype(np.float32),
            reached,
            means,
            sheet.people,
            sheet.spread,
            sheet.own,
            sheet.photos,
            LeftOut.from_arrays(arrays) if sheet.cases else None,
        )

    def as_arrays(self) -> dict[str, NDArray[Any]]:
        arrays: dict[str, NDArray[Any]] = {
            "weights": self.weights,
            "bias": self.bias,
            "log_reached": np.log10(np.maximum(self.reached, LEAST_SHARE)).astype(np.float16),
            "means": self.means.astype(np.float32),
        }
        return arrays if self.left_out is None else arrays | self.left_out.as_arrays()

    def sheet(self, source: str = "") -> LooksSheet:
        """What the manifest says of it, with whose faces stand behind it."""
        cases = 0 if self.left_out is None else len(self.left_out.cases)
        return LooksSheet(self.people, self.spread, self.own, len(self.bias), source, self.photos, cases)

    def parts(self, embeddings: Floats) -> Reals:
        """How much each embedding (N, D) of unit length is of each look, float64 (N, K), 1 in sum."""
        logits = self.logits(embeddings)
        parts = np.exp(logits - logits.max(1, keepdims=True))
        return np.asarray(parts / parts.sum(1, keepdims=True))

    def logits(self, embeddings: Floats) -> Reals:
        """Of the linear discriminant, float64 (N, K)."""
        return np.asarray((embeddings @ self.weights.T + self.bias).astype(np.float64))

    def spread_at(self, rate: float) -> float:
        """Standard deviation of log(measured / stated) at a rate, on a line through the two that were measured."""
        steps = math.log10(_RATES[0] / max(rate, LEAST_SHARE))
        return max(self.spread[0] + (self.spread[1] - self.spread[0]) * max(steps, 0.0), 0.0)
