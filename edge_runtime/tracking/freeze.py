"""Whether a camera shows the very same picture again and again: a hung sensor or encoder that still sends."""

from __future__ import annotations

from edge_runtime.types import Frame

_EVERY_ROW = 16
"""A sensor's noise is in every row, so a few are enough; looking costs a thousandth of a search for faces."""


class FreezeDetector:
    """Compares a camera's frames, also over a new opening of it.

    Attributes:
        same: whether the last picture was the one before it, byte for byte.
    """

    def __init__(self) -> None:
        self.same = False
        self._sample = b""
        self._since_s: float | None = None

    def reopened(self) -> None:
        """Count anew from the next frame on, but against the picture last seen."""
        self._since_s = None

    def seconds(self, frame: Frame) -> float:
        """For how long the picture has been the same, up to this frame."""
        sample = frame.pixels[::_EVERY_ROW].tobytes()
        self.same, self._sample = sample == self._sample, sample
        if not self.same or self._since_s is None:
            self._since_s = frame.captured_s
        return frame.captured_s - self._since_s
