"""Strangers told apart as they come, in memory: each sighting goes to the nearest one, or is the first of another.

No thread, no disk and no clock: times come with what is seen.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from edge_runtime.errors import MissingError
from edge_runtime.gallery.templates import Templates
from edge_runtime.geometry.embeddings import normalise
from edge_runtime.types import Floats
from edge_runtime.unknowns.linkage import Linkage
from edge_runtime.unknowns.memory import Recognised, Sighting

MOST_VIEWS = 6
"""Kept of one stranger: what enrolling wants, and a page to recognise somebody by."""


@dataclass(frozen=True, slots=True)
class UnknownView:
    """What one visit left of a stranger; its crop is kept elsewhere.

    Attributes:
        view_id: opaque.
        embedding: float32 (D,) of unit length.
        weight: what it counts in the average, > 0.
        at_s: when it was, seconds since the Unix epoch.
    """

    view_id: str
    embedding: Floats
    weight: float
    at_s: float
    camera: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """Somebody seen and never named.

    Attributes:
        stranger_id: opaque; never of somebody else later.
        visits: how often they came; see :class:`Crowd`.
        first_s, last_s: when they were first and last seen, seconds since the Unix epoch.
        clock_s: the last time by the clock that retention goes by, see ``LogClock``.
        cameras: that saw them.
        ignored: whether their coming and going is of no interest.
        views: at most ``MOST_VIEWS``, the oldest first.
    """

    stranger_id: str
    visits: int
    first_s: float
    last_s: float
    clock_s: float
    cameras: tuple[str, ...]
    ignored: bool
    views: tuple[UnknownView, ...]

    def average(self) -> Floats:
        """float32 (D,) of unit length: the views' weighted average."""
        total = sum(view.embedding * np.float32(view.weight) for view in self.views)
        embedding: Floats = normalise(np.asarray(total, np.float32)[None])[0][0]
        return embedding


class Crowd:
    """Everybody remembered; for one thread at a time.

    A visit goes on while its sightings follow each other within ``visit_s``: ten tracks in a minute are one.
    """

    def __init__(self, linkage: Linkage, most: int, visit_s: float, strangers: Iterable[Unknown] = ()) -> None:
        """Begin with those known.

        Args:
            linkage: how alike two sightings of one stranger are.
            most: how many are kept; beyond, those longest unseen go, ignored ones last.
            visit_s: seconds out of sight after which somebody's coming back is another visit.
            strangers: remembered before.
        """
        self._linkage, self._most, self._visit_s = linkage, most, visit_s
        self._strangers = {one.stranger_id: one for one in strangers}
        self._dismissed: set[str] = set()
        self._known: dict[str, tuple[Unknown, Floats]] = {}
        self._reckon()

    def __len__(self) -> int:
        return len(self._strangers)

    def strangers(self) -> list[Unknown]:
        """Everybody, the latest seen first."""
        return sorted(self._strangers.values(), key=lambda one: -one.last_s)

    def get(self, stranger_id: str) -> Unknown | None:
        """The one of that id; None: not, or no longer, remembered."""
        return self._strangers.get(stranger_id)

    def find(self, stranger_id: str) -> Unknown:
        """The one of that id.

        Raises:
            MissingError: nobody remembered has it.
        """
        if stranger_id not in self._strangers:
            raise MissingError(f"{stranger_id!r}: no such stranger is remembered; familiar strangers lists who is")
        return self._strangers[stranger_id]

    @property
    def ignoring(self) -> bool:
        """Whether anybody is ignored."""
        return any(one.ignored for one in self._strangers.values())

    def recognise(self, embedding: Floats, first_s: float, hint: str | None = None) -> Recognised:
        """Who it is that ``embedding`` was seen of; changes nothing.

        Args:
            embedding: float32 (D,) of unit length.
            first_s: when this sighting began, seconds since the Unix epoch.
            hint: who it seemed to be earlier in this sighting, which holds as long as it may be true.
        """
        known = self._nearest(embedding, hint)
        if known is None:
            return Recognised(hint if hint and hint not in self._strangers else self._new_id(), 1, False)
        return Recognised(known.stranger_id, known.visits + (not self._goes_on(known, first_s)), known.ignored)

    def take(self, sighting: Sighting, clock_s: float, hint: str | None = None) -> Unknown | None:
        """Remember a sighting.

        Args:
            sighting: of somebody who was never named.
            clock_s: now, see :class:`Unknown`.
            hint: the id that :meth:`recognise` gave in this sighting.

        Returns:
            Who it was of; None if that one was dismissed meanwhile.
        """
        if hint in self._dismissed:
            return None
        seen = self.recognise(sighting.embedding, sighting.first_s, hint)
        view = UnknownView(secrets.token_hex(8), sighting.embedding, sighting.weight, sighting.last_s, sighting.camera)
        known = self._strangers.get(seen.stranger_id)
        if known is None:
            stranger = Unknown(
                seen.stranger_id, 1, sighting.first_s, sighting.last_s, clock_s, (sighting.camera,), False, (view,)
            )
        else:
            stranger = replace(
                known,
                visits=seen.visits,
                last_s=max(known.last_s, sighting.last_s),
                clock_s=clock_s,
                cameras=tuple(dict.fromkeys((*known.cameras, sighting.camera))),
                views=_kept(known.views, view, seen.visits == known.visits),
            )
        self._strangers[stranger.stranger_id] = stranger
        self._reckon()
        stranger = self._grown_together(stranger)
        while len(self._strangers) > self._most:
            others = [one for one in self._strangers.values() if one is not stranger]
            del self._strangers[min(others, key=lambda one: (one.ignored, one.clock_s)).stranger_id]
            self._reckon()
        return stranger

    def ignore(self, stranger_id: str, ignored: bool) -> Unknown:
        """Take no interest in somebody, or take it again.

        Raises:
            MissingError: nobody remembered has that id.
        """
        self._strangers[stranger_id] = replace(self.find(stranger_id), ignored=ignored)
        return self._strangers[stranger_id]

    def dismiss(self, stranger_id: str) -> Unknown:
        """Forget somebody; who is in view as them now is not remembered either.

        Raises:
            MissingError: nobody remembered has that id.
        """
        stranger = self.find(stranger_id)
        self._dismissed.add(stranger_id)
        del self._strangers[stranger_id]
        self._reckon()
        return stranger

    def expire(self, before_s: float, ignored_before_s: float) -> None:
        """Forget whoever was last seen before these times, by ``Unknown.clock_s``."""
        gone = [one for one in self.strangers() if one.clock_s < (ignored_before_s if one.ignored else before_s)]
        for one in gone:
            del self._strangers[one.stranger_id]
        if gone:
            self._reckon()

    def _goes_on(self, known: Unknown, first_s: float) -> bool:
        """Whether a sighting that began then is of their latest visit; where the wall clock went back, it is."""
        return first_s - known.last_s <= self._visit_s

    def _nearest(self, embedding: Floats, hint: str | None) -> Unknown | None:
        if not self._ids:
            return None
        likeness = self._averages @ embedding
        likeness[likeness < self._needed] = -np.inf
        best = self._ids.index(hint) if hint in self._known else -1
        if best < 0 or likeness[best] == -np.inf:
            best = int(np.argmax(likeness))
        return self._strangers[self._ids[best]] if likeness[best] > -np.inf else None

    def _grown_together(self, stranger: Unknown) -> Unknown:
        """Make those one whose averages came near; if one of two is ignored they stay two: it was said of one."""
        while (twin := self._twin(stranger)) is not None:
            del self._strangers[stranger.stranger_id], self._strangers[twin.stranger_id]
            stranger = _joined(stranger, twin, self._visit_s)
            self._strangers[stranger.stranger_id] = stranger
            self._reckon()
        return stranger

    def _twin(self, stranger: Unknown) -> Unknown | None:
        likeness = self._averages @ self._known[stranger.stranger_id][1]
        # To each of two it would be near enough to the other.
        likeness[likeness < np.maximum(self._needed, self._needed[self._ids.index(stranger.stranger_id)])] = -np.inf
        for number, one in enumerate(self._strangers.values()):
            if one is stranger or one.ignored != stranger.ignored:
                likeness[number] = -np.inf
        best = int(np.argmax(likeness))
        return self._strangers[self._ids[best]] if likeness[best] > -np.inf else None

    def _new_id(self) -> str:
        while (new := secrets.token_hex(3)) in self._strangers or new in self._dismissed:
            pass
        return new

    def _reckon(self) -> None:
        """Averages of everybody as they are now, float32 (n, D), and the least cosine to each, float32 (n,)."""
        before, self._known = self._known, {}
        for key, one in self._strangers.items():
            known = before.get(key)
            self._known[key] = known if known is not None and known[0] is one else (one, one.average())
        self._ids = list(self._known)
        self._averages = np.array([average for _, average in self._known.values()], np.float32)
        self._needed = self._linkage.least(_as_templates(self._strangers.values())) if self._ids else np.zeros(0)


def _as_templates(strangers: Iterable[Unknown]) -> Templates:
    """The views kept of one unknown or more, as a gallery holds photos of people."""
    listed = list(strangers)
    views = [view for one in listed for view in one.views]
    return Templates(
        tuple(one.stranger_id for one in listed),
        np.repeat(np.arange(len(listed)), [len(one.views) for one in listed]),
        np.array([view.embedding for view in views], np.float32),
        np.array([view.weight for view in views], np.float32),
        np.arange(len(views)),
    )


def _kept(views: tuple[UnknownView, ...], new: UnknownView, goes_on: bool) -> tuple[UnknownView, ...]:
    """One view a visit, the best; of many visits those that count most."""
    if goes_on:
        return (*views[:-1], new) if new.weight > views[-1].weight else views
    return _best((*views, new))


def _best(views: tuple[UnknownView, ...]) -> tuple[UnknownView, ...]:
    best = sorted(views, key=lambda view: (view.weight, view.at_s))[-MOST_VIEWS:]
    return tuple(sorted(best, key=lambda view: view.at_s))


def _joined(one: Unknown, other: Unknown, visit_s: float) -> Unknown:
    """Two that are one, under the id of the one seen first."""
    first, second = sorted((one, other), key=lambda stranger: stranger.first_s)
    together = abs(first.last_s - second.last_s) <= visit_s
    return replace(
        first,
        visits=first.visits + second.visits - together,
        last_s=max(first.last_s, second.last_s),
        clock_s=max(first.clock_s, second.clock_s),
        cameras=tuple(dict.fromkeys((*first.cameras, *second.cameras))),
        views=_best((*first.views, *second.views)),
    )
