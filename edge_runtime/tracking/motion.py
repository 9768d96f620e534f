"""Has anything moved? Looked for in a small grey picture, so that an empty room costs next to nothing.

The picture is compared with a slow average of those before, on a logarithmic scale and without its rows' medians:
light that goes up or down everywhere, and the bands of lamps on mains, are then no motion. What each cell is used to
is learned, so that noise at night and a tree in the wind do not count as motion either; a face that is already
followed is looked for all the same.
"""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_runtime.types import Floats, Pixels

Motion = Literal["still", "moved", "cut"]

_ROWS = 8
"""Only every so many rows of pixels are read."""
_CELLS_WH = (40, 24)
_BLACK = 8.0
"""Grey value added before the logarithm: noise in the dark is no change of light."""
_BACKGROUND_S = 1.0
_NOISE_S = 0.5
_HABIT_S = 6.0
_TIMES_HABIT = 5.0
_TIMES_QUIET = 17.0
"""The quietest quarter of normal noise lies below 0.32 of its standard deviation; this is 5.4 of them."""
_LEAST = 0.04
"""Changes of less than 4 % do not count."""
_CUT = 0.4
"""A mean change this large from one frame to the next (a half) is another scene: of a clip, cuts have 0.56 and more,
a camera that pans 0.25."""


class MotionGate:
    """Compares each frame with those before; one a camera.

    Attributes:
        alert: something may have moved; the next frame will show it.
        cells: bool (24, 40), where the latest frame's motion was; all of them after a cut.
    """

    def __init__(self) -> None:
        self._background: Floats | None = None
        self._latest: Floats | None = None
        self._habit = np.full(_CELLS_WH[::-1], _LEAST / _TIMES_HABIT, np.float32)
        self._noise: float | None = None
        self.alert = False
        self.cells = np.ones(_CELLS_WH[::-1], bool)
        self._shape: tuple[int, ...] = ()
        self._last_s = 0.0

    def look(self, pixels: Pixels, captured_s: float) -> Motion:
        """What has happened since the frames before.

        Args:
            pixels: uint8 (H, W, 3) RGB.
            captured_s: monotonic seconds of the frame.

        Returns:
            ``still``, ``moved``, or ``cut`` where the picture is another one altogether, as the first one is.
        """
        small = _cells(pixels)
        elapsed_s, self._last_s = captured_s - self._last_s, captured_s
        latest, self._latest = self._latest, small
        if self._background is None or latest is None or pixels.shape != self._shape:
            self._background, self._shape = small, pixels.shape
            self.cells = np.ones_like(self.cells)
            return "cut"
        if _change(small, latest).mean() > _CUT:
            self._background = small
            self.cells = np.ones_like(self.cells)
            return "cut"
        size = _change(small, self._background)
        quiet = float(np.partition(size.ravel(), size.size // 4)[size.size // 4])
        noise = quiet if self._noise is None else self._noise
        self._noise = noise + _share(elapsed_s, _NOISE_S) * (quiet - noise)
        moved = size > np.maximum(_TIMES_HABIT * self._habit, max(_LEAST, _TIMES_QUIET * self._noise))
        self._background += np.float32(_share(elapsed_s, _BACKGROUND_S)) * (small - self._background)
        # A cell's habit grows by what it is used to, not by the one event in which somebody walks by.
        step = np.minimum(size, 2 * np.maximum(self._habit, _LEAST / _TIMES_HABIT))
        self._habit += np.float32(_share(elapsed_s, _HABIT_S)) * (step - self._habit)
        # Noise rarely stands out twice in a row, people do.
        self.cells = _beside(moved)
        before, self.alert = self.alert, bool(self.cells.any())
        return "moved" if before and self.alert else "still"


def _cells(pixels: Pixels) -> Floats:
    """Logarithm of the green values averaged over cells, float32 (24, 40)."""
    green = np.ascontiguousarray(pixels[::_ROWS, :, 1])
    grey = cv2.resize(green.astype(np.float32), _CELLS_WH, interpolation=cv2.INTER_AREA)
    return np.asarray(np.log(grey + np.float32(_BLACK)), np.float32)


def _change(now: Floats, before: Floats) -> Floats:
    """How much each cell has changed beside its row's median."""
    change = now - before
    change -= np.partition(change, _CELLS_WH[0] // 2, axis=1)[:, _CELLS_WH[0] // 2, None]
    return np.asarray(np.abs(change), np.float32)


def _beside(moved: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Those that have a neighbour beside, above or below."""
    beside = np.zeros_like(moved)
    across, down = moved[:, 1:] & moved[:, :-1], moved[1:] & moved[:-1]
    beside[:, 1:] |= across
    beside[:, :-1] |= across
    beside[1:] |= down
    beside[:-1] |= down
    return beside


def _share(elapsed_s: float, memory_s: float) -> float:
    """How much one frame counts in an average that remembers ``memory_s``."""
    return min(max(elapsed_s, 0.0) / memory_s, 1.0)
