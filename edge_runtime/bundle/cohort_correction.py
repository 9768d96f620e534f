"""How much more often real strangers pass than drawn ones do: three numbers of a bundle, measured where it was made.

Strangers drawn from a fitted distribution lack the tight neighbourhoods of real faces. So the more people are
enrolled and the rarer an event is asked for, the more real strangers reach a threshold that drawn ones set. On
logarithmic axes that is close to a plane.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from edge_runtime.errors import InputError

_PEOPLE = 20
_RATE = 0.01
_LARGEST = 5.0
"""|log ratio| beyond which nobody has measured anything."""


@dataclass(frozen=True, slots=True)
class CohortCorrection:
    """log(real rate / drawn rate) = offset + track + size * log(people / 20) + rate * log(drawn rate / 0.01).

    Attributes:
        offset, size, rate: the plane; all zero: the strangers are taken to be like real ones.
        spread: standard deviation of what was measured around the plane, in the same logarithm.
        track: how much more often a stranger passes in one of a track's re-checks than in one picture, in the same
            logarithm; measured on different photos of a person, which differ more than the views of one track, so
            that it errs on the strict side.
        track_people: on how many people ``track`` was measured; 0: it was not, and a picture is what is calibrated.
    """

    offset: float = 0.0
    size: float = 0.0
    rate: float = 0.0
    spread: float = 0.0
    track: float = 0.0
    track_people: int = 0

    def __post_init__(self) -> None:
        values = (self.offset, self.size, self.rate, self.spread, self.track)
        if not all(math.isfinite(value) for value in values) or not -0.9 <= self.rate <= 2 or self.spread < 0:
            raise InputError(f"realism: expected finite numbers, a rate of -0.9 to 2 and a spread >= 0, found {values}")

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """From the keys that :meth:`as_json` gives.

        Raises:
            InputError: a value out of range.
            KeyError, TypeError, ValueError: a value missing, or of another kind.
        """
        numbers = {name: float(document[name]) for name in ("offset", "size", "rate", "spread", "track")}
        return cls(**numbers, track_people=int(document["track_people"]))

    def as_json(self) -> dict[str, float]:
        return asdict(self)

    def picture(self) -> Self:
        """The same for one picture of a stranger instead of a track."""
        return replace(self, track=0.0, track_people=0)

    def real(self, drawn: float, people: int) -> float:
        """The share of real strangers who pass where the share ``drawn`` of drawn ones does, of ``people`` enrolled."""
        if drawn <= 0:
            return 0.0
        ratio = self._known(people) + self.rate * math.log(drawn / _RATE)
        return min(drawn * math.exp(min(max(ratio, -_LARGEST), _LARGEST)), 1.0)

    def drawn(self, real: float, people: int) -> float:
        """The inverse of :meth:`real`."""
        if real <= 0:
            return 0.0
        if real >= 1:
            return 1.0
        ratio = (self._known(people) + self.rate * math.log(real / _RATE)) / (1 + self.rate)
        return min(real * math.exp(-min(max(ratio, -_LARGEST), _LARGEST)), 1.0)

    def _known(self, people: int) -> float:
        return self.offset + self.track + self.size * math.log(max(people, 1) / _PEOPLE)
