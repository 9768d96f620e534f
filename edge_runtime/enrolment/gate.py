"""What keeps a photo out of a gallery although its face is good: it is somebody else's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from edge_runtime.bundle.cohort_correction import CohortCorrection
from edge_runtime.decision.calibration import calibrate
from edge_runtime.decision.lookalikes import find_lookalikes
from edge_runtime.enrolment.outliers import FirstLook, consistency
from edge_runtime.gallery.names import folded
from edge_runtime.gallery.templates import Templates
from edge_runtime.types import Floats

SAME_PHOTO = 0.9999
"""Two embeddings this alike (cosine) are of one photo."""
_BLOCK = 512
_COLLISION_PER_1000 = 10.0
"""A photo collides with a person whom so few strangers come near."""


@dataclass(frozen=True)
class Strangers:
    """A bundle's cohort, for what is said of a gallery with it.

    Attributes:
        embeddings: float32 (S, D) of unit length.
        people: how many real people stand behind them.
        realism: how real strangers differ from them.
    """

    embeddings: Floats
    people: int
    realism: CohortCorrection


@dataclass(frozen=True)
class Enrolled:
    """One state of a gallery; what takes long is worked out once for it.

    Attributes:
        templates: everybody's.
        strangers: the bundle's.
    """

    templates: Templates
    strangers: Strangers

    @cached_property
    def averages(self) -> Floats:
        """float32 (P, D), one of unit length a person."""
        return self.templates.person_embeddings()

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {folded(name): number for number, name in enumerate(self.templates.names)}

    def number(self, name: str) -> int | None:
        """Which of the people has this name, in whatever writing; None: nobody."""
        return self._numbers.get(folded(name))

    @cached_property
    def too_alike(self) -> float:
        """The score to somebody enrolled that hardly any stranger reaches."""
        strangers, picture = self.strangers, self.strangers.realism.picture()
        return calibrate(
            self.templates, strangers.embeddings, strangers.people, _COLLISION_PER_1000, realism=picture
        ).threshold


def collision(enrolled: Enrolled, name: str, embedding: Floats) -> str | None:
    """Whom else a photo looks like, in a line for people; None: nobody.

    Args:
        enrolled: the gallery.
        name: whose photo it is said to be.
        embedding: float32 (D,) of unit length.
    """
    templates = enrolled.templates
    mine = np.arange(len(templates.names)) == enrolled.number(name)
    if mine.all():
        return None
    foreign = ~mine[templates.person_index]
    same = np.flatnonzero(foreign & (templates.embeddings @ embedding > SAME_PHOTO))
    if len(same):
        other = templates.names[templates.person_index[same[0]]]
        return f"the same photo is enrolled as {other}; one face has one name, merge or forget one of the two"
    scores = enrolled.averages @ embedding
    best = int(np.argmax(np.where(mine, -np.inf, scores)))
    own = float(scores[mine].max()) if mine.any() else -1.0
    if own >= scores[best]:
        return None  # as with nearly every photo after a person's first: no threshold is needed
    if scores[best] < enrolled.too_alike:
        return None
    return (
        f"looks like {templates.names[best]} (score {scores[best]:.2f}, expected below {enrolled.too_alike:.2f}); "
        "if they are two people who look alike, add --force"
    )


def inconsistency(embeddings: Floats, weights: Floats, strangers: Strangers) -> str | None:
    """Why the last of a person's photos does not fit the others, in a line for people; None: it fits.

    Args:
        embeddings: float32 (T, D) of unit length, the person's, with the one in question last.
        weights: float32 (T,), > 0.
        strangers: show how alike is alike enough.
    """
    found = consistency(embeddings, weights, strangers.embeddings)
    if not found.outlier[-1]:
        return None
    count = int(np.count_nonzero(~found.outlier))
    return (
        f"does not look like the other {count if count > 1 else 'photo'}{' photos' if count > 1 else ''} of this name "
        f"(score {found.score[-1]:.2f}, expected at least {found.needed[-1]:.2f}); take another, or add --force"
    )


@dataclass(frozen=True, slots=True)
class Finding:
    """Something an owner should look at.

    Attributes:
        kind: ``outlier`` | ``collision`` | ``lookalike`` | ``single`` | ``forced``.
        name: of the person.
        template_id: of the photo, or None.
        text: a line for people.
        other: the other person, or None.
    """

    kind: str
    name: str
    template_id: int | None
    text: str
    other: str | None = None


def check(enrolled: Enrolled, margin: float, forced: Sequence[int] = (), name: str | None = None) -> list[Finding]:
    """Look over a whole gallery, or at one person in it.

    Args:
        enrolled: the gallery.
        margin: the usual margin of a name.
        forced: ids of templates that somebody insisted on.
        name: the one person that findings are wanted of; None: everybody.
    """
    templates, strangers = enrolled.templates, enrolled.strangers
    only = None if name is None else enrolled.number(name)
    if name is not None and only is None:
        return []
    order = np.argsort(templates.person_index, kind="stable")
    rows = order if only is None else np.flatnonzero(templates.person_index == only)
    photos = _Photos.of(enrolled, rows)
    starts = np.flatnonzero(np.diff(templates.person_index[rows], prepend=-1))
    findings = list[Finding]()
    for places in np.split(np.arange(len(rows)), starts[1:]) if len(rows) else []:
        findings += _of_person(templates, rows[places], photos.rows(places), strangers, frozenset(forced))
    alike_from = enrolled.too_alike
    for pair in find_lookalikes(templates, strangers.embeddings, margin, alike_from, only).pairs:
        first, second = templates.names[pair.first], templates.names[pair.second]
        why = "look alike" if pair.similarity >= alike_from else "may be mistaken, as photos of one person differ much"
        text = (
            f"{first} and {second} {why} ({pair.similarity:.2f}): a name needs a margin of {pair.margin:.2f}; "
            "if they are one person: familiar people merge"
        )
        findings.append(Finding("lookalike", first, None, text, second))
    return findings


@dataclass(frozen=True)
class _Photos:
    """Some photos of a gallery, each compared with its person's others and with everybody.

    Attributes:
        fit: with the person's others.
        nearest: int64 (T,), who is most alike.
        score: float32 (T,), how much.
    """

    fit: FirstLook
    nearest: NDArray[np.int64]
    score: Floats

    @classmethod
    def of(cls, enrolled: Enrolled, rows: NDArray[np.int64]) -> _Photos:
        embeddings = enrolled.templates.embeddings[rows]
        nearest, score = np.zeros(len(rows), np.int64), np.zeros(len(rows), np.float32)
        for start in range(0, len(rows), _BLOCK):
            part = slice(start, start + _BLOCK)
            scores = embeddings[part] @ enrolled.averages.T
            nearest[part] = scores.argmax(1)
            score[part] = scores.max(1)
        fit = FirstLook.of(embeddings, enrolled.templates.rest()[rows], enrolled.strangers.embeddings)
        return cls(fit, nearest, score)

    def rows(self, which: NDArray[np.int64]) -> _Photos:
        return _Photos(self.fit.rows(which), self.nearest[which], self.score[which])


def _of_person(
    templates: Templates, rows: NDArray[np.int64], photos: _Photos, strangers: Strangers, forced: frozenset[int]
) -> list[Finding]:
    findings, name = list[Finding](), templates.names[templates.person_index[rows[0]]]
    found = consistency(templates.embeddings[rows], templates.weights[rows], strangers.embeddings, photos.fit)
    for place, row in enumerate(rows):
        number = int(templates.ids[row])
        if found.outlier[place]:
            text = (
                f"photo {number} of {name} does not look like the others (score {found.score[place]:.2f}, "
                f"expected at least {found.needed[place]:.2f}); familiar people drop {name!r} {number}"
            )
            findings.append(Finding("outlier", name, number, text))
        other = templates.names[photos.nearest[place]]
        if other != name:
            text = f"photo {number} of {name} looks more like {other} ({photos.score[place]:.2f})"
            findings.append(Finding("collision", name, number, text, other))
        if number in forced:
            findings.append(Finding("forced", name, number, f"photo {number} of {name} was enrolled with --force"))
    if len(rows) == 1:
        findings.append(Finding("single", name, None, f"{name} has one photo; 3 to 5 in different light serve better"))
    return findings
