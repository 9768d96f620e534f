"""Which face of this frame is which face of the last: one track a face, held over short gaps.

Faces are joined to tracks best overlap first (greedy intersection over union, as in Bewley et al., "Simple
Online and Realtime Tracking", 2016, with a box that moves on at its last speed), then by nearness, which
keeps a small fast face whose boxes no longer overlap. The faces a detector is less sure of are joined last (Zhang
et al., "ByteTrack", 2022), so that somebody who turns away keeps a track.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edge_runtime.geometry.boxes import iou
from edge_runtime.types import Detections, Floats

MIN_IOU = 0.2
_NEAR_WIDTHS = 0.8
_SIZE_RATIO = 2.0
_JUMP_IOU = 0.4
_SPEED_MEMORY = 0.5
_CONFIRM_HITS = 2
_GLIDE_S = 1.0
"""For so long an unseen face is taken to move on."""
_STALENESS = 0.5
"""How much affinity a second without a sighting costs, so that a face goes to the track that was just there."""
_UNSURE_LEFT_AFTER_S = 0.5
"""A track that never was a sure face ends after so long."""


@dataclass(slots=True)
class Track:
    """One face over time.

    Attributes:
        track_id: unique over restarts.
        xyxy: float32 (4,), where it was last seen, px.
        first_s, last_s: captured times of its first and latest sighting.
        hits: sightings so far by a sure face; a track is confirmed, and so announced, with its second one.
        speed: float32 (2,), px a second, smoothed.
        jumped: whether the latest sighting was far from where it should have been, or of another size.
        parted: whether it was of a scene that is gone; it gets no more faces by where they are.
    """

    track_id: str
    xyxy: Floats
    first_s: float
    last_s: float
    hits: int = 1
    speed: Floats = field(default_factory=lambda: np.zeros(2, np.float32))
    jumped: bool = False
    parted: bool = False

    @property
    def confirmed(self) -> bool:
        return self.hits >= _CONFIRM_HITS

    @property
    def width(self) -> float:
        """In px."""
        return float(self.xyxy[2] - self.xyxy[0])

    def predicted(self, captured_s: float) -> Floats:
        """Where the box should be at ``captured_s``, float32 (4,) px."""
        shift = self.speed * np.float32(min(captured_s - self.last_s, _GLIDE_S))
        return np.asarray(self.xyxy + np.concatenate([shift, shift]), np.float32)

    def see(self, xyxy: Floats, captured_s: float, sure: bool = True) -> None:
        """Move to a new sighting."""
        self.jumped = float(iou(self.predicted(captured_s)[None], xyxy[None])[0, 0]) < _JUMP_IOU
        elapsed = captured_s - self.last_s
        if elapsed > 0:
            moved = (xyxy[:2] + xyxy[2:] - self.xyxy[:2] - self.xyxy[2:]) / (2 * elapsed)
            self.speed = (_SPEED_MEMORY * self.speed + (1 - _SPEED_MEMORY) * moved).astype(np.float32)
        self.xyxy, self.last_s = xyxy, captured_s
        self.hits += sure


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

    def update(self, detections: Detections, captured_s: float, wall_time: float, sure: float = 0.0) -> list[Track]:
        """Join one frame's faces to tracks.

        Args:
            detections: N faces.
            captured_s: monotonic seconds of the frame.
            wall_time: seconds since the epoch; makes new ids unique over restarts.
            sure: the score of faces that are faces for certain; the rest get what tracks are left.

        Returns:
            N tracks, the i-th being the one face i belongs to.
        """
        certain = detections.score >= sure
        owners: dict[int, Track] = {}
        for wanted in (certain, ~certain):
            free = [track for track in self._tracks if not track.parted and track not in owners.values()]
            for face, track in _pairs(detections.xyxy, np.flatnonzero(wanted), free, captured_s):
                track.see(detections.xyxy[face], captured_s, bool(wanted is certain))
                owners[face] = track
        for face in range(len(detections)):
            if face not in owners:
                self._made += 1
                track_id = f"{self._camera}-{int(wall_time)}-{self._made}"
                owners[face] = Track(track_id, detections.xyxy[face], captured_s, captured_s, hits=int(certain[face]))
                self._tracks.append(owners[face])
        return [owners[face] for face in range(len(detections))]

    def exchange(self, one: Track, other: Track) -> None:
        """Two tracks took each other's face: each gets the other's place and motion back."""
        for name in ("xyxy", "last_s", "speed", "parted"):
            mine, theirs = getattr(one, name), getattr(other, name)
            setattr(one, name, theirs)
            setattr(other, name, mine)

    def join(self, old: Track, new: Track) -> None:
        """A track that was broken off goes on as another one, which ends without having left."""
        old.xyxy, old.last_s, old.speed, old.parted = new.xyxy, new.last_s, new.speed, new.parted
        old.hits += new.hits
        self.drop(new)

    def part(self) -> None:
        """The scene has changed: no face is where it was."""
        for track in self._tracks:
            track.parted = True

    def drop(self, track: Track) -> None:
        """End a track now."""
        self._tracks = [other for other in self._tracks if other is not track]

    def expire(self, captured_s: float) -> list[Track]:
        """Remove and return the tracks not seen for ``left_after_s``, oldest first."""
        gone = [track for track in self._tracks if captured_s - track.last_s > self._patience_s(track)]
        self._tracks = [track for track in self._tracks if track not in gone]
        return gone

    def clear(self) -> list[Track]:
        """Remove and return every track."""
        gone, self._tracks = self._tracks, []
        return gone

    def _patience_s(self, track: Track) -> float:
        return self.left_after_s if track.hits else min(self.left_after_s, _UNSURE_LEFT_AFTER_S)


def _pairs(boxes: Floats, faces: NDArray[np.int64], tracks: list[Track], captured_s: float) -> list[tuple[int, Track]]:
    """Which of ``faces`` (indices into ``boxes``) goes to which track."""
    if not len(faces) or not tracks:
        return []
    affinity = _affinity(boxes[faces], np.stack([track.predicted(captured_s) for track in tracks]))
    stale = np.array([_STALENESS * min(captured_s - track.last_s, 1.0) for track in tracks], np.float32)
    affinity = np.where(affinity > 0, np.maximum(affinity - stale, 1e-3), 0)
    pairs = []
    while affinity.max(initial=0.0) > 0:
        row, column = np.unravel_index(int(affinity.argmax()), affinity.shape)
        pairs.append((int(faces[row]), tracks[int(column)]))
        affinity[row, :] = 0
        affinity[:, column] = 0
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
