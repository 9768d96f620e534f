"""Whose faces the tracks of one camera hold: doubts after contacts, lost tracks that go on, names given and taken."""

from __future__ import annotations

import dataclasses

import numpy as np

from edge_runtime.config import DecideConfig
from edge_runtime.decision.likeness import Likeness
from edge_runtime.decision.matcher import Matcher
from edge_runtime.faces.chain import NOT_A_FACE
from edge_runtime.tracking.identity import Identity, exchange, lost_near, verdict
from edge_runtime.tracking.occlusion import Occlusions
from edge_runtime.tracking.reporter import Reporter
from edge_runtime.tracking.tally import Tally
from edge_runtime.tracking.tracker import Track, Tracker
from edge_runtime.types import Floats, Frame, Match

_UNKNOWN_AFTER = 2
"""A stranger is called one after this many times the views a name needs: late light or a turned head may help."""
_CONFIRMATIONS = 2
"""Re-checks in a row that must agree before a decided track gets another name."""
_GONE_S = 0.3
"""A name is free again when its bearer has not been seen for so long."""


class Identities:
    """One for each track of a camera; nobody is in two places.

    Attributes:
        decide: how decisions are made; may be assigned while running.
    """

    def __init__(
        self,
        tracker: Tracker,
        matcher: Matcher,
        likeness: Likeness,
        decide: DecideConfig,
        reporter: Reporter,
        tally: Tally,
    ) -> None:
        """Start with no track.

        Args:
            tracker: whose tracks these are; set right where embeddings say so.
            matcher: the gallery as it is now; assign ``matcher`` again after it changed.
            likeness: what the similarity of two embeddings means.
            decide: how decisions are made.
            reporter: gets what is decided.
            tally: gets the stage ``match`` and the counts ``exchanged`` and ``joined``.
        """
        self.decide = decide
        self._tracker = tracker
        self._matcher = matcher
        self._likeness = likeness
        self._reporter = reporter
        self._tally = tally
        self._contacts = Occlusions()
        self._by_track: dict[str, Identity] = {}
        self._searched_s = -np.inf

    @property
    def matcher(self) -> Matcher:
        """The gallery as it is now; may be assigned while running."""
        return self._matcher

    @matcher.setter
    def matcher(self, matcher: Matcher) -> None:
        self._matcher = matcher
        self.recheck()
        for identity in self._by_track.values():
            if identity.match and identity.match.person not in matcher.templates.names:
                # A name forgotten or changed must not be said again; a stranger may have become somebody.
                identity.match = None

    @property
    def confirmed(self) -> list[Identity]:
        """Those whose track is a face for certain."""
        return [identity for identity in self._by_track.values() if identity.track.confirmed]

    @property
    def in_view(self) -> list[Identity]:
        """Those announced that have not gone out of sight."""
        return [identity for identity in self._by_track.values() if identity.appeared and not self._gone(identity)]

    def of(self, track: Track) -> Identity | None:
        """The identity of a track; None where it has ended."""
        return self._by_track.get(track.track_id)

    def recheck(self) -> None:
        """A view of each face is due at once."""
        for identity in self._by_track.values():
            identity.choice.hurry()

    def follow(self, tracks: list[Track], frame: Frame) -> None:
        """Take over what a search found: new tracks, and those whose faces may have been mistaken for each other.

        Args:
            tracks: one for each face that was found.
            frame: that was searched.
        """
        self._searched_s = now_s = frame.captured_s
        for track in tracks:
            if track.track_id not in self._by_track:
                self._by_track[track.track_id] = Identity(track, frame.wall_time)
        here = [track for track in self._tracker.tracks if not track.parted]
        for one, other in self._contacts.update(here, now_s):
            self._touch(self._by_track[one.track_id], self._by_track[other.track_id], now_s)
        for track in tracks:
            if track.jumped:
                self._suspect(self._by_track[track.track_id], now_s)

    def announce(self, frame: Frame, identity: Identity) -> None:
        """Tell of a face that has appeared, or that cannot be judged, where it is time."""
        if identity.appeared:
            self._reporter.tell_overdue(identity, frame.captured_s)
        elif self._may_appear(identity, frame.captured_s):
            self._reporter.appear(frame, identity)
        enough = identity.refusals.total() >= self.decide.views
        if identity.appeared and enough and not identity.embedding.views and not identity.rejected:
            self._reporter.reject(frame, identity)

    def _may_appear(self, identity: Identity, captured_s: float) -> bool:
        """Whether to tell of it: it is there for sure, is nobody who was hidden, and no view of it said: no face."""
        if (
            not identity.track.confirmed
            or identity.doubt
            or (identity.refusals[NOT_A_FACE] and not identity.embedding.views)
        ):
            return False
        return not self._may_be_lost(identity, captured_s)

    def judge(self, frame: Frame, identity: Identity) -> None:
        """Decide anew whose face it is, after a view of it was encoded."""
        seen_s = identity.track.last_s
        if identity.doubt:
            self._settle(frame, identity)
        if identity.track.last_s != seen_s or self.of(identity.track) is None:
            return  # its face was another one's
        if not identity.appeared and self._rejoined(identity, frame.captured_s):
            return
        self.announce(frame, identity)
        if identity.appeared and not identity.doubt and identity.embedding.views >= self.decide.views:
            self._check(frame, identity)

    def leave(self, track: Track, captured_s: float, wall_time: float) -> None:
        """A track has ended."""
        identity = self._by_track.pop(track.track_id, None)
        if identity is not None:
            self._reporter.leave(identity, captured_s, wall_time)

    def _suspect(self, identity: Identity, captured_s: float) -> None:
        """Its box was where nobody expected it: it may be the face of somebody who was hidden."""
        for other in self._by_track.values():
            if other is not identity and other.appeared and other.lost(captured_s):
                self._touch(identity, other, captured_s)

    def _touch(self, one: Identity, other: Identity, captured_s: float) -> None:
        # If nothing is known of the two yet, nothing can be mistaken.
        if one.embedding.views or other.embedding.views:
            one.touch(other, captured_s)
            other.touch(one, captured_s)

    def _settle(self, frame: Frame, identity: Identity) -> None:
        """After a contact: whose face is it, by the embeddings before and since?"""
        doubt, now_s = identity.doubt, frame.captured_s
        if doubt is None:
            return
        answer, rival = verdict(identity, doubt, self._likeness, now_s)
        if answer == "wait":
            return
        if answer == "exchange" and rival is not None and self.of(rival.track) is rival:
            self._tally.counts["exchanged"] += 1
            exchange(self._tracker, identity, rival, now_s)
            identity = rival
        elif answer not in ("keep", "alike"):
            identity.start_over()
            return
        match = self._match(doubt.after.embedding)
        # Where embeddings have not told the two apart, a name must be earned again.
        believed = (identity.name,) if answer == "alike" and identity.name else (identity.name, None)
        if identity.decided and match.person not in believed:
            identity.start_over()
        else:
            identity.believe()
        if rival is identity:
            self.announce(frame, identity)

    def _may_be_lost(self, identity: Identity, captured_s: float) -> bool:
        """Whether a new track may yet turn out to be one that was lost: then it is not announced."""
        judged = identity.embedding.views >= self.decide.views or identity.refusals.total() >= self.decide.views
        return not judged and bool(lost_near(identity, self._by_track.values(), captured_s))

    def _rejoined(self, identity: Identity, captured_s: float) -> bool:
        """Whether a new track is a lost one that goes on, by its embedding; then it has no identity of its own."""
        if identity.doubt or not identity.embedding.views:
            return False
        lost = lost_near(identity, self._by_track.values(), captured_s)
        best = max(lost, key=lambda other: other.embedding.similarity(identity.embedding), default=None)
        if best is None or best.embedding.similarity(identity.embedding) < self._likeness.same:
            return False
        match = self._match(identity.embedding.embedding)
        if best.decided and best.name != (match.candidate if best.name else match.person):
            return False  # the gallery knows better
        self._tally.counts["joined"] += 1
        self._tracker.join(best.track, identity.track)
        del self._by_track[identity.track.track_id]
        best.doubt = None
        best.embedding.merge(identity.embedding)
        best.choice.hurry()
        return True

    def _match(self, embedding: Floats) -> Match:
        with self._tally.stage("match"):
            return self._matcher.match(embedding[None])[0]

    def _check(self, frame: Frame, identity: Identity) -> None:
        """Match the average of its views, decide, and say when a view is to be matched again."""
        match = self._match(identity.embedding.embedding)
        allowed = self._but_in_one_place(match, identity)
        if self._decides(identity, allowed):
            identity.match = allowed
            if allowed.person is not None:
                self._dethrone(frame, allowed.person, identity)
            self._reporter.decide(frame, identity, self._matcher.calibration.refused)
        agreed = identity.decided and match.person == identity.name
        identity.choice.checked(frame.captured_s, self.decide.recheck_s if identity.decided else 0.0, agreed)

    def _but_in_one_place(self, match: Match, identity: Identity) -> Match:
        """Nobody is in two places: of two in view, the likelier one keeps the name."""
        holder = None if match.person is None else self._holder(match.person, identity)
        if holder is None or holder.match is None or self._gone(holder):
            return match
        taken = holder.match.score + self._matcher.margin >= match.score
        return dataclasses.replace(match, person=None) if taken else match

    def _decides(self, identity: Identity, match: Match) -> bool:
        """Whether a match is a new decision, a first one or another name."""
        if not identity.decided:
            if match.person is None:
                return identity.embedding.views >= _UNKNOWN_AFTER * self.decide.views
            # The latest view alone must say the same.
            return self._match(identity.embedding.latest).candidate == match.person
        if match.person is None or match.person == identity.name:
            # A name once given stays through a weak view; only another name takes its place.
            identity.rival, identity.rival_votes = None, 0
            if match.person is not None:
                identity.match = match
            return False
        identity.rival_votes = identity.rival_votes + 1 if match.person == identity.rival else 1
        identity.rival = match.person
        if identity.rival_votes < _CONFIRMATIONS:
            return False
        identity.rival, identity.rival_votes = None, 0
        return True

    def _holder(self, name: str, but: Identity) -> Identity | None:
        """Who else bears this name."""
        return next((other for other in self._by_track.values() if other is not but and other.name == name), None)

    def _gone(self, identity: Identity) -> bool:
        """Out of sight, and not just missed once."""
        return identity.lost(self._searched_s - _GONE_S)

    def _dethrone(self, frame: Frame, name: str, identity: Identity) -> None:
        """Whoever bore the name that ``identity`` has now: gone if out of sight, else a stranger."""
        holder = self._holder(name, identity)
        if holder is None:
            return
        if self._gone(holder):
            self._tracker.drop(holder.track)
            self.leave(holder.track, frame.captured_s, frame.wall_time)
        elif holder.match is not None:
            holder.match = dataclasses.replace(holder.match, person=None)
            self._reporter.decide(frame, holder, self._matcher.calibration.refused)
