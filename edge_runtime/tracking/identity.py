"""What is known about the face behind one track."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Literal

import numpy as np

from edge_runtime.decision.likeness import Likeness
from edge_runtime.geometry.embeddings import normalise
from edge_runtime.tracking.best_shot import BestShot
from edge_runtime.tracking.tracker import Track, Tracker
from edge_runtime.types import Event, EventKind, Floats, Match
from edge_runtime.unknowns.memory import Recognised

_MEMORY = 0.9
"""How much of a track's earlier views one more view leaves, so that a track that changed hands is noticed."""
_AFTER_VIEWS = 2
"""So many views after a contact before embeddings are compared, and ..."""
_PATIENCE_VIEWS = 6
"""... so many until what is still unclear stays so."""
_REJOIN_WIDTHS, _REJOIN_SPEED = 1.5, 4.0
"""How far from where it was lost a face may come back, in its widths, and how much farther a second."""
_REJOIN_SIZES = 2.0
"""How many times larger or smaller it may be."""
_PARTNER_S = 2.0
"""How long to wait for the other one's views, which say as much."""


class State(StrEnum):
    """What is known of a face in view."""

    CHECKING = "checking"
    REJECTED = "rejected"
    UNKNOWN = "unknown"
    IDENTIFIED = "identified"


class Average:
    """Codes of one face averaged by quality, the latest most.

    Attributes:
        views: how many are in it.
        latest: float32 (D,), the embedding of the latest view.
        best: weight and JPEG of the best view that came with one.
    """

    latest: Floats

    def __init__(self) -> None:
        self.views = 0
        self.best: tuple[float, bytes | None] = (0.0, None)
        self._sum: Floats | None = None

    def add(self, embedding: Floats, weight: float, crop: bytes | None = None) -> None:
        """Add an embedding float32 (D,) of unit length, and the JPEG of its view."""
        self.best = max(self.best, (weight, crop), key=lambda view: view[0])
        share = embedding * np.float32(weight)
        self._sum = share if self._sum is None else self._sum * np.float32(_MEMORY) + share
        self.latest = embedding
        self.views += 1

    def merge(self, later: Average) -> None:
        """Add the views of another average, which are later ones."""
        if later._sum is not None:
            self._sum = later._sum if self._sum is None else self._sum * np.float32(_MEMORY**later.views) + later._sum
            self.latest = later.latest
            self.best = max(self.best, later.best, key=lambda view: view[0])
            self.views += later.views

    @property
    def embedding(self) -> Floats:
        """float32 (D,) of unit length; without a view there is no embedding."""
        assert self._sum is not None
        embedding: Floats = normalise(self._sum[None])[0][0]
        return embedding

    def similarity(self, other: Average) -> float:
        """Cosine of the two."""
        return float(self.embedding @ other.embedding)


@dataclass(slots=True)
class Doubt:
    """Whose face a track holds since it touched others.

    Attributes:
        rivals: who they were, by track id; they are compared with even after they left.
        touched_s: captured seconds of the latest contact.
        after: of the views since then.
    """

    touched_s: float
    rivals: dict[str, Identity] = field(default_factory=dict)
    after: Average = field(default_factory=Average)


@dataclass(slots=True)
class Identity:
    """The face behind one track.

    Attributes:
        track: where it is.
        first_wall: wall time at which it was first seen.
        embedding: of its views before any doubt.
        choice: of the views to encode.
        refusals: views that were no good, by reason.
        match: what is said of it; None: nothing is decided.
        said: the latest decision that an event reported.
        rival, rival_votes: a name that re-checks give instead, and how many in a row did.
        appeared, rejected: whether that was told.
        quality: of the latest view.
        doubt: since a contact; None: no doubt.
        stranger: which one it is, once it is decided that it is nobody known and strangers are remembered.
        held: that it appeared, which is not reported before it is clear that the person is not ignored.
        reported: whether any event was made of it.
    """

    track: Track
    first_wall: float
    embedding: Average = field(default_factory=Average)
    choice: BestShot = field(default_factory=BestShot)
    refusals: Counter[str] = field(default_factory=Counter)
    match: Match | None = None
    said: tuple[EventKind, str | None] | None = None
    rival: str | None = None
    rival_votes: int = 0
    quality: dict[str, float] = field(default_factory=dict)
    appeared: bool = False
    rejected: bool = False
    doubt: Doubt | None = None
    stranger: Recognised | None = None
    held: Event | None = None
    reported: bool = False

    @property
    def decided(self) -> bool:
        """Whether it is said who it is, or that it is nobody known."""
        return self.match is not None

    @property
    def name(self) -> str | None:
        """Who it is said to be; None for a stranger, and while nothing is decided."""
        return self.match.person if self.match else None

    @property
    def state(self) -> State:
        """What is known of it now; a doubt takes back what was decided."""
        if self.decided and not self.doubt:
            return State.IDENTIFIED if self.name else State.UNKNOWN
        return State.REJECTED if self.rejected else State.CHECKING

    def lost(self, captured_s: float) -> bool:
        """Whether it is not in the frame of ``captured_s``."""
        return self.track.last_s < captured_s

    def touch(self, other: Identity, captured_s: float) -> None:
        """It may be mistaken for ``other`` from here on."""
        if self.doubt is None:
            self.doubt = Doubt(captured_s)
        self.doubt.rivals[other.track.track_id] = other
        self.doubt.touched_s, self.doubt.after = captured_s, Average()
        self.choice.forget()

    def believe(self) -> None:
        """The doubt is over: the views since then are its own."""
        if self.doubt is not None:
            self.embedding.merge(self.doubt.after)
            self.doubt = None
            self.choice.hurry()

    def start_over(self) -> None:
        """Nothing from before the doubt can be relied on: decide anew from the views since then."""
        if self.doubt is not None:
            self.embedding, self.doubt = self.doubt.after, None
        self.match, self.rival, self.rival_votes = None, None, 0
        self.choice.hurry()


def lost_near(identity: Identity, others: Iterable[Identity], captured_s: float) -> list[Identity]:
    """Those announced who are not in the frame of ``captured_s`` and may have come to where ``identity`` is."""
    found = []
    for other in others:
        if other is identity or not other.appeared or not other.embedding.views or not other.lost(captured_s):
            continue
        gap_s = captured_s - other.track.last_s
        here, there = identity.track.xyxy, other.track.xyxy
        away = float(np.linalg.norm(here[:2] + here[2:] - there[:2] - there[2:])) / 2
        size = identity.track.width / max(other.track.width, 1e-6)
        near = away <= (_REJOIN_WIDTHS + _REJOIN_SPEED * gap_s) * other.track.width
        if near and 1 / _REJOIN_SIZES < size < _REJOIN_SIZES:
            found.append(other)
    return found


def exchange(tracker: Tracker, identity: Identity, rival: Identity, captured_s: float) -> None:
    """Each gets the face that is its own; what was seen since they parted goes with the face."""
    was_lost = rival.lost(captured_s)
    tracker.exchange(identity.track, rival.track)
    identity.doubt, rival.doubt = rival.doubt, identity.doubt
    identity.choice, rival.choice = rival.choice, identity.choice
    for one in (identity, rival):
        one.doubt = one.doubt and replace(one.doubt, rivals={})
    if was_lost:
        identity.doubt = None
    elif identity.doubt is not None and identity.doubt.after.views:
        identity.believe()


Verdict = tuple[Literal["wait", "keep", "alike", "exchange", "unclear"], Identity | None]


def verdict(identity: Identity, doubt: Doubt, likeness: Likeness, captured_s: float) -> Verdict:
    """Whose face a doubted track holds, by its embeddings before and since, and by its rivals'.

    Returns:
        ``keep``: its own; ``alike``: its own, as far as can be known without knowing the rivals; ``exchange`` with the
        rival named; ``unclear``: it cannot be decided; ``wait``: not yet.
    """
    if doubt.after.views < _AFTER_VIEWS:
        return "wait", None
    # Who is in sight and in no doubt has a face of their own.
    known = [
        other for other in doubt.rivals.values() if other.embedding.views and (other.doubt or other.lost(captured_s))
    ]
    own = doubt.after.similarity(identity.embedding) if identity.embedding.views else likeness.same
    if not known:
        # With nobody to mistake it for, it must be like itself.
        return ("alike", None) if not identity.embedding.views or own >= likeness.same else _unclear(doubt)
    rival = max(known, key=lambda other: doubt.after.similarity(other.embedding))
    gap = (doubt.after.similarity(rival.embedding) - own) / likeness.clear
    if gap < -1 or (gap < 0 and not identity.embedding.views):
        return "keep", None
    partner = rival.doubt if rival.doubt and not rival.lost(captured_s) else None
    if partner is not None:
        # Where both are in sight, both must say so: the rival's face is then this one's.
        if partner.after.views < _AFTER_VIEWS:
            patient = captured_s - doubt.touched_s < _PARTNER_S
            return ("wait", None) if patient else _unclear(doubt)
        theirs = partner.after.similarity(identity.embedding) if identity.embedding.views else likeness.same
        # The sum of two differences spreads by the square root of two more than one.
        gap = (gap + (theirs - partner.after.similarity(rival.embedding)) / likeness.clear) / 2**0.5
    if gap > 1 or (gap > 0 and not identity.embedding.views):
        return "exchange", rival
    return ("keep", None) if gap < -1 else _unclear(doubt)


def _unclear(doubt: Doubt) -> Verdict:
    return ("unclear" if doubt.after.views >= _PATIENCE_VIEWS else "wait"), None
