"""What recognition an owner may expect: each enrolled photo searched as if it had not been enrolled."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_runtime.gallery.templates import Templates
from edge_runtime.geometry.embeddings import rows_of_each
from edge_runtime.metrics.biometrics import wilson_interval
from edge_runtime.types import Floats

Reals = NDArray[np.float64]

_MOST = 4000
"""More photos than this say nothing new; that many are drawn."""
_BLOCK = 512


@dataclass(frozen=True)
class LeaveOneOut:
    """Leave-one-out searches of M enrolled photos, of people with at least two.

    Attributes:
        row: int64 (M,), into the gallery's templates.
        own: float32 (M,), the score to the person's other photos.
        other: float32 (M,), the best score to anybody else; -inf where nobody else is enrolled.
        person: int64 (M,), whose photo it is, into the gallery's people.
    """

    row: NDArray[np.int64]
    own: Floats
    other: Floats
    person: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.row)

    def named(self, threshold: float | Reals, margin: float) -> NDArray[np.bool_]:
        """Whether each photo would have got its person's name at one threshold or each person's (P,), bool (M,)."""
        needed = np.asarray(threshold)
        needed = needed[self.person] if needed.ndim else needed
        return np.asarray((self.own >= needed) & (self.own - self.other >= margin) & (self.own > self.other))

    def miss_rate(self, threshold: float | Reals, margin: float) -> float | None:
        """The share that would not have got its name; None without photos to try."""
        return 1.0 - float(self.named(threshold, margin).mean()) if len(self) else None

    def miss_interval(self, threshold: float | Reals, margin: float) -> tuple[float, float] | None:
        """95 % interval of :meth:`miss_rate` (Wilson); photos of one person are counted as if they were independent."""
        if not len(self):
            return None
        return wilson_interval(float(np.count_nonzero(~self.named(threshold, margin))), len(self))


def leave_one_out(templates: Templates, seed: int = 0) -> LeaveOneOut:
    """Search every photo of everybody who has at least two, without it.

    Args:
        templates: of a gallery.
        seed: of the draw where there are more than some thousand photos.
    """
    rows, own = own_scores(templates, seed)
    person = templates.person_index[rows]
    averages, other = templates.person_embeddings(), np.full(len(rows), -np.inf, np.float32)
    for start in range(0, len(rows) if len(templates.names) > 1 else 0, _BLOCK):
        part = slice(start, start + _BLOCK)
        scores = templates.embeddings[rows[part]] @ averages.T
        scores[np.arange(len(scores)), person[part]] = -np.inf
        other[part] = scores.max(1)
    return LeaveOneOut(rows, own, other, person)


def own_scores(templates: Templates, seed: int = 0) -> tuple[NDArray[np.int64], Floats]:
    """Photos of everybody who has at least two, as rows (M,), and their scores to the person's others, float32 (M,)."""
    counts = rows_of_each(templates.person_index, len(templates.names))
    rows = np.flatnonzero(counts[templates.person_index] > 1)
    if len(rows) > _MOST:
        rows = np.sort(np.random.default_rng(seed).choice(rows, _MOST, replace=False))
    return rows.astype(np.int64), (templates.rest()[rows] * templates.embeddings[rows]).sum(1).astype(np.float32)
