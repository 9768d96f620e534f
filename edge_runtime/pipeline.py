"""One camera's frames in, events out: detect, track, choose the best view, align, judge quality, encode, match, decide.

No thread and no clock: every time comes with the frame, so a clip gives the same events at any speed. What a stage
took is measured, but only a live camera's :class:`~edge_runtime.tracking.scheduler.DetectionScheduler` acts on it.
"""

from __future__ import annotations

import time

import numpy as np

from edge_runtime.config import Config, DecideConfig
from edge_runtime.decision.likeness import Likeness
from edge_runtime.decision.matcher import Matcher
from edge_runtime.faces.chain import NOT_A_FACE, FaceChain
from edge_runtime.faces.crops import face_crop
from edge_runtime.faces.quality import QualityLimits, measure, rejection, weight
from edge_runtime.tracking.attention import Attention
from edge_runtime.tracking.best_shot import View
from edge_runtime.tracking.gaze import Gaze
from edge_runtime.tracking.identities import Identities
from edge_runtime.tracking.identity import Identity, State
from edge_runtime.tracking.reporter import Reporter
from edge_runtime.tracking.scheduler import DetectionScheduler
from edge_runtime.tracking.tally import Tally
from edge_runtime.tracking.tracker import Tracker
from edge_runtime.types import Detections, Event, Floats, Frame
from edge_runtime.unknowns.memory import UnknownsMemory

_UNSURE = 0.5
"""Faces with this part of the detector's score are followed, but neither announced nor named."""


class Pipeline:
    """The chain of one camera.

    Attributes:
        tally: everything counted; ``stages`` and ``counts`` are parts of it.
        stages: seconds of each run, by stage: motion, detect, follow, align, encode, match.
        counts: frames; searched, and still: due, but nothing moved; closely: windows of searched frames; faces,
            tracks, identified, unknown, rejected;
            spared: faces not looked at because they are decided, waited: views not encoded because a better one came,
            held: views left out because two faces touched; exchanged and joined: tracks set right by their embeddings.
        pace: which frames are due; on a live source fewer where the machine has no time for more.
    """

    def __init__(
        self,
        chain: FaceChain,
        matcher: Matcher,
        config: Config,
        camera: str,
        strangers: UnknownsMemory | None = None,
    ) -> None:
        """Start with no track.

        Args:
            chain: detector and encoder; may be shared by cameras that step in turn.
            matcher: the gallery as it is now; assign ``matcher`` again after it changed.
            config: ``detect``, ``decide``, ``quality`` and ``events.keep`` and ``keep_embeddings`` are used.
            camera: goes into events and track ids.
            strangers: remembers who was never named; None: nobody does.
        """
        self.tally = Tally()
        self.stages = self.tally.stages
        self.counts = self.tally.counts
        self.pace = DetectionScheduler(config.detect.every, len(config.camera))
        self._chain = chain
        self._limits = QualityLimits(face_px=config.quality.min_face_px)
        keep_crops = config.events.keeps("crops")
        self._crops = strangers is not None or keep_crops
        self._gaze = Gaze(config.detect.close_looks)
        self._attention = Attention(self.pace, self._gaze, config.detect.refresh_s, self.tally)
        self._tracker = Tracker(camera, config.decide.left_after_s)
        encoder = chain.embedding_hash if config.events.keep_embeddings else None
        self._reporter = Reporter(camera, chain.bundle.hash, keep_crops, strangers, self.tally, encoder)
        likeness = Likeness.of(chain.bundle.strangers())
        self._identities = Identities(self._tracker, matcher, likeness, config.decide, self._reporter, self.tally)
        self._now_s = -np.inf
        self._searched_s = np.nan
        """When the latest frame was, if it was searched."""

    @property
    def decide(self) -> DecideConfig:
        """How decisions are made; may be assigned while running."""
        return self._identities.decide

    @decide.setter
    def decide(self, decide: DecideConfig) -> None:
        self._identities.decide = decide
        self._tracker.left_after_s = decide.left_after_s

    @property
    def matcher(self) -> Matcher:
        """The gallery as it is now; may be assigned while running."""
        return self._identities.matcher

    @matcher.setter
    def matcher(self, matcher: Matcher) -> None:
        self._identities.matcher = matcher

    @property
    def tracks(self) -> list[tuple[str, Floats]]:
        """(track id, box xyxy px) of everything that is followed, announced or not, where it should be now."""
        return [(track.track_id, track.predicted(self._now_s)) for track in self._tracker.tracks]

    def sightings(self) -> list[tuple[Floats, str | None, State]]:
        """(box xyxy px, name or None, state) of the faces in view."""
        return [
            (identity.track.predicted(self._now_s), None if identity.doubt else identity.name, identity.state)
            for identity in self._identities.in_view
        ]

    def recheck(self) -> None:
        """The next view of every face is encoded and matched, however lately it was decided whose it is."""
        self._identities.recheck()

    def step(self, frame: Frame) -> list[Event]:
        """Take one frame; returns what it made known, in order."""
        started_s = time.perf_counter()
        self._now_s = frame.captured_s
        new = any(
            track.hits == 1 and track.last_s == track.first_s == self._searched_s for track in self._tracker.tracks
        )
        look = self._attention.look(frame, self._identities.confirmed, self.decide.left_after_s, new)
        self._searched_s = np.nan if look == "skip" else frame.captured_s
        if look == "cut":
            self._tracker.part()
        if look != "skip":
            self._search(frame)
        self.counts["frames"] += 1
        for track in self._tracker.expire(frame.captured_s):
            self._identities.leave(track, frame.captured_s, frame.wall_time)
        self.pace.measure(look != "skip", time.perf_counter() - started_s)
        return self._reporter.take()

    def finish(self, captured_s: float, wall_time: float) -> list[Event]:
        """End every track: the camera is gone or the daemon stops."""
        for track in self._tracker.clear():
            self._identities.leave(track, captured_s, wall_time)
        return self._reporter.take()

    def _search(self, frame: Frame) -> None:
        """Find the faces of a frame, follow them, and look at each."""
        self.counts["searched"] += 1
        sure = self._chain.detector.score
        here = [track.predicted(frame.captured_s) for track in self._tracker.tracks if not track.parted]
        everywhere = self._chain.detector.windows(frame.pixels.shape)
        windows = self._gaze.windows(everywhere, here, frame.captured_s, self.pace.strain)
        self.counts["closely"] += len(windows)
        with self.tally.stage("detect"):
            faces = self._chain.detector.detect(frame.pixels, _UNSURE * sure, windows)
        self.counts["faces"] += int((faces.score >= sure).sum())
        with self.tally.stage("follow"):
            tracks = self._tracker.update(faces, frame.captured_s, frame.wall_time, sure)
            self._identities.follow(tracks, frame)
        for index, track in enumerate(tracks):
            identity = self._identities.of(track)
            if faces.score[index] < sure or identity is None or not np.array_equal(track.xyxy, faces.xyxy[index]):
                continue  # unsure, or given to another track meanwhile
            self._face(frame, faces[[index]], identity)

    def _face(self, frame: Frame, face: Detections, identity: Identity) -> None:
        """Encode a view of a face if it is of use, then decide whose it is."""
        now_s, doubt = frame.captured_s, identity.doubt
        if doubt and doubt.touched_s == now_s:
            self.counts["held"] += 1
        elif identity.decided and not doubt and not identity.choice.wants(now_s):
            self.counts["spared"] += 1
        else:
            view = self._best_view(frame, face, identity)
            if view is not None and self._encode(view, identity):
                self._identities.judge(frame, identity)
                return
        self._identities.announce(frame, identity)

    def _best_view(self, frame: Frame, face: Detections, identity: Identity) -> View | None:
        """Judge this view of a face, and align it if it is the best; the one to encode now, if any."""
        face_px = float(face.width[0])
        if face_px < self._limits.face_px:
            identity.quality = {"face_px": face_px}
            identity.refusals["small"] += 1
            return None
        with self.tally.stage("align"):
            identity.quality = quality = measure(frame.pixels, face.landmarks[0], face_px)
            if reason := rejection(quality, self._limits):
                identity.refusals[reason] += 1
                return None
            counts = weight(quality, self._limits)

            def cut() -> View:
                crop = face_crop(frame.pixels, face.xyxy[0]) if self._crops and identity.name is None else None
                return View(self._chain.chips(frame.pixels, face.landmarks), counts, quality, crop)

            recheck = identity.decided and not identity.doubt
            view = identity.choice.offer(counts, frame.captured_s, recheck, cut)
        if view is None:
            self.counts["waited"] += 1
        return view

    def _encode(self, view: View, identity: Identity) -> bool:
        """Add the embedding of a view to those of its face; whether it has one."""
        with self.tally.stage("encode"):
            embeddings, norms = self._chain.embed(view.chip)
        if norms[0] == 0:
            identity.refusals[NOT_A_FACE] += 1
            return False
        identity.quality = view.quality
        average = identity.doubt.after if identity.doubt else identity.embedding
        average.add(embeddings[0], view.weight, view.crop)
        return True
