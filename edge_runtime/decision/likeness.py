"""How alike two embeddings of one person must be, and when one of two is clearly the nearer: from strangers alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_runtime.types import Floats

_STRANGERS = 256
_SAME_ABOVE = 0.99
"""More alike than this share of pairs of strangers: enough for a face that is where a lost one was."""
_CLEAR = 2.0
"""A difference of so many standard deviations of strangers' similarity is clear."""


@dataclass(frozen=True, slots=True)
class Likeness:
    """What similarity says of two embeddings of one camera.

    Attributes:
        same: cosine from which two embeddings near each other in time and place are of one person.
        clear: difference of one similarity to another from which the one is the nearer.
    """

    same: float
    clear: float

    @classmethod
    def of(cls, strangers: Floats) -> Likeness:
        """From embeddings float32 (S, D) of unit length, one a stranger; with fewer than two, nobody is the same."""
        if len(strangers) < 2:
            return cls(float("inf"), float("inf"))
        some = strangers[:: max(len(strangers) // _STRANGERS, 1)]
        pairs = (some @ some.T)[np.triu_indices(len(some), 1)]
        return cls(float(np.quantile(pairs, _SAME_ABOVE)), _CLEAR * float(pairs.std()))
