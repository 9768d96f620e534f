"""What each person enrolled may expect: their threshold, how many of their visits are missed, what photos would buy."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from edge_runtime.decision.confidence import TYPICAL_OWN
from edge_runtime.decision.leave_one_out import LeaveOneOut
from edge_runtime.decision.matcher import Matcher
from edge_runtime.geometry.embeddings import rows_of_each

MORE_PHOTOS = (3, 6)
"""Numbers of photos that are tried in thought."""
_FEWEST_OWN = 4
"""From so many photos of one's own on, these say more than other people's."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """Of one person.

    Attributes:
        name: theirs.
        photos: enrolled.
        threshold: the least score that may carry the name; None: nobody is named.
        alike_per_1000: of 1,000 strangers who look like them, how many get a name; None: the bundle does not say.
        missed: the share of their pictures that is expected to get no name, 0..1.
        missed_from: ``photos``: their own, each searched as if not enrolled; ``bundle``: other people's.
        with_photos: number of photos to the share missed then, as estimated.
        hard_to_tell: names of people who look like them, most alike first.
    """

    name: str
    photos: int
    threshold: float | None
    alike_per_1000: float | None
    missed: float
    missed_from: str
    with_photos: dict[int, float]
    hard_to_tell: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        document = asdict(self)
        return document | {"with_photos": {str(count): share for count, share in self.with_photos.items()}}


def outlooks(matcher: Matcher, left: LeaveOneOut) -> list[Outlook]:
    """One a person, in the gallery's order.

    Args:
        matcher: of the gallery.
        left: the gallery's leave-one-out searches.
    """
    templates, calibration = matcher.templates, matcher.calibration
    counts = rows_of_each(templates.person_index, len(templates.names))
    own = calibration.household.looks.own if calibration.household else TYPICAL_OWN
    rates = calibration.alike_by_person
    found = []
    for person, name in enumerate(templates.names):
        threshold, photos = calibration.needed(person), int(counts[person])
        mine = np.flatnonzero(left.person == person)
        if len(mine) >= _FEWEST_OWN:
            named = (left.own[mine] >= threshold) & (left.own[mine] - left.other[mine] >= matcher.margin)
            missed, source = 1 - float(named.mean()), "photos"
        else:
            missed, source = missed_with(photos, threshold, own), "bundle"
        more = {}
        for count in (count for count in MORE_PHOTOS if count > photos):
            needed = threshold
            if calibration.household is not None and math.isfinite(threshold):
                needed = calibration.household.of_length(threshold, person, length_of(count, own[0]))
            more[count] = missed_with(count, max(needed, threshold), own)
        others = tuple(templates.names[other] for other, _ in matcher.lookalikes.of(person))
        found.append(
            Outlook(
                name,
                photos,
                threshold if math.isfinite(threshold) and not calibration.refused else None,
                None if rates is None else float(rates[person]),
                missed if not calibration.refused else 1.0,
                source,
                {count: share for count, share in more.items() if share < missed},
                others,
            )
        )
    return found


def missed_with(photos: int, threshold: float, own: tuple[float, float]) -> float:
    """The share of a person's pictures below a threshold, where they are enrolled with so many photos.

    Another photo is g / :func:`length_of` alike to an average; the deviation is taken as that of one photo.

    Args:
        photos: n >= 1.
        threshold: the score a name needs.
        own: mean and standard deviation of scores, one photo against another.
    """
    mean, deviation = own
    nearer = mean / length_of(photos, mean)
    return 0.5 * (1 + math.erf((threshold - min(nearer, 1.0)) / (deviation * math.sqrt(2)))) if deviation else 0.0


def length_of(photos: int, alike: float) -> float:
    """The length of an average of n photos that are g alike to each other: sqrt((1 + (n - 1) g) / n)."""
    count = max(photos, 1)
    return math.sqrt(max((1 + (count - 1) * alike) / count, 1e-6))
