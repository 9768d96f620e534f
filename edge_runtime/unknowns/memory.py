"""What a pipeline says of strangers, and what it gets to know of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from edge_runtime.types import Floats


@dataclass(frozen=True, slots=True)
class Sighting:
    """Somebody unknown was in view and has left.

    Attributes:
        embedding: float32 (D,) of unit length, the track's average.
        weight: what its best view counts, > 0; see ``quality.weight``.
        first_s, last_s: wall time at which the track began and ended, seconds since the Unix epoch.
        crop: JPEG of the best view, or None.
    """

    embedding: Floats
    weight: float
    first_s: float
    last_s: float
    camera: str
    crop: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Recognised:
    """Which stranger somebody unknown is.

    Attributes:
        stranger_id: of one remembered, or a new one for somebody not seen before.
        visits: how often they came, this time included.
        ignored: whether their coming and going is of no interest.
    """

    stranger_id: str
    visits: int
    ignored: bool


class UnknownsMemory(Protocol):
    """Remembers who was never named; answers at once, and is asked by the frame loop alone."""

    @property
    def ignoring(self) -> bool:
        """Whether anybody is ignored, so that nothing should be said of somebody before it is known who they are."""
        ...

    def recognise(self, embedding: Floats, first_s: float) -> Recognised | None:
        """Who somebody unknown is; None: that cannot be said now.

        Args:
            embedding: float32 (D,) of unit length, the track's average so far.
            first_s: wall time at which the track began.
        """
        ...

    def remember(self, sighting: Sighting, hint: str) -> Recognised | None:
        """Keep a track in mind that has ended, whose stranger was ``hint`` when it was decided.

        Returns:
            Who it was of; None if it is not remembered.
        """
        ...
