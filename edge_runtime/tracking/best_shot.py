"""Which views of a face are worth an encoder's run: the best of a moment, and good ones of a decided face, rarely."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edge_runtime.types import Pixels

WAIT_S = 0.2
"""How long a better view is waited for."""
_STEADY = 0.9
"""A view this near to the best so far is not waited over: the face just stays as it is."""
_SATURATED = 9.0
"""A view of this weight is as good as any can be; see ``quality.weight``."""
_GOOD = 0.5
"""A decided face is looked at again in a view at least this part as good as those it was decided by."""
_RARER, _RAREST = 2.0, 8.0
"""Each re-check that agrees makes the next one so many times later, up to so many times ``recheck_s``."""


@dataclass(frozen=True, slots=True)
class View:
    """A face as it looked once.

    Attributes:
        chip: uint8 (1, h, w, 3) RGB, aligned for the encoder.
        weight: what it counts; see ``quality.weight``.
        quality: its measures by name.
        crop: JPEG of the face, where strangers are remembered.
    """

    chip: Pixels
    weight: float
    quality: dict[str, float]
    crop: bytes | None = None


class BestShot:
    """Of one track: takes views as they come, gives the one to encode when it is time.

    Attributes:
        taken: views given so far.
    """

    def __init__(self) -> None:
        self.taken = 0
        self._waiting: View | None = None
        self._since_s: float | None = None
        self._offered_s: float | None = None
        self._due_s = 0.0
        self._patience_s = 0.0
        self._usual = self._best = 0.0

    def wants(self, captured_s: float) -> bool:
        """Whether a view is of any use now, or it is too soon for the next re-check."""
        return captured_s >= self._due_s

    def offer(self, weight: float, captured_s: float, decided: bool, cut: Callable[[], View]) -> View | None:
        """Add a view.

        Args:
            weight: what it would count.
            captured_s: of its frame.
            decided: whether it is for a re-check only.
            cut: makes it; called only if it is the best so far.

        Returns:
            The one to encode now, or None while a better one is waited for.
        """
        rare = self._offered_s is not None and captured_s - self._offered_s >= WAIT_S
        self._offered_s = captured_s
        if decided and weight < _GOOD * self._usual:
            return None
        if self._since_s is None:
            self._since_s = captured_s
        if self._waiting is None or weight > self._waiting.weight:
            self._waiting = cut()
        best = self._waiting
        steady = weight >= _STEADY * self._best if self._best else weight >= _SATURATED
        self._best = max(self._best, weight)
        # Where faces are looked for rarely, the next view would come too late to be waited for.
        if not (steady or rare or captured_s - self._since_s >= WAIT_S):
            return None
        self._waiting, self._since_s = None, captured_s
        self.taken += 1
        self._usual += (best.weight - self._usual) / self.taken
        return best

    def forget(self) -> None:
        """What waits may be of somebody else by now."""
        self._waiting = None

    def checked(self, captured_s: float, recheck_s: float, agreed: bool) -> None:
        """A view was matched: say when the next one is due."""
        if not agreed:
            self._patience_s = recheck_s
        else:
            self._patience_s = min(max(self._patience_s * _RARER, recheck_s), _RAREST * recheck_s)
        self._due_s = captured_s + self._patience_s
        if self._patience_s:
            self.forget()

    def hurry(self) -> None:
        """The next view is due at once."""
        self._due_s = self._patience_s = 0.0
