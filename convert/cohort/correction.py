"""How a bundle's drawn strangers differ from real ones, measured where the real ones are at hand.

A threshold is set on drawn strangers for a rate, as a device does it, and the real strangers who pass are counted,
over galleries of many sizes. A plane through the logarithms of what was found is what the device corrects by.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge_runtime.bundle.cohort_correction import CohortCorrection
from edge_runtime.decision.tail import Tail
from edge_runtime.geometry.embeddings import normalise
from edge_runtime.types import Floats

_SIZES = (3, 10, 30, 100, 300)
_RATES = (0.03, 0.01, 0.003, 0.001)
_GALLERIES = 40
_LARGEST_PART = 0.8
"""A gallery takes at most this share of the people there are, so that galleries differ."""
_REFERENCE = (20.0, 0.01)
"""Where ``CohortCorrection`` counts size and rate from."""

TRACK_VIEWS = 4
"""People with at least as many photos stand in for tracks."""
_TRACK_FEWEST = 20
_TRACK_MOST_VIEWS = 8
_TRACK_RATES = (0.03, 0.01)
_VIEWS = 3
_MEMORY = 0.9
"""As the pipeline forms a track's code: an average from the third view on, in which earlier views fade."""


@dataclass(frozen=True, slots=True)
class Track:
    """Several photos of a person, who stands in for a stranger before a camera.

    Attributes:
        views: float32 (V, D) of unit length.
        enrolled: which row of the enrolled is the same person, or None.
    """

    views: Floats
    enrolled: int | None = None


def measure_realism(
    drawn: Floats, strangers: Floats, enrolled: Floats, tracks: Sequence[Track] = (), seed: int = 0
) -> CohortCorrection:
    """Compare drawn strangers with real ones.

    Args:
        drawn: float32 (N, D) of unit length.
        strangers: float32 (S, D) of unit length, one a real person.
        enrolled: float32 (E, D) of unit length, one a person who may stand in a gallery.
        tracks: several photos each of some people; those with fewer than ``TRACK_VIEWS`` are left out.
        seed: of the galleries drawn.
    """
    rng = np.random.default_rng(seed)
    real, made = strangers @ enrolled.T, drawn @ enrolled.T
    rows, found = [], []
    for size in _SIZES:
        if size > max(_LARGEST_PART * len(enrolled), _SIZES[0]):
            continue
        passed = np.zeros(len(_RATES))
        for _ in range(_GALLERIES):
            gallery = rng.choice(len(enrolled), min(size, len(enrolled)), replace=False)
            tail = Tail.fit(made[:, gallery].max(1), len(strangers))
            best = real[:, gallery].max(1)
            passed += [(best >= tail.threshold(rate)).mean() for rate in _RATES]
        for rate, share in zip(_RATES, passed / _GALLERIES, strict=True):
            rows.append((1.0, np.log(size / _REFERENCE[0]), np.log(rate / _REFERENCE[1]), rate))
            # Nobody at all among all galleries counts as half a stranger.
            found.append(np.log(max(float(share), 0.5 / (len(strangers) * _GALLERIES)) / rate))
    table, values = np.array(rows), np.array(found)
    # A rate rests on as many strangers as pass; its logarithm is as sure as the root of their number.
    weights = np.sqrt(table[:, 3])
    plane, *_ = np.linalg.lstsq(table[:, :3] * weights[:, None], values * weights, rcond=None)
    plane[2] = np.clip(plane[2], -0.5, 1.0)
    spread = float(np.sqrt(np.average((values - table[:, :3] @ plane) ** 2, weights=weights)))
    track, people = _track(made, enrolled, tracks, len(strangers), rng)
    return CohortCorrection(float(plane[0]), float(plane[1]), float(plane[2]), spread, track, people)


def _track(
    made: Floats, enrolled: Floats, tracks: Sequence[Track], behind: int, rng: np.random.Generator
) -> tuple[float, int]:
    """Log of how much more often tracks pass than their single views do, and how many there were."""
    long = [track for track in tracks if len(track.views) >= TRACK_VIEWS]
    if len(long) < _TRACK_FEWEST:
        return 0.0, 0
    singles, whole = [], []
    for track in long:
        views = track.views[:_TRACK_MOST_VIEWS]
        scores = views @ enrolled.T, running(views) @ enrolled.T
        if track.enrolled is not None:  # nobody is a stranger to themselves
            for rows in scores:
                rows[:, track.enrolled] = -1.0
        singles.append(scores[0])
        whole.append(scores[1].max(0))
    once = more = 0.0
    for _ in range(_GALLERIES):
        gallery = rng.choice(len(enrolled), min(int(_REFERENCE[0]), len(enrolled)), replace=False)
        tail = Tail.fit(made[:, gallery].max(1), behind)
        for threshold in map(tail.threshold, _TRACK_RATES):
            once += sum(float((scores[:, gallery].max(1) >= threshold).mean()) for scores in singles)
            more += sum(float(scores[gallery].max() >= threshold) for scores in whole)
    return float(np.log(max(more, 1.0) / max(once, 1.0))), len(long)


def running(views: Floats) -> Floats:
    """The codes a track is judged by at its re-checks, (V - 2, D) of unit length, from those of its views (V, D)."""
    total, codes = np.zeros(views.shape[1]), []
    for number, view in enumerate(views, 1):
        total = total * _MEMORY + view
        if number >= _VIEWS:
            codes.append(total)
    return normalise(np.array(codes, np.float32))[0]
