"""One camera's frames in, events out: detect, follow, align, judge quality, encode, match, decide.

No thread and no clock: every time comes with the frame, so a clip gives the same events at any speed. What a stage
took is measured, but only a live camera's :class:`~edge_runtime.tracking.scheduler.DetectionScheduler` acts on it.
"""

from __future__ import annotations

import dataclasses
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_runtime.config import Config, DecideConfig
from edge_runtime.decision.likeness import Likeness
from edge_runtime.decision.matcher import Matcher
from edge_runtime.faces.chain import FaceChain
from edge_runtime.faces.crops import face_crop
from edge_runtime.faces.quality import QualityLimits, measure, rejection, weight
from edge_runtime.tracking.best_shot import View
from edge_runtime.tracking.identity import Average, Subject, exchange, lost_near, verdict
from edge_runtime.tracking.motion import MotionGate
from edge_runtime.tracking.occlusion import Occlusions
from edge_runtime.tracking.scheduler import DetectionScheduler
from edge_runtime.tracking.tracker import Tracker
from edge_runtime.types import Detections, Event, EventKind, Floats, Frame, Match, Pixels
from edge_runtime.unknowns.memory import Recognised, Sighting, UnknownsMemory

_UNKNOWN_AFTER = 2
"""A stranger is called one after this many times the views a name needs: late light or a turned head may help."""
_CONFIRMATIONS = 2
"""Re-checks in a row that must agree before a decided track gets another name."""
_UNSURE = 0.5
"""Faces with this part of the detector's score are followed, but neither announced nor named."""
_LINGER_S = 0.6
"""After motion has ended, faces are looked for as if it went on for so long."""
_HOLD_S = 3.0
"""While somebody is ignored, that a face appeared is told when it is decided whose, or after this time."""
_GONE_S = 0.3
"""A name is free again when its bearer has not been seen for so long."""
_SEATED_S = 0.5
"""Somebody in view who does not move is looked for so often."""


@dataclass(slots=True)
class StageTime:
    """How often a stage ran and how long in all, seconds."""

    count: int = 0
    total_s: float = 0.0


class Pipeline:
    """The chain of one camera.

    Attributes:
        stages: time spent by stage: motion, detect, follow, align, encode, match.
        counts: frames; searched, and still: due, but nothing moved; faces, tracks, identified, unknown, rejected;
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
            config: ``detect``, ``decide``, ``quality`` and ``events.keep_crops`` are used.
            camera: goes into events and track ids.
            strangers: remembers who was never named; None: nobody does.
        """
        self.stages: dict[str, StageTime] = {}
        self.counts: Counter[str] = Counter()
        self.pace = DetectionScheduler(config.detect.every, len(config.camera))
        self._chain = chain
        self._matcher = matcher
        self._likeness = Likeness.of(chain.bundle.strangers())
        self._detect = config.detect
        self._decide = config.decide
        self._keep_crops = config.events.keep_crops
        self._limits = QualityLimits(face_px=config.quality.min_face_px)
        self._camera = camera
        self._strangers = strangers
        self._gate = MotionGate()
        self._tracker = Tracker(camera, config.decide.left_after_s)
        self._contacts = Occlusions()
        self._subjects: dict[str, Subject] = {}
        self._now_s = self._moved_s = self._searched_s = -np.inf
        self._unseen = 0
        """Frames since the last that was compared."""
        self._was_cut = False

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
            subject.choice.hurry()
            if subject.match and subject.match.person not in matcher.templates.names:
                # A name forgotten or changed must not be said again; a stranger may have become somebody.
                subject.decided, subject.match = False, None

    @property
    def tracks(self) -> list[tuple[str, Floats]]:
        """(track id, box xyxy px) of everything that is followed, announced or not, where it should be now."""
        return [(track.track_id, track.predicted(self._now_s)) for track in self._tracker.tracks]

    def sightings(self) -> list[tuple[Floats, str | None, str]]:
        """(box xyxy px, name or None, state) of the faces in view: checking, rejected, unknown or identified."""
        return [
            (subject.track.predicted(self._now_s), None if subject.doubt else subject.name, subject.state)
            for subject in self._subjects.values()
            if subject.appeared and not self._gone(subject)
        ]

    def step(self, frame: Frame) -> list[Event]:
        """Take one frame; returns what it made known, in order."""
        events: list[Event] = []
        started_s = time.perf_counter()
        self._now_s = frame.captured_s
        searched = self._due(frame)
        if searched:
            events += self._search(frame)
        self.counts["frames"] += 1
        for track in self._tracker.expire(frame.captured_s):
            events += self._leave(self._subjects.get(track.track_id), frame.captured_s, frame.wall_time)
        self.pace.measure(searched, time.perf_counter() - started_s)
        return events

    def finish(self, captured_s: float, wall_time: float) -> list[Event]:
        """End every track: the camera is gone or the daemon stops."""
        events: list[Event] = []
        for track in self._tracker.clear():
            events += self._leave(self._subjects.get(track.track_id), captured_s, wall_time)
        return events

    def _due(self, frame: Frame) -> bool:
        """Whether to look for faces in this frame."""
        now_s = frame.captured_s
        due = self.pace.due(frame.seq, now_s, frame.live)
        known = [subject for subject in self._subjects.values() if subject.track.confirmed]
        # Of an empty room not even every frame is compared: as often as it would be searched.
        self._unseen += 1
        awake = known or self._gate.alert or now_s - self._moved_s <= _LINGER_S
        if not awake and (not due or self._unseen < self.pace.every):
            return False
        self._unseen = 0
        with self._stage("motion"):
            motion = self._gate.look(frame.pixels, now_s)
        if motion != "still":
            self._moved_s = now_s
        # Another scene is searched at once; one that changes with every frame, as often as any.
        cut, self._was_cut = motion == "cut" and not self._was_cut, motion == "cut"
        if cut:
            self._tracker.part()
        if cut or not due:
            return cut
        if now_s - self._moved_s <= _LINGER_S or any(subject.state == "checking" for subject in known):
            return True
        wait_s = min(_SEATED_S, self._decide.left_after_s / 2) if known else self._detect.refresh_s
        if now_s - self._searched_s >= wait_s:
            return True
        self.counts["still"] += 1
        return False

    def _search(self, frame: Frame) -> Iterator[Event]:
        self.counts["searched"] += 1
        self.pace.searched()
        self._searched_s = frame.captured_s
        sure = self._chain.detector.score
        with self._stage("detect"):
            faces = self._chain.detector.detect(frame.pixels, _UNSURE * sure)
        self.counts["faces"] += int((faces.score >= sure).sum())
        with self._stage("follow"):
            tracks = self._tracker.update(faces, frame.captured_s, frame.wall_time, sure)
            for track in tracks:
                if track.track_id not in self._subjects:
                    self._subjects[track.track_id] = Subject(track, frame.wall_time)
            here = [track for track in self._tracker.tracks if not track.parted]
            for one, other in self._contacts.update(here, frame.captured_s):
                self._touch(self._subjects[one.track_id], self._subjects[other.track_id], frame.captured_s)
            for track in tracks:
                if track.jumped:
                    self._suspect(self._subjects[track.track_id], frame.captured_s)
        for index, track in enumerate(tracks):
            subject = self._subjects.get(track.track_id)
            if faces.score[index] < sure or subject is None or not np.array_equal(track.xyxy, faces.xyxy[index]):
                continue  # unsure, or given to another track meanwhile
            yield from self._face(frame, faces[[index]], subject)

    def _suspect(self, subject: Subject, captured_s: float) -> None:
        """Its box was where nobody expected it: it may be the face of somebody who was hidden."""
        for other in self._subjects.values():
            if other is not subject and other.appeared and other.lost(captured_s):
                self._touch(subject, other, captured_s)

    def _touch(self, one: Subject, other: Subject, captured_s: float) -> None:
        # Two of whom nothing is known yet have nothing to be mistaken.
        if one.embedding.views or other.embedding.views:
            one.touch(other, captured_s)
            other.touch(one, captured_s)

    def _face(self, frame: Frame, face: Detections, subject: Subject) -> Iterator[Event]:
        now_s, doubt = frame.captured_s, subject.doubt
        if doubt and doubt.touched_s == now_s:
            self.counts["held"] += 1
        elif subject.decided and not doubt and not subject.choice.wants(now_s):
            self.counts["spared"] += 1
        else:
            seen = subject.track.last_s
            embedding = self._view(frame, face, subject, doubt.after if doubt else subject.embedding)
            if embedding and doubt:
                yield from self._settle(frame, subject)
            if subject.track.last_s != seen or subject.track.track_id not in self._subjects:
                return  # its face was another one's
            if embedding and not subject.appeared and self._rejoined(subject):
                return
            yield from self._announce(frame, subject)
            if embedding and subject.appeared and not subject.doubt and subject.embedding.views >= self._decide.views:
                yield from self._check(frame, subject)
            return
        yield from self._announce(frame, subject)

    def _announce(self, frame: Frame, subject: Subject) -> Iterator[Event]:
        if not subject.track.confirmed or subject.appeared:
            pass
        elif not subject.doubt and not self._may_be_lost(subject):
            subject.appeared = True
            self.counts["tracks"] += 1
            appeared = self._event("appeared", frame, subject)
            if self._strangers is not None and self._strangers.ignoring:
                subject.held = appeared
            else:
                yield from self._tell(subject, appeared)
        elif subject.held is not None and frame.captured_s - subject.held.captured_s > _HOLD_S:
            yield from self._tell(subject)
        enough = subject.refusals.total() >= self._decide.views
        if subject.appeared and enough and not subject.embedding.views and not subject.rejected:
            subject.rejected = True
            self.counts["rejected"] += 1
            reason = subject.refusals.most_common(1)[0][0]
            yield from self._tell(subject, self._event("rejected", frame, subject, reason=reason))

    def _view(self, frame: Frame, face: Detections, subject: Subject, into: Average) -> bool:
        """Look at a face; whether a view of it was encoded into the average."""
        face_px = float(face.width[0])
        if face_px < self._limits.face_px:
            subject.quality = {"face_px": face_px}
            subject.refusals["small"] += 1
            return False
        with self._stage("align"):
            quality = measure(frame.pixels, face.landmarks[0], face_px)
            subject.quality = quality
            if reason := rejection(quality, self._limits):
                subject.refusals[reason] += 1
                return False
            counts = weight(quality, self._limits)

            def cut() -> View:
                wanted = self._strangers is not None and subject.name is None
                crop = face_crop(frame.pixels, face.xyxy[0]) if wanted else None
                return View(self._chain.chips(frame.pixels, face.landmarks), counts, quality, crop)

            recheck = subject.decided and not subject.doubt
            view = subject.choice.offer(counts, frame.captured_s, recheck, cut)
        if view is None:
            self.counts["waited"] += 1
            return False
        with self._stage("encode"):
            embeddings, norms = self._chain.encoder.encode(view.chip)
        if norms[0] == 0:
            subject.refusals["not a face"] += 1
            return False
        subject.quality = view.quality
        into.add(embeddings[0], view.weight, view.crop)
        return True

    def _settle(self, frame: Frame, subject: Subject) -> Iterator[Event]:
        """After a contact: whose face is it, by the embeddings before and since?"""
        doubt, now_s = subject.doubt, frame.captured_s
        if doubt is None:
            return
        answer, rival = verdict(subject, doubt, self._likeness, now_s)
        if answer == "wait":
            return
        if answer == "exchange" and rival is not None and self._subjects.get(rival.track.track_id) is rival:
            self.counts["exchanged"] += 1
            exchange(self._tracker, subject, rival, now_s)
            subject = rival
        elif answer not in ("keep", "alike"):
            subject.start_over()
            return
        match = self._match(doubt.after.embedding)
        # Where embeddings have not told the two apart, a name must be earned again.
        believed = (subject.name,) if answer == "alike" and subject.name else (subject.name, None)
        if subject.decided and match.person not in believed:
            subject.start_over()
        else:
            subject.believe()
        if rival is subject:
            yield from self._announce(frame, subject)

    def _may_be_lost(self, subject: Subject) -> bool:
        """Whether a new track may yet turn out to be one that was lost: then it is not announced."""
        judged = subject.embedding.views >= self._decide.views or subject.refusals.total() >= self._decide.views
        return not judged and bool(lost_near(subject, self._subjects.values(), self._now_s))

    def _rejoined(self, subject: Subject) -> bool:
        """Whether a new track is a lost one that goes on, by its embedding; then it is none of its own any more."""
        if subject.doubt or not subject.embedding.views:
            return False
        lost = lost_near(subject, self._subjects.values(), self._now_s)
        best = max(lost, key=lambda other: other.embedding.similarity(subject.embedding), default=None)
        if best is None or best.embedding.similarity(subject.embedding) < self._likeness.same:
            return False
        match = self._match(subject.embedding.embedding)
        if best.decided and best.name != (match.candidate if best.name else match.person):
            return False  # the gallery knows better
        self.counts["joined"] += 1
        self._tracker.join(best.track, subject.track)
        del self._subjects[subject.track.track_id]
        best.doubt = None
        best.embedding.merge(subject.embedding)
        best.choice.hurry()
        return True

    def _match(self, embedding: Floats) -> Match:
        with self._stage("match"):
            return self._matcher.match(embedding[None])[0]

    def _check(self, frame: Frame, subject: Subject) -> Iterator[Event]:
        match = self._match(subject.embedding.embedding)
        yield from self._judge(frame, subject, match)
        agreed = subject.decided and match.person == subject.name
        subject.choice.checked(frame.captured_s, self._decide.recheck_s if subject.decided else 0.0, agreed)

    def _judge(self, frame: Frame, subject: Subject, match: Match) -> Iterator[Event]:
        if match.person is not None:
            holder = self._holder(match.person, subject)
            if holder is not None and not self._gone(holder):
                assert holder.match is not None
                if holder.match.score + self._matcher.margin >= match.score:
                    # Nobody is in two places: the likelier one keeps the name.
                    match = dataclasses.replace(match, person=None)
        before = subject.name
        if not subject.decided:
            if match.person is None and subject.embedding.views < _UNKNOWN_AFTER * self._decide.views:
                return
            if match.person is not None and self._match(subject.embedding.latest).candidate != match.person:
                return  # the latest view alone must say the same
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
        if match.person is not None:
            yield from self._dethrone(frame, match.person, subject)
        yield from self._say(frame, subject)

    def _holder(self, name: str, but: Subject) -> Subject | None:
        """Who else bears this name."""
        return next((other for other in self._subjects.values() if other is not but and other.name == name), None)

    def _gone(self, subject: Subject) -> bool:
        """Out of sight, and not just missed once."""
        return subject.lost(self._searched_s - _GONE_S)

    def _dethrone(self, frame: Frame, name: str, subject: Subject) -> Iterator[Event]:
        """Whoever bore the name that ``subject`` has now: gone if out of sight, else a stranger."""
        holder = self._holder(name, subject)
        if holder is None:
            return
        if self._gone(holder):
            self._tracker.drop(holder.track)
            yield from self._leave(holder, frame.captured_s, frame.wall_time)
        elif holder.match is not None:
            holder.match = dataclasses.replace(holder.match, person=None)
            yield from self._say(frame, holder)

    def _say(self, frame: Frame, subject: Subject) -> Iterator[Event]:
        name = subject.name
        kind: EventKind = "identified" if name else "unknown"
        subject.stranger = self._recognised(subject)
        ignored = subject.stranger is not None and subject.stranger.ignored
        if subject.said == (kind, name) and (subject.told or ignored):
            # Decided again because of a doubt or a new gallery, with the same answer.
            return
        subject.said = kind, name
        self.counts[kind] += 1
        yield from self._tell(subject, self._event(kind, frame, subject), ignored)

    def _tell(self, subject: Subject, event: Event | None = None, ignored: bool = False) -> Iterator[Event]:
        """What was held of a subject, then an event; ignored ones are marked, for the log alone."""
        held, subject.held = subject.held, None
        subject.told |= not ignored
        for one in (held, event):
            if one is not None:
                yield dataclasses.replace(one, ignored=ignored)

    def _recognised(self, subject: Subject) -> Recognised | None:
        """Which stranger it is; None: somebody known, or perhaps one of two known."""
        match = subject.match
        if self._strangers is None or match is None or match.person is not None or match.score >= match.threshold:
            return None
        return self._strangers.recognise(subject.embedding.embedding, subject.first_wall)

    def _remember(self, subject: Subject, wall_time: float) -> None:
        """Keep in mind who is never named now, as they were in all of the track."""
        if self._strangers is None or subject.stranger is None or not subject.decided or subject.name is not None:
            return
        weight, crop = subject.embedding.best
        sighting = Sighting(subject.embedding.embedding, weight, subject.first_wall, wall_time, self._camera, crop)
        subject.stranger = self._strangers.remember(sighting, subject.stranger.stranger_id) or subject.stranger

    def _leave(self, subject: Subject | None, captured_s: float, wall_time: float) -> Iterator[Event]:
        if subject is None:
            return
        del self._subjects[subject.track.track_id]
        if subject.appeared:
            at = Frame(_NO_PIXELS, self._camera, 0, captured_s, wall_time)
            if subject.held is not None:
                yield from self._tell(subject)
            self._remember(subject, wall_time)
            # Of whom nothing else was told, no leaving is told either.
            yield from self._tell(subject, self._event("left", at, subject), not subject.told)

    def _event(self, kind: EventKind, frame: Frame, subject: Subject, reason: str | None = None) -> Event:
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
        if subject.stranger is not None and subject.decided and subject.name is None and kind in ("unknown", "left"):
            values |= {"stranger": subject.stranger.stranger_id, "visits": subject.stranger.visits}
        if self._keep_crops and kind in ("identified", "unknown", "rejected"):
            values["crop"] = face_crop(frame.pixels, subject.track.xyxy)
        left, top, right, bottom = (float(side) for side in subject.track.xyxy)
        return Event(
            kind=kind,
            camera=self._camera,
            wall_time=frame.wall_time,
            captured_s=frame.captured_s,
            track_id=subject.track.track_id,
            xyxy=(left, top, right, bottom),
            quality={name: round(value, 2) for name, value in subject.quality.items()},
            reason=reason or (self._matcher.calibration.refused if kind == "unknown" else None),
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


_NO_PIXELS: Pixels = np.zeros((1, 1, 3), np.uint8)
