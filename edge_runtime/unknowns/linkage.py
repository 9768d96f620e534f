"""How alike two embeddings must be to be taken for the same stranger: from the bundle's strangers alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_runtime.bundle.cohort_correction import CohortCorrection
from edge_runtime.types import Floats

CHANCE = 0.02
"""Of a new stranger being taken for any of those remembered; chosen on people the encoder had not seen."""
_STRANGERS = 1000
"""As many are compared with each other."""


@dataclass(frozen=True)
class Linkage:
    """What it takes to be one of those remembered.

    Attributes:
        needed: float32 (N + 1,): the least cosine, by how many strangers are remembered.
    """

    needed: Floats

    @classmethod
    def none(cls) -> Linkage:
        """One under which nobody is the same."""
        return cls(np.array([np.inf], np.float32))

    @classmethod
    def of(cls, strangers: Floats, realism: CohortCorrection, most: int, chance: float = CHANCE) -> Linkage:
        """A linkage under which a new stranger is seldom taken for an old one, however many those are.

        With n remembered there are n ways to go wrong, so each pair may be mistaken 1/n as often; and as drawn
        strangers come near each other more rarely than real ones, what is measured on them is corrected for that.

        Args:
            strangers: float32 (S, D) embeddings of unit length, the bundle's; with fewer than two nobody is the same.
            realism: how real strangers differ from these.
            most: how many may be remembered.
            chance: of a new stranger being taken for one of them, 0 to 1.
        """
        if len(strangers) < 2:
            return cls.none()
        some = strangers[:: max(len(strangers) // _STRANGERS, 1)]
        pairs = np.sort((some @ some.T)[np.triu_indices(len(some), 1)])
        needed = [np.inf]
        for count in range(1, most + 1):
            drawn = realism.picture().drawn(chance, count)
            rank = np.floor(drawn / count * len(pairs))
            needed.append(float(pairs[len(pairs) - 1 - min(int(rank), len(pairs) - 1)]))
        return cls(np.array(needed, np.float32))

    def least(self, count: int) -> float:
        """The least cosine with ``count`` remembered; infinite if nobody is remembered."""
        return float(self.needed[min(count, len(self.needed) - 1)])
