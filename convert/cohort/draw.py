"""Strangers for a device, drawn from a distribution: no real person's template ships.

A Gaussian with a shrunk covariance (Ledoit and Wolf, "A well-conditioned estimator for large-dimensional
covariance matrices", 2004) is fitted to one mean code a person. Drawn as it is, its strangers come less near to
enrolled people than real ones do, and a threshold set by them lets several times too many pass. So its
eigenvalues are raised to a power, their sum kept, until the drawn strangers' best scores against galleries of
other people have the real strangers' 99 % quantile. Whether that holds for people it was not set on is measured
by halves; what it still lacks for other sizes of gallery and rarer events, ``realism`` says.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.cohort.correction import Track, measure_realism
from edge_runtime.bundle.cohort_correction import CohortCorrection
from edge_runtime.errors import InputError
from edge_runtime.geometry.embeddings import normalise
from edge_runtime.types import Floats

FEWEST_PEOPLE = 10
"""Fewer strangers say nothing about a rate."""
_GALLERY = 20
_GALLERIES = 60
_QUANTILE = 0.99
_RATES = (0.01, 0.001)
_POWERS = (0.25, 8.0)
"""Beyond that hardly more than one axis is left, and strangers all look the same."""
_STEPS = 16
_TRIAL = 4000
_FEWEST_FOR_HALVES = 80


@dataclass(frozen=True)
class Gaussian:
    """A Gaussian in its own axes.

    Attributes:
        mean: (D,).
        variances: (D,), not negative.
        axes: (D, D), one axis a column.
        shrinkage: 0..1, how much of the covariance is the identity's.
    """

    mean: NDArray[np.float64]
    variances: NDArray[np.float64]
    axes: NDArray[np.float64]
    shrinkage: float

    @classmethod
    def fit(cls, rows: NDArray[np.float64]) -> Gaussian:
        """Fit to rows (N, D); a column without spread (a dead unit) keeps none."""
        n = len(rows)
        mean = rows.mean(0)
        alive = rows.std(0) > 1e-9
        centred = (rows - mean)[:, alive]
        d = centred.shape[1]
        covariance = np.zeros((rows.shape[1],) * 2)
        shrinkage = 0.0
        if d:
            sample = centred.T @ centred / n
            scale = np.trace(sample) / d
            spread = ((sample - scale * np.eye(d)) ** 2).sum()
            noise = ((centred**2).sum(1) ** 2).mean() / n - (sample**2).sum() / n
            shrinkage = float(np.clip(noise / spread, 0, 1)) if spread > 0 else 1.0
            covariance[np.ix_(alive, alive)] = (1 - shrinkage) * sample + shrinkage * scale * np.eye(d)
        variances, axes = np.linalg.eigh(covariance)
        return cls(mean, np.maximum(variances, 0), axes, shrinkage)

    def draw(self, normals: NDArray[np.float64], power: float = 1.0) -> NDArray[np.float64]:
        """Rows (N, D) from standard normal ``normals`` (N, D), with the variances raised to ``power``."""
        total = self.variances.sum()
        sharpened = (self.variances / total) ** power if total > 0 else self.variances
        if total > 0:
            sharpened *= total / sharpened.sum()
        return self.mean + (normals * np.sqrt(sharpened)) @ self.axes.T


@dataclass(frozen=True)
class Cohort:
    """Strangers' codes and how honest they are.

    Attributes:
        codes: int8 (N, D), the largest number of each row 127.
        people: real people behind the distribution.
        power: of the eigenvalues.
        shrinkage: of the covariance.
        gallery: people in a gallery of the comparison.
        quantiles: of strangers' best scores against such galleries, ``real`` and ``drawn``, at 0.99 and 0.999.
        rates: share of *other* real strangers who pass, in galleries of *other* people, a threshold that is meant
            for 0.01 and 0.001 and set by ``drawn`` codes, by ``real`` codes of half the strangers, and by codes
            drawn from the ``plain`` Gaussian; None with too few people to halve.
        realism: what the device corrects rates by, for what the draws still lack.
    """

    codes: NDArray[np.int8]
    people: int
    power: float
    shrinkage: float
    gallery: int
    quantiles: dict[str, dict[str, float]]
    rates: dict[str, dict[str, float]] | None
    realism: CohortCorrection

    @property
    def lenient(self) -> str | None:
        """What to say where drawn strangers set thresholds that let twice as many pass as meant, or more."""
        meant = _RATES[0]
        found = self.rates["drawn"][f"{meant:g}"] if self.rates else 0.0
        if found < 2 * meant:
            return None
        return f"a threshold set by the drawn strangers for {meant:.1%} lets {found:.1%} of real ones pass"

    def as_json(self) -> dict[str, Any]:
        """All but the codes."""
        document = dataclasses.asdict(self) | {"lenient": self.lenient}
        del document["codes"]
        return document


def person_means(raw: Floats, names: Sequence[str]) -> NDArray[np.float64]:
    """One mean a person, float64 (P, D), of codes (N, D) that are not zero; a photo without a name is a person."""
    usable = np.linalg.norm(raw, axis=1) > 0
    labels = [name or f"\0{index}" for index, name in enumerate(names)]
    _, person = np.unique(np.asarray(labels, str)[usable], return_inverse=True)
    sums = np.zeros((int(person.max()) + 1 if len(person) else 0, raw.shape[1]))
    np.add.at(sums, person, raw[usable].astype(np.float64))
    return sums / np.bincount(person)[:, None] if len(person) else sums


def person_tracks(units: Floats, names: Sequence[str]) -> list[Track]:
    """Everybody's photos, in the order of :func:`person_means`; a photo without a name is a person.

    Args:
        units: (N, D) of unit length, or zero.
        names: N people.
    """
    usable = units.any(axis=1)
    labels = [name or f"\0{index}" for index, name in enumerate(names)]
    _, person = np.unique(np.asarray(labels, str)[usable], return_inverse=True)
    kept = units[usable]
    return [Track(kept[person == row], row) for row in range(int(person.max()) + 1 if len(person) else 0)]


def make_cohort(
    strangers: NDArray[np.float64],
    enrolled: NDArray[np.float64] | None,
    count: int,
    seed: int = 0,
    tracks: Sequence[Track] = (),
) -> Cohort:
    """Draw strangers like the real ones.

    Args:
        strangers: (P, D), one mean code a person.
        enrolled: (E, D), the same of other people, who stand in for a gallery; None or fewer than 10: half of the
            strangers stand in for it.
        count: how many codes to draw.
        seed: of every draw.
        tracks: several photos each of some of ``enrolled``, for what a track adds.

    Raises:
        InputError: fewer than ``FEWEST_PEOPLE`` strangers.
    """
    if len(strangers) < FEWEST_PEOPLE:
        raise InputError(
            f"strangers: expected at least {FEWEST_PEOPLE} people with a code, found {len(strangers)}; "
            "add chips of other people with --cohort FILE"
        )
    rng = np.random.default_rng(seed)
    gallery_people, visitors = enrolled, strangers
    if gallery_people is None or len(gallery_people) < FEWEST_PEOPLE:
        tracks = ()
        order = rng.permutation(len(strangers))
        visitors, gallery_people = strangers[order[::2]], strangers[order[1::2]]
    fitted = Gaussian.fit(strangers)
    normals = rng.standard_normal((count, strangers.shape[1]))
    power = _tuned(fitted, normals, visitors, gallery_people, seed)
    codes = _int8(fitted.draw(normals, power))
    scores = {
        name: _best_scores(rows, gallery_people, np.random.default_rng(seed))
        for name, rows in (("real", visitors), ("drawn", codes.astype(np.float64)))
    }
    quantiles = {
        name: {f"{1 - rate:g}": float(np.quantile(values, 1 - rate)) for rate in _RATES}
        for name, values in scores.items()
    }
    rates = _rates_by_halves(visitors, gallery_people, rng)
    drawn, real, people = (normalise(rows.astype(np.float32))[0] for rows in (codes, visitors, gallery_people))
    realism = measure_realism(drawn, real, people, tracks, seed)
    gallery = min(_GALLERY, len(gallery_people))
    return Cohort(codes, len(strangers), power, fitted.shrinkage, gallery, quantiles, rates, realism)


def _tuned(
    fitted: Gaussian,
    normals: NDArray[np.float64],
    strangers: NDArray[np.float64],
    enrolled: NDArray[np.float64],
    seed: int,
) -> float:
    """The power at which strangers drawn from ``normals`` have the real ones' quantile, by bisection."""

    def quantile(rows: NDArray[np.float64]) -> float:
        return float(np.quantile(_best_scores(rows, enrolled, np.random.default_rng(seed)), _QUANTILE))

    target = quantile(strangers)
    low, high = _POWERS
    for _ in range(_STEPS):
        middle = (low + high) / 2
        # As int8, because that is how they ship.
        if quantile(_int8(fitted.draw(normals, middle)).astype(np.float64)) < target:
            low = middle
        else:
            high = middle
    # The upper end: where in doubt, strangers who score higher.
    return high


def _rates_by_halves(
    strangers: NDArray[np.float64], enrolled: NDArray[np.float64], rng: np.random.Generator
) -> dict[str, dict[str, float]] | None:
    """Fit and tune on half of the people, measure on the other half, and the other way round."""
    if min(len(strangers), len(enrolled)) < _FEWEST_FOR_HALVES:
        return None
    s, e = rng.permutation(len(strangers)), rng.permutation(len(enrolled))
    totals: dict[str, dict[str, list[float]]] = {}
    for fit, measure in ((slice(0, None, 2), slice(1, None, 2)), (slice(1, None, 2), slice(0, None, 2))):
        fitted = Gaussian.fit(strangers[s[fit]])
        normals = rng.standard_normal((_TRIAL, strangers.shape[1]))
        seed = int(rng.integers(2**32))
        power = _tuned(fitted, normals, strangers[s[fit]], enrolled[e[fit]], seed)
        others = _best_scores(strangers[s[measure]], enrolled[e[measure]], np.random.default_rng(seed))
        drawn = _int8(fitted.draw(normals, power)).astype(np.float64)
        setters = {"drawn": drawn, "real": strangers[s[fit]], "plain": fitted.draw(normals)}
        for name, rows in setters.items():
            scores = _best_scores(rows, enrolled[e[measure]], np.random.default_rng(seed))
            for rate in _RATES:
                # A threshold a gallery, as a device sets it.
                passed = others > np.quantile(scores, 1 - rate, axis=1, keepdims=True)
                totals.setdefault(name, {}).setdefault(f"{rate:g}", []).append(float(passed.mean()))
    return {name: {rate: float(np.mean(v)) for rate, v in rates.items()} for name, rates in totals.items()}


def _best_scores(
    strangers: NDArray[np.float64], enrolled: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Each stranger's best cosine against each of many small galleries, (galleries, strangers)."""
    visitors, people = normalise(strangers.astype(np.float32))[0], normalise(enrolled.astype(np.float32))[0]
    size = min(_GALLERY, len(people))
    cosines = visitors @ people.T
    galleries = [rng.choice(len(people), size, replace=False) for _ in range(_GALLERIES)]
    return np.stack([cosines[:, gallery].max(1) for gallery in galleries]).astype(np.float64)


def _int8(rows: NDArray[np.float64]) -> NDArray[np.int8]:
    largest = np.maximum(np.abs(rows).max(1, keepdims=True), 1e-12)
    return np.asarray(np.rint(127 * rows / largest), np.int8)
