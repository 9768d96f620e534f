"""Which faces have come so near to each other that one track may have taken the other's face."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from edge_runtime.geometry.boxes import iou
from edge_runtime.tracking.tracker import Track
from edge_runtime.types import Floats

_WIDTHS = 1.0
"""Centres this near, in widths of the two faces: the boxes touch."""
_APART = 1.3
"""Two that stayed beside each other are apart from so many times that."""
_BESIDE_S = 1.5
"""Two faces that are both seen, and do not overlap, are after so long people who stand together."""
_OVERLAP = 0.1
_HIDDEN_S = 0.4
"""Who is out of sight for longer touches nobody who is in sight: where they would be now is a guess."""


class Occlusions:
    """Of one camera; it must see every search."""

    def __init__(self) -> None:
        self._centres: dict[str, Floats] = {}
        self._since_s: dict[frozenset[str], float] = {}

    def update(self, tracks: list[Track], captured_s: float) -> list[tuple[Track, Track]]:
        """The pairs that touch, or passed each other since the search before.

        Args:
            tracks: all that have not ended; those not seen now are taken to have moved on.
            captured_s: of this search.
        """
        centres = {track.track_id: _centre(track.predicted(captured_s)) for track in tracks}
        touching = []
        for one, other in combinations([track for track in tracks if track.hits], 2):
            if _hidden(one, captured_s) != _hidden(other, captured_s):
                continue
            ids = one.track_id, other.track_id
            pair = frozenset(ids)
            reach = _WIDTHS * (one.width + other.width) / 2
            now = centres[ids[0]] - centres[ids[1]]
            before = self._centres.get(ids[0], centres[ids[0]]) - self._centres.get(ids[1], centres[ids[1]])
            if _nearest(before, now) < reach:
                since_s = self._since_s.setdefault(pair, captured_s)
                if captured_s - since_s < _BESIDE_S or not _seen_apart(one, other, captured_s):
                    touching.append((one, other))
            elif float(np.linalg.norm(now)) > _APART * reach:
                self._since_s.pop(pair, None)
        self._centres = centres
        self._since_s = {pair: at_s for pair, at_s in self._since_s.items() if pair <= centres.keys()}
        return touching


def _hidden(track: Track, captured_s: float) -> bool:
    return captured_s - track.last_s > _HIDDEN_S


def _seen_apart(one: Track, other: Track, captured_s: float) -> bool:
    seen = one.last_s == other.last_s == captured_s
    return seen and float(iou(one.xyxy[None], other.xyxy[None])[0, 0]) < _OVERLAP


def _centre(xyxy: Floats) -> Floats:
    return np.asarray((xyxy[:2] + xyxy[2:]) / 2, np.float32)


def _nearest(before: Floats, now: Floats) -> float:
    """How near the straight way from ``before`` to ``now`` comes to the origin."""
    way = now - before
    share = float(np.clip(-(before @ way) / max(float(way @ way), 1e-6), 0, 1))
    return float(np.linalg.norm(before + share * way))
