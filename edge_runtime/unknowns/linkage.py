"""How alike two embeddings must be to be taken for the same stranger: from what the bundle knows of strangers alone.

Where the bundle knows looks, everybody remembered has a threshold of their own, as people enrolled have: they are a
household, and of strangers who look like one of them seldom anybody is taken for any (see ``Household``). Where it
does not, one number holds for all, from how near strangers in general come to each other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_runtime.bundle.cohort_correction import CohortCorrection
from edge_runtime.bundle.folder import Bundle
from edge_runtime.bundle.looks import Looks
from edge_runtime.decision.household import Household
from edge_runtime.gallery.templates import Templates
from edge_runtime.types import Floats

CHANCE = 0.01
"""Of a new stranger being taken for any of those remembered; chosen on people the encoder had not seen."""
_STRANGERS = 1000
"""As many are compared with each other."""


@dataclass(frozen=True)
class Linkage:
    """What it takes to be one of those remembered.

    Attributes:
        needed: float32 (N + 1,): the least cosine, by how many strangers are remembered, where looks are not known.
        looks: what the bundle knows of strangers by their look; None: nothing.
        chance: of a new stranger being taken for one of those remembered, 0 to 1.
    """

    needed: Floats
    looks: Looks | None = None
    chance: float = CHANCE

    @classmethod
    def none(cls) -> Linkage:
        """One under which nobody is the same."""
        return cls(np.array([np.inf], np.float32))

    @classmethod
    def of_bundle(cls, bundle: Bundle, most: int, chance: float = CHANCE) -> Linkage:
        """By what a bundle knows, with at most so many remembered."""
        if bundle.looks is None:
            return cls.of(bundle.strangers(), bundle.manifest.realism, most, chance)
        return cls(cls.none().needed, bundle.looks, chance)

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

    def least(self, unknowns: Templates) -> Floats:
        """The least cosine to each one remembered, float32 (P,), with the views kept of them."""
        count = len(unknowns.names)
        if self.looks is None:
            return np.full(count, self.needed[min(count, len(self.needed) - 1)], np.float32)
        return np.asarray(Household(self.looks, unknowns).thresholds(self.chance), np.float32)
