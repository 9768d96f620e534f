"""Which face of this frame is which face of the last: one track a face, held over short gaps.

Faces are joined to tracks best overlap first (greedy intersection over union, as in Bewley et al., "Simple
Online and Realtime Tracking", 2016, with a box that moves on at its last speed), then by nearness, which
keeps a small fast face whose boxes no longer overlap.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from edge_runtime.overlap import iou
from edge_runtime.types import Detections, Floats

MIN_IOU = 0.2
_NEAR_WIDTHS = 0.8
_SIZE_RATIO = 2.0
_SPEED_MEMORY = 0.5
_CONFIRM_HITS = 2


@dataclass(slots=True)
class Track:
    """One face over time.

    Attributes:
        track_id: unique over restarts.
        xyxy: float32 (4,), where it was last seen, px.
        first_s, last_s: captured times of its first and latest sighting.
        hits: sightings so far; a track is confirmed, and so announced, with its second one.
        speed: float32 (2,), px a second, smoothed.
    """

    track_id: str
    xyxy: Floats
    first_s: float
    last_s: float
    hits: int = 1
    speed: Floats = field(default_factory=lambda: np.zeros(2, np.float32))

    @property
    def confirmed(self) -> bool:
        return self.hits >= _CONFIRM_HITS

    def predicted(self, captured_s: float) -> Floats:
        """Where the box should be at ``captured_s``, float32 (4,) px."""
        shift = self.speed * np.float32(captured_s - self.last_s)
        return np.asarray(self.xyxy + np.concatenate([shift, shift]), np.float32)

    def see(self, xyxy: Floats, captured_s: float) -> None:
        """Move to a new sighting."""
        elapsed = captured_s - self.last_s
        if elapsed > 0:
            moved = (xyxy[:2] + xyxy[2:] - self.xyxy[:2] - self.xyxy[2:]) / (2 * elapsed)
            self.speed = (_SPEED_MEMORY * self.speed + (1 - _SPEED_MEMORY) * moved).astype(np.float32)
        self.xyxy, self.last_s = xyxy, captured_s
        self.hits += 1


class Tracker:
    """The tracks of one camera.

    Attributes:
        left_after_s: seconds without a sighting after which a track ends; may be assigned.
    """

    def __init__(self, camera: str, left_after_s: float) -> None:
        """Start without tracks.

        Args:
            camera: starts every track's id.
            left_after_s: seconds without a sighting after which a track ends.
        """
        self._camera = camera
        self.left_after_s = left_after_s
        self._tracks: list[Track] = []
        self._made = 0

    @property
    def tracks(self) -> list[Track]:
        """The tracks that have not ended."""
        return list(self._tracks)

    def update(self, detections: Detections, captured_s: float, wall_time: float) -> list[Track]:
        """Join one frame's faces to tracks.

        Args:
            detections: N faces.
            captured_s: monotonic seconds of the frame.
            wall_time: seconds since the epoch; makes new ids unique over restarts.

        Returns:
            N tracks, the i-th being the one face i belongs to.
        """
        owners: list[Track | None] = [None] * len(detections)
        for face, track in self._pairs(detections, captured_s):
            track.see(detections.xyxy[face], captured_s)
            owners[face] = track
        result = []
        for face, owner in enumerate(owners):
            if owner is None:
                self._made += 1
                track_id = f"{self._camera}-{int(wall_time)}-{self._made}"
                owner = Track(track_id, detections.xyxy[face], captured_s, captured_s)
                self._tracks.append(owner)
            result.append(owner)
        return result

    def expire(self, captured_s: float) -> list[Track]:
        """Remove and return the tracks not seen for ``left_after_s``, oldest first."""
        gone = [t for t in self._tracks if captured_s - t.last_s > self.left_after_s]
        self._tracks = [t for t in self._tracks if captured_s - t.last_s <= self.left_after_s]
        return gone

    def clear(self) -> list[Track]:
        """Remove and return every track."""
        gone, self._tracks = self._tracks, []
        return gone

    def _pairs(self, detections: Detections, captured_s: float) -> list[tuple[int, Track]]:
        if not len(detections) or not self._tracks:
            return []
        boxes = np.stack([track.predicted(captured_s) for track in self._tracks])
        affinity = _affinity(detections.xyxy, boxes)
        pairs = []
        while affinity.max(initial=0.0) > 0:
            face, track = np.unravel_index(int(affinity.argmax()), affinity.shape)
            pairs.append((int(face), self._tracks[int(track)]))
            affinity[face, :] = 0
            affinity[:, track] = 0
        return pairs


def _affinity(faces: Floats, tracks: Floats) -> Floats:
    """(N, M): 1 + IoU where boxes overlap enough, 0..1 where they are only near, 0 where neither."""
    overlap = iou(faces, tracks)
    width_f, width_t = faces[:, 2] - faces[:, 0], tracks[:, 2] - tracks[:, 0]
    reach = np.maximum(np.minimum(width_f[:, None], width_t[None]), 1e-6)
    centres = (faces[:, None, :2] + faces[:, None, 2:] - tracks[None, :, :2] - tracks[None, :, 2:]) / 2
    nearness = 1 - np.linalg.norm(centres, axis=2) / (_NEAR_WIDTHS * reach)
    alike = np.maximum(width_f[:, None], width_t[None]) / reach < _SIZE_RATIO
    return np.where(overlap >= MIN_IOU, 1 + overlap, np.where(alike, np.clip(nearness, 0, 1), 0)).astype(np.float32)
