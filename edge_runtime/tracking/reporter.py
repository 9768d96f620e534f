"""What is made known of the faces of one camera: the events, and the visitors to remember."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from edge_runtime.faces.crops import face_crop
from edge_runtime.tracking.identity import Identity
from edge_runtime.tracking.tally import Tally
from edge_runtime.types import Event, EventKind, Frame, Pixels
from edge_runtime.unknowns.memory import Recognised, Sighting, UnknownsMemory

_CORRECTED = "as near to a visit that was marked as not this person's"
_HOLD_S = 3.0
"""While somebody is ignored, that a face appeared is reported when it is decided whose, or after this time."""


class Reporter:
    """Makes events and keeps them, in order, until they are taken."""

    def __init__(
        self,
        camera: str,
        bundle: str,
        keep_crops: bool,
        memory: UnknownsMemory | None,
        tally: Tally,
        encoder: str | None = None,
    ) -> None:
        """Start with nothing to report.

        Args:
            camera: goes into events.
            bundle: hash of the bundle, goes into events.
            keep_crops: whether decisions come with a JPEG of the face.
            memory: remembers who was never named; None: nobody does.
            tally: gets the counts of what was told.
            encoder: names come with the embedding they were decided on, which is this encoder's (hex, 32 bytes); None:
                they come without.
        """
        self._encoder = encoder
        self._camera = camera
        self._bundle = bundle
        self._keep_crops = keep_crops
        self._memory = memory
        self._tally = tally
        self._events: list[Event] = []

    def take(self) -> list[Event]:
        """What was made known since the last time."""
        events, self._events = self._events, []
        return events

    def appear(self, frame: Frame, identity: Identity) -> None:
        """A face has appeared; held back while somebody is ignored."""
        identity.appeared = True
        self._tally.counts["tracks"] += 1
        appeared = self._event("appeared", frame, identity)
        if self._memory is not None and self._memory.ignoring:
            identity.held = appeared
        else:
            self._tell(identity, appeared)

    def tell_overdue(self, identity: Identity, captured_s: float) -> None:
        """Tell that a face appeared, where that was held back for too long."""
        if identity.held is not None and captured_s - identity.held.captured_s > _HOLD_S:
            self._tell(identity)

    def reject(self, frame: Frame, identity: Identity) -> None:
        """No view of it is good enough to say who it is."""
        identity.rejected = True
        self._tally.counts["rejected"] += 1
        reason = identity.refusals.most_common(1)[0][0]
        self._tally.rejections[reason] += 1
        self._tell(identity, self._event("rejected", frame, identity, reason))

    def decide(self, frame: Frame, identity: Identity, refused: str | None) -> None:
        """It is decided who it is, or that it is nobody known.

        Args:
            frame: the latest.
            identity: decided.
            refused: why nobody can be named, where that is so.
        """
        name = identity.name
        kind: EventKind = "identified" if name else "unknown"
        identity.stranger = self._recognised(identity)
        ignored = identity.stranger is not None and identity.stranger.ignored
        if identity.said == (kind, name) and (identity.reported or ignored):
            # Decided again because of a doubt or a new gallery, with the same answer.
            return
        identity.said = kind, name
        self._tally.counts[kind] += 1
        if identity.match is not None:
            self._tally.scores.add(max(identity.match.score, 0.0))
        reason = None
        if kind == "unknown":
            reason = refused or (_CORRECTED if identity.match is not None and identity.match.corrected else None)
        self._tell(identity, self._event(kind, frame, identity, reason), ignored)

    def leave(self, identity: Identity, captured_s: float, wall_time: float) -> None:
        """Its track has ended; who was never named is remembered now."""
        if not identity.appeared:
            return
        at = Frame(_NO_PIXELS, self._camera, 0, captured_s, wall_time)
        if identity.held is not None:
            self._tell(identity)
        self._remember(identity, wall_time)
        # If nothing else was reported, the leaving is not reported either.
        self._tell(identity, self._event("left", at, identity), not identity.reported)

    def _tell(self, identity: Identity, event: Event | None = None, ignored: bool = False) -> None:
        """What was held of a face, then an event; ignored ones are marked, for the log alone."""
        held, identity.held = identity.held, None
        identity.reported |= not ignored
        self._events += [dataclasses.replace(one, ignored=ignored) for one in (held, event) if one is not None]

    def _recognised(self, identity: Identity) -> Recognised | None:
        """Which stranger it is; None: somebody known, or perhaps one of two known."""
        match = identity.match
        if self._memory is None or match is None or match.person is not None or match.score >= match.threshold:
            return None
        return self._memory.recognise(identity.embedding.embedding, identity.first_wall)

    def _remember(self, identity: Identity, wall_time: float) -> None:
        """Keep in mind who is never named now, as they were in all of the track."""
        if self._memory is None or identity.stranger is None or not identity.decided or identity.name is not None:
            return
        weight, crop = identity.embedding.best
        sighting = Sighting(identity.embedding.embedding, weight, identity.first_wall, wall_time, self._camera, crop)
        identity.stranger = self._memory.remember(sighting, identity.stranger.stranger_id) or identity.stranger

    def _event(self, kind: EventKind, frame: Frame, identity: Identity, reason: str | None = None) -> Event:
        values: dict[str, Any] = {}
        if identity.match is not None and kind != "appeared":
            values = {name: getattr(identity.match, name) for name in _OF_THE_MATCH}
        stranger = identity.stranger
        if stranger is not None and identity.decided and identity.name is None and kind in ("unknown", "left"):
            values |= {"stranger": stranger.stranger_id, "visits": stranger.visits}
        if self._keep_crops and kind in ("identified", "unknown", "rejected"):
            best = None if identity.doubt else identity.embedding.best[1]
            values["crop"] = best or face_crop(frame.pixels, identity.track.xyxy)
        if kind == "identified" and self._encoder is not None:
            values |= {"embedding": identity.embedding.embedding, "encoder": self._encoder}
        left, top, right, bottom = (float(side) for side in identity.track.xyxy)
        return Event(
            kind=kind,
            camera=self._camera,
            wall_time=frame.wall_time,
            captured_s=frame.captured_s,
            track_id=identity.track.track_id,
            xyxy=(left, top, right, bottom),
            quality={name: round(value, 2) for name, value in identity.quality.items()},
            reason=reason,
            first_seen=identity.first_wall,
            bundle=self._bundle,
            **values,
        )


_NO_PIXELS: Pixels = np.zeros((1, 1, 3), np.uint8)
_OF_THE_MATCH = ("person", "score", "confidence", "margin", "runner_up", "threshold", "template_id", "candidate")
"""What an event takes over from the match behind it."""
