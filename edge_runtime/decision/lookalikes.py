"""People who look alike need a larger margin: how large, from how near they are and how much views of a person vary.

A view x of person a is ahead of b by x . (a - b). That is g (1 - c) on average, where c is how alike the two are and
g how alike views are to their own person, with a standard deviation of s sqrt(2 - 2 c), where s is how much views
vary in one direction. So the margin that somebody's view has in the other's favour once in a thousand times is
z s sqrt(2 - 2 c) - g (1 - c): for most people less than nothing, for siblings more than the usual margin. s comes
from how strangers spread, who vary in the same directions: s = sqrt(1 - g^2) times the deviation of their scores.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from edge_runtime.decision.leave_one_out import own_scores
from edge_runtime.gallery.templates import Templates
from edge_runtime.types import Floats

_Z = 3.090
"""Once in a thousand, of a normal distribution."""
_OWN = 0.6
"""How alike views are to their person, if nobody has two photos that show it."""
_FEWEST = 3
_BLOCK = 512
_STRANGERS = 500


@dataclass(frozen=True, slots=True)
class Pair:
    """Two people who look alike.

    Attributes:
        first, second: indices into the gallery's people.
        similarity: cosine of their averages.
        margin: what one of them needs over the other.
    """

    first: int
    second: int
    similarity: float
    margin: float


@dataclass(frozen=True)
class Lookalikes:
    """All pairs of a gallery that need more than the usual margin, or are worth reporting.

    Attributes:
        pairs: most alike first.
    """

    pairs: tuple[Pair, ...] = ()
    _by_person: dict[int, tuple[tuple[int, float], ...]] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        for pair in self.pairs:
            for one, other in ((pair.first, pair.second), (pair.second, pair.first)):
                self._by_person[one] = (*self._by_person.get(one, ()), (other, pair.margin))

    def of(self, person: int) -> Iterable[tuple[int, float]]:
        """(other person, margin needed over them) of everybody who looks like ``person``."""
        return self._by_person.get(person, ())

    def far_enough(self, person: int, scores: Floats) -> bool:
        """Whether ``person`` has the margin needed over everybody who looks alike, by scores (P,)."""
        return all(scores[person] - scores[other] >= margin for other, margin in self.of(person))


def find_lookalikes(
    templates: Templates, strangers: Floats, margin: float, alike_from: float = np.inf, of: int | None = None
) -> Lookalikes:
    """Compare everybody with everybody, or one person with everybody.

    Args:
        templates: of a gallery.
        strangers: float32 (S, D) of unit length.
        margin: the usual one.
        alike_from: pairs this similar are reported too, even if the usual margin is enough for them.
        of: the one person whose pairs are wanted; None: everybody's.
    """
    averages = templates.person_embeddings()
    if len(averages) < 2 or not len(strangers):
        return Lookalikes()
    _, left = own_scores(templates)
    own = float(np.clip(np.median(left), 0.0, 0.99)) if len(left) >= _FEWEST else _OWN
    some = strangers[:: max(len(strangers) // _STRANGERS, 1)] @ averages[:_BLOCK].T
    spread = float(np.sqrt(1 - own**2) * some.std())
    pairs = []
    everybody = np.arange(len(averages)) if of is None else np.array([of])
    for start in range(0, len(everybody), _BLOCK):
        people = everybody[start : start + _BLOCK]
        alike = np.clip(averages[people] @ averages.T, -1.0, 1.0)
        needed = _Z * spread * np.sqrt(2 - 2 * alike) - own * (1 - alike)
        wanted = (needed > margin) | (alike >= alike_from)
        # Each pair once: with everybody in its row, from the first of the two.
        wanted &= np.arange(len(averages)) > people[:, None] if of is None else np.arange(len(averages)) != of
        for row, column in zip(*(found.tolist() for found in np.nonzero(wanted)), strict=True):
            first, second = sorted((int(people[row]), column))
            pairs.append(Pair(first, second, float(alike[row, column]), max(float(needed[row, column]), margin)))
    return Lookalikes(tuple(sorted(pairs, key=lambda pair: -pair.similarity)))
