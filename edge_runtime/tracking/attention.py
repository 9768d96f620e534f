"""Is this frame to be searched for faces? Where something moves, as often as the scheduler says; else rarely."""

from __future__ import annotations

from typing import Literal

import numpy as np

from edge_runtime.tracking.gaze import RECENT_S, Gaze
from edge_runtime.tracking.identity import Identity, State
from edge_runtime.tracking.motion import MotionGate
from edge_runtime.tracking.scheduler import DetectionScheduler
from edge_runtime.tracking.tally import Tally
from edge_runtime.types import Frame

_SEATED_S = 0.5
"""Somebody in view who does not move is looked for so often."""

Look = Literal["skip", "search", "cut"]
"""What to do with a frame; ``cut``: search it as another scene, in which no track goes on."""


class Attention:
    """Of one camera; to be asked about every frame."""

    def __init__(self, pace: DetectionScheduler, gaze: Gaze, refresh_s: float, tally: Tally) -> None:
        """Start with nothing seen.

        Args:
            pace: says which frames are due.
            gaze: told where something moved.
            refresh_s: a still and empty scene is searched so often.
            tally: gets the stage ``motion`` and the count ``still``.
        """
        self._pace = pace
        self._gaze = gaze
        self._refresh_s = refresh_s
        self._tally = tally
        self._gate = MotionGate()
        self._moved_s = self._searched_s = -np.inf
        self._unseen = 0
        """Frames since the last that was compared."""
        self._was_cut = False

    def look(self, frame: Frame, known: list[Identity], left_after_s: float, new: bool = False) -> Look:
        """Whether to look for faces in this frame.

        Args:
            frame: the latest.
            known: those whose track is confirmed.
            left_after_s: who is not found for so long has left.
            new: whether the frame before showed somebody for the first time, who is told from others best by where
                they are at once: who walks by is a face's width further on an eighth of a second later.
        """
        look = self._look(frame, known, left_after_s)
        if look == "skip" and new and self._pace.strain <= 1:
            look = "search"
        if look != "skip":
            self._pace.searched()
            self._searched_s = frame.captured_s
        return look

    def _look(self, frame: Frame, known: list[Identity], left_after_s: float) -> Look:
        now_s = frame.captured_s
        due = self._pace.due(frame.seq, now_s, frame.live)
        # Of an empty room not even every frame is compared: as often as it would be searched.
        self._unseen += 1
        awake = known or self._gate.alert or now_s - self._moved_s <= RECENT_S
        if not awake and (not due or self._unseen < self._pace.every):
            return "skip"
        self._unseen = 0
        with self._tally.stage("motion"):
            motion = self._gate.look(frame.pixels, now_s)
        if motion != "still":
            self._moved_s = now_s
            self._gaze.note(self._gate.cells, now_s)
        # Another scene is searched at once; one that changes with every frame, as often as any.
        cut, self._was_cut = motion == "cut" and not self._was_cut, motion == "cut"
        if cut:
            return "cut"
        if not due:
            return "skip"
        checking = any(identity.state is State.CHECKING for identity in known)
        if now_s - self._moved_s <= RECENT_S or checking:
            return "search"
        wait_s = min(_SEATED_S, left_after_s / 2) if known else self._refresh_s
        if now_s - self._searched_s >= wait_s:
            return "search"
        self._tally.counts["still"] += 1
        return "skip"
