"""One camera's frames in, events out: detect, track, align, judge quality, encode, match, decide.

No thread and no clock: every time comes with the frame, so a clip gives the same events at any speed.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edge_runtime.chain import FaceChain
from edge_runtime.config import Config, DecideConfig
from edge_runtime.crops import face_crop
from edge_runtime.encoder import normalise
from edge_runtime.matcher import Matcher
from edge_runtime.quality import QualityLimits, measure, rejection, weight
from edge_runtime.tracker import Track, Tracker
from edge_runtime.types import Detections, Event, EventKind, Floats, Frame, Match

_MEMORY = 0.9
"""How much of a track's earlier views one more view leaves, so that a track that changed hands is noticed."""
_UNKNOWN_AFTER = 2
"""A stranger is called one after this many times the views a name needs: late light or a turned head may help."""
_CONFIRMATIONS = 2
"""Re-checks in a row that must agree before a decided track gets another name."""


@dataclass(slots=True)
class StageTime:
    """How often a stage ran and how long in all, seconds."""

    count: int = 0
    total_s: float = 0.0


@dataclass(slots=True)
class _Subject:
    """What is known about the face behind one track."""

    first_wall: float
    code_sum: Floats | None = None
    views: int = 0
    refusals: Counter[str] = field(default_factory=Counter)
    checked_s: float = -np.inf
    decided: bool = False
    match: Match | None = None
    said: tuple[EventKind, str | None] | None = None
    rival: str | None = None
    rival_votes: int = 0
    quality: dict[str, float] = field(default_factory=dict)
    appeared: bool = False
    rejected: bool = False


class Pipeline:
    """The chain of one camera.

    Attributes:
        stages: time spent by stage: detect, align, encode, match.
        counts: frames, searched, faces, tracks, identified, unknown, rejected.
    """

    def __init__(self, chain: FaceChain, matcher: Matcher, config: Config, camera: str) -> None:
        """Start with no track.

        Args:
            chain: detector and encoder; may be shared by cameras that step in turn.
            matcher: the gallery as it is now; assign ``matcher`` again after it changed.
            config: ``detect``, ``decide``, ``quality`` and ``events.keep_crops`` are used.
            camera: goes into events and track ids.
        """
        self.stages: dict[str, StageTime] = {}
        self.counts: Counter[str] = Counter()
        self._chain = chain
        self._matcher = matcher
        self._detect = config.detect
        self._decide = config.decide
        self._keep_crops = config.events.keep_crops
        self._limits = QualityLimits(face_px=config.quality.min_face_px)
        self._camera = camera
        self._tracker = Tracker(camera, config.decide.left_after_s)
        self._subjects: dict[str, _Subject] = {}

    @property
    def decide(self) -> DecideConfig:
        """How decisions are made; may be assigned while running."""
        return self._decide

    @decide.setter
    def decide(self, decide: DecideConfig) -> None:
        self._decide = decide
        self._tracker.left_after_s = decide.left_after_s

    @property
    def matcher(self) -> Matcher:
        """The gallery as it is now; may be assigned while running."""
        return self._matcher

    @matcher.setter
    def matcher(self, matcher: Matcher) -> None:
        self._matcher = matcher
        for subject in self._subjects.values():
            subject.checked_s = -np.inf
            if subject.match and subject.match.person not in matcher.templates.names:
                # A name forgotten or changed must not be said again; a stranger may have become somebody.
                subject.decided, subject.match = False, None

    def step(self, frame: Frame) -> list[Event]:
        """Take one frame; returns what it made known, in order."""
        events: list[Event] = []
        if self.counts["frames"] % self._detect.every == 0:
            self.counts["searched"] += 1
            with self._stage("detect"):
                detections = self._chain.detector.detect(frame.pixels)
            self.counts["faces"] += len(detections)
            tracks = self._tracker.update(detections, frame.captured_s, frame.wall_time)
            for index, track in enumerate(tracks):
                events += self._face(frame, detections[[index]], track)
        self.counts["frames"] += 1
        for track in self._tracker.expire(frame.captured_s):
            events += self._leave(track, frame.captured_s, frame.wall_time)
        return events

    def finish(self, captured_s: float, wall_time: float) -> list[Event]:
        """End every track: the camera is gone or the daemon stops."""
        events: list[Event] = []
        for track in self._tracker.clear():
            events += self._leave(track, captured_s, wall_time)
        return events

    def sightings(self) -> list[tuple[Floats, str | None, str]]:
        """(box xyxy px, name or None, state) of the faces in view: seen, checking, rejected, unknown or identified."""
        rows = []
        for track in self._tracker.tracks:
            subject = self._subjects.get(track.track_id)
            if subject is not None and subject.appeared:
                person = subject.match.person if subject.decided and subject.match else None
                rows.append((track.xyxy, person, _state(subject)))
        return rows

    def _face(self, frame: Frame, face: Detections, track: Track) -> Iterator[Event]:
        subject = self._subjects.setdefault(track.track_id, _Subject(frame.wall_time))
        if track.confirmed and not subject.appeared:
            subject.appeared = True
            self.counts["tracks"] += 1
            yield self._event("appeared", frame, track, subject)
        due = frame.captured_s - subject.checked_s >= self._decide.recheck_s
        if subject.decided and not due:
            return
        reason, code = self._view(frame, face, subject)
        if code is None:
            subject.refusals[reason] += 1
            enough = subject.refusals.total() >= self._decide.views
            if subject.appeared and enough and not subject.views and not subject.rejected:
                subject.rejected = True
                self.counts["rejected"] += 1
                yield self._event("rejected", frame, track, subject, reason=subject.refusals.most_common(1)[0][0])
            return
        if subject.appeared and subject.views >= self._decide.views:
            with self._stage("match"):
                match = self._matcher.match(code[None])[0]
            subject.checked_s = frame.captured_s
            yield from self._judge(frame, track, subject, match)

    def _view(self, frame: Frame, face: Detections, subject: _Subject) -> tuple[str, Floats | None]:
        """Why this view does not count, or ("", the track's averaged code float32 (D,) with it)."""
        face_px = float(face.width[0])
        if face_px < self._limits.face_px:
            subject.quality = {"face_px": face_px}
            return "small", None
        with self._stage("align"):
            subject.quality = measure(frame.pixels, face.landmarks[0], face_px)
            if reason := rejection(subject.quality, self._limits):
                return reason, None
            chips = self._chain.chips(frame.pixels, face.landmarks)
        with self._stage("encode"):
            codes, norms = self._chain.encoder.encode(chips)
        if norms[0] == 0:
            return "not a face", None
        share = codes[0] * np.float32(weight(subject.quality, self._limits))
        subject.code_sum = share if subject.code_sum is None else subject.code_sum * np.float32(_MEMORY) + share
        subject.views += 1
        return "", normalise(subject.code_sum[None])[0][0]

    def _judge(self, frame: Frame, track: Track, subject: _Subject, match: Match) -> Iterator[Event]:
        before = subject.match.person if subject.decided and subject.match else None
        if not subject.decided:
            if match.person is None and subject.views < _UNKNOWN_AFTER * self._decide.views:
                return
            subject.decided = True
        elif match.person == before or match.person is None:
            # A name once given stays through a weak view; only another name takes its place.
            subject.rival, subject.rival_votes = None, 0
            if match.person is not None:
                subject.match = match
            return
        else:
            subject.rival_votes = subject.rival_votes + 1 if match.person == subject.rival else 1
            subject.rival = match.person
            if subject.rival_votes < _CONFIRMATIONS:
                return
            subject.rival, subject.rival_votes = None, 0
        subject.match = match
        kind: EventKind = "identified" if match.person else "unknown"
        if subject.said == (kind, match.person):
            # Decided again because the gallery changed, with the same answer.
            return
        subject.said = kind, match.person
        self.counts[kind] += 1
        yield self._event(kind, frame, track, subject)

    def _leave(self, track: Track, captured_s: float, wall_time: float) -> Iterator[Event]:
        subject = self._subjects.pop(track.track_id, None)
        if subject is not None and subject.appeared:
            at = Frame(_NO_PIXELS, self._camera, 0, captured_s, wall_time)
            yield self._event("left", at, track, subject)

    def _event(
        self, kind: EventKind, frame: Frame, track: Track, subject: _Subject, reason: str | None = None
    ) -> Event:
        values: dict[str, Any] = {}
        match = subject.match
        if subject.decided and match is not None and kind != "appeared":
            values = {
                "person": match.person,
                "score": match.score,
                "confidence": match.confidence,
                "margin": match.margin,
                "runner_up": match.runner_up,
                "threshold": match.threshold,
                "template_id": match.template_id,
                "candidate": match.candidate,
            }
        if self._keep_crops and kind in ("identified", "unknown", "rejected"):
            values["crop"] = face_crop(frame.pixels, track.xyxy)
        return Event(
            kind=kind,
            camera=self._camera,
            wall_time=frame.wall_time,
            captured_s=frame.captured_s,
            track_id=track.track_id,
            xyxy=(float(track.xyxy[0]), float(track.xyxy[1]), float(track.xyxy[2]), float(track.xyxy[3])),
            quality={name: round(value, 2) for name, value in subject.quality.items()},
            reason=reason,
            first_seen=subject.first_wall,
            bundle=self._chain.bundle.hash,
            **values,
        )

    @contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        stage = self.stages.setdefault(name, StageTime())
        started = time.perf_counter()
        yield
        stage.total_s += time.perf_counter() - started
        stage.count += 1


_NO_PIXELS = np.zeros((1, 1, 3), np.uint8)


def _state(subject: _Subject) -> str:
    if subject.decided and subject.match:
        return "identified" if subject.match.person else "unknown"
    return "rejected" if subject.rejected else "checking"
