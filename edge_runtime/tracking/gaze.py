"""Where a frame is looked at closely: around faces that are followed, where something moved, and the rest in turns.

The whole frame, shrunk to the detector's size, shows large faces only. A close look at everything would cost several
tens of such looks, so each search has a few: a small face that walks in is found where it moves, and keeps being seen
where its track says it is.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_runtime.types import NOWHERE, Floats, Windows

Sizes = NDArray[np.float64]

RECENT_S = 0.6
"""What moved is looked at closely for so long."""
_AGAIN_S = 0.35
"""What goes on moving is looked at once in so long; what begins to move, at once."""
_TURNS = 3
"""While something moves, the rest has its turn in every so many searches."""
_CLEAR = 0.075
"""A face this wide, in shares of what a look shows, needs no closer one."""
_ROOMY = 4.0
"""A window around a face is at least so many times as wide as the face."""
_MARGIN = 0.125
"""At each edge of a window, in shares of its sides: a face that begins there may be cut."""


class Gaze:
    """Of one camera; each search asks for its windows."""

    def __init__(self, most: int) -> None:
        """Start with nothing seen.

        Args:
            most: windows of a search at tracks and motion; 0: no close look at all.
        """
        self._most = most
        self._moved_s = np.full((1, 1), -np.inf)
        self._began_s = self._moved_s.copy()
        self._shown_s = self._moved_s.copy()
        self._turn = 0
        self._searches = 0

    def note(self, cells: NDArray[np.bool_], captured_s: float) -> None:
        """Something has moved in these cells of the frame, bool (rows, columns)."""
        if self._moved_s.shape != cells.shape:
            self._moved_s = np.full(cells.shape, -np.inf)
            self._began_s, self._shown_s = self._moved_s.copy(), self._moved_s.copy()
        self._began_s[cells & (captured_s - self._moved_s > RECENT_S)] = captured_s
        self._moved_s[cells] = captured_s

    def windows(self, everywhere: Windows, faces: list[Floats], now_s: float, strain: float = 1.0) -> Windows:
        """What this search is to look at closely.

        Args:
            everywhere: what a close look at everything would look at, the closest first.
            faces: boxes xyxy of the tracks, px, where they should be now.
            now_s: captured time of the frame.
            strain: how many times rarer than asked the machine can search; it then looks at less, too.
        """
        if not len(everywhere) or not self._most:
            return NOWHERE
        closest = everywhere[0].astype(np.float64)
        frame_wh, window_wh = everywhere[:, 2:].max(0).astype(np.float64), closest[2:] - closest[:2]
        most = max(round(self._most / strain), 1)
        chosen: list[Floats] = []
        moving = bool(self._wanted(now_s).any())
        self._at_faces(chosen, faces, frame_wh, window_wh, most - 1 if moving and most > 1 else most)
        self._at_motion(chosen, frame_wh, window_wh, most, now_s)
        self._searches += 1
        if not chosen or (strain < 2 and self._searches % _TURNS == 0):
            self._turn = (self._turn + 1) % len(everywhere)
            chosen.append(everywhere[self._turn].astype(np.float32))
        return np.array(chosen).round().astype(np.int64)

    def _wanted(self, now_s: float) -> NDArray[np.bool_]:
        """Cells that began to move, or go on or have moved and were not shown for a while."""
        moving = (now_s - self._moved_s <= RECENT_S) | (self._moved_s > self._shown_s)
        return (self._began_s > self._shown_s) | (moving & (now_s - self._shown_s >= _AGAIN_S))

    def _at_faces(
        self, chosen: list[Floats], faces: list[Floats], frame_wh: Sizes, window_wh: Sizes, most: int
    ) -> None:
        """Windows around faces that the whole frame does not show well; those that come late are first next time."""
        whole_w = window_wh[0] * float((frame_wh / window_wh).max())
        small = [box for box in faces if box[2] - box[0] < _CLEAR * whole_w]
        start = self._searches % max(len(small), 1)
        for box in small[start:] + small[:start]:
            if len(chosen) >= most:
                return
            room = (box[2] - box[0]) / 2
            if any((box[:2] - room >= other[:2]).all() and (box[2:] + room <= other[2:]).all() for other in chosen):
                continue
            grown = max(_ROOMY * float(box[2] - box[0]) / float(window_wh[0]), 1.0)
            middle = (box[:2] + box[2:]).astype(np.float64) / 2
            chosen.append(_placed(middle - grown * window_wh / 2, grown * window_wh, frame_wh))

    def _at_motion(self, chosen: list[Floats], frame_wh: Sizes, window_wh: Sizes, most: int, now_s: float) -> None:
        """Windows over what moved, from the top, as heads are there; what began and was not shown yet comes first."""
        cell_wh = frame_wh / np.array(self._moved_s.shape[::-1])
        rows, columns = np.indices(self._moved_s.shape)
        middles = (np.stack([columns, rows], 2) + 0.5) * cell_wh
        wanted = self._wanted(now_s)
        for window in chosen:
            wanted &= ~self._show(window, middles, frame_wh, window_wh, now_s)
        while wanted.any() and len(chosen) < most:
            unseen = wanted & (self._began_s > self._shown_s)
            first = unseen if unseen.any() else wanted
            top = int(np.flatnonzero(first.any(1))[0])
            band = first & (middles[..., 1] < top * cell_wh[1] + (1 - 2 * _MARGIN) * window_wh[1])
            column = int(np.flatnonzero(band.any(0))[0])
            corner = np.array([column, top]) * cell_wh - _MARGIN * window_wh
            chosen.append(_placed(corner, window_wh, frame_wh))
            wanted &= ~self._show(chosen[-1], middles, frame_wh, window_wh, now_s)

    def _show(
        self, window: Floats, middles: Sizes, frame_wh: Sizes, window_wh: Sizes, now_s: float
    ) -> NDArray[np.bool_]:
        """Note the cells that a window shows well: they are not near an edge of it that lies inside the frame."""
        margin = _MARGIN * window_wh
        low = np.where(window[:2] <= 0, 0, window[:2] + margin - 1)
        high = np.where(window[2:] >= frame_wh, frame_wh, window[2:] - margin + 1)
        shown = np.asarray(((middles >= low) & (middles <= high)).all(2))
        self._shown_s[shown] = now_s
        return shown


def _placed(corner: Sizes, size_wh: Sizes, frame_wh: Sizes) -> Floats:
    """A window of this size about there, moved into the frame."""
    size = np.minimum(size_wh, frame_wh)
    start = np.clip(corner, 0, frame_wh - size)
    return np.concatenate([start, start + size]).astype(np.float32)
