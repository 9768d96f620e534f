"""Fits what a bundle knows of strangers by their look: a mixture, and how alike pairs of its people are.

Where a source's file names state the look of a face (UTKFace, SCUT-FBP5500), the looks are those; people of other
sources go to the look that a linear discriminant of the stated ones finds for them, once each source's own mean is
taken off. Looks of different sources are kept apart, because pictures of one source are alike as such. Then every
source is left out in turn, which shows how far looks are off for people of another source (``left_out``). The file
holds means, shares, a discriminant and what was measured, never a person's code.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convert.cohort.left_out import measure_left_out
from convert.cohort.mixture import People, discriminant, fit_looks
from edge_runtime.bundle.looks import Looks, LooksSheet
from edge_runtime.errors import InputError
from edge_runtime.geometry.embeddings import normalise
from edge_runtime.types import Floats

Reals = NDArray[np.float64]

FEWEST_PEOPLE = 300
"""Fewer people do not show looks."""
_FEWEST_IN_LOOK = 20
_STATED = (re.compile(r"(?:^|/)\d+_([01])_([0-4])_\d+"), re.compile(r"(?:^|/)([AC])([FM])\d+\.\w+$"))
_AGE = re.compile(r"(?:^|/)(\d+)_[01]_[0-4]_\d+")
_OLD = 65
"""From this age on, people of one gender and origin are a look of their own: they are more alike than others are."""
_UNNAMED_LOOKS = 6
_FEWEST_IN_CLUSTER, _MOST_CLUSTERS = 150, 3
_ENROLLED_WITH = (2, 3, 6)
_TAILS = (0.999, 0.9997)
_DRAWS = 3


@dataclass(frozen=True)
class Source:
    """People of one source, a code each.

    Attributes:
        codes: float32 (N, D) of unit length.
        stated: (N,) the look that a file name states; "" where none does.
    """

    codes: Floats
    stated: NDArray[np.str_]


def stated_look(path: str, aged: bool = False) -> str:
    """The look in a file name of a known source, "" where the name states none; with ``aged``, old people's own."""
    for pattern in _STATED:
        if found := pattern.search(path):
            age = _AGE.search(path)
            return "-".join(found.groups()) + "-old" * (aged and age is not None and int(age.group(1)) >= _OLD)
    return ""


def one_each(codes: Floats, same: float) -> NDArray[np.bool_]:
    """Which of the codes (N, D) to keep so that of those ``same`` or more alike one is left, the first."""
    kept = np.ones(len(codes), np.bool_)
    for row in range(len(codes)):
        if kept[row]:
            kept[row + 1 :] &= codes[row + 1 :] @ codes[row] < same
    return kept


def make_looks(sources: Sequence[Source], own: Floats, views: Sequence[Floats] = (), seed: int = 0) -> Looks:
    """Fit to people.

    Args:
        sources: of people, one code each.
        own: true scores (N,), one photo of a person against another.
        views: photos of people of no source, float32 (V, D) each: what an average of several photos changes.
        seed: of clusters and trials.

    Raises:
        InputError: fewer people than ``FEWEST_PEOPLE``.
    """
    count = sum(len(source.codes) for source in sources)
    if count < FEWEST_PEOPLE:
        raise InputError(
            f"looks: expected at least {FEWEST_PEOPLE} people, found {count}; name more with --cohort FILE"
        )
    people = _labelled(sources, seed)
    looks = dataclasses.replace(fit_looks(people, own), photos=_photos(people.codes, views, seed))
    left_out, spread = measure_left_out(people, own, seed)
    return dataclasses.replace(looks, left_out=left_out, spread=spread)


def _labelled(sources: Sequence[Source], seed: int) -> People:
    """Everybody's code and look, small looks of a source put together."""
    teach = [source for source in sources if (source.stated != "").mean() > 0.5]
    known: tuple[Floats, Floats, NDArray[np.str_]] | None = None
    if teach:
        # The source with most looks teaches the others.
        best = max(teach, key=lambda source: len(set(source.stated.tolist())))
        use = np.array([look != "" and look.split("-")[1] != "4" for look in best.stated])
        names, labels = np.unique(best.stated[use], return_inverse=True)
        weights, bias = discriminant(best.codes[use] - best.codes[use].mean(0), labels.astype(np.int64))
        known = weights, bias, names
    codes, labels_all, count = [], [], 0
    for source in sources:
        if (source.stated != "").mean() > 0.5:
            kept = source.stated != ""
            part, looks = source.codes[kept], source.stated[kept]
        elif known is not None:
            part = source.codes
            looks = known[2][((part - part.mean(0)) @ known[0].T + known[1]).argmax(1)]
            looks = _divided(part, looks, seed)
        else:
            part, looks = source.codes, _clusters(source.codes, _UNNAMED_LOOKS, seed).astype(str)
        names, index, sizes = np.unique(_with_the_young(looks), return_inverse=True, return_counts=True)
        small = sizes < _FEWEST_IN_LOOK
        index = np.where(small[index], int(sizes.argmax()), index)
        _, index = np.unique(index, return_inverse=True)
        codes.append(part)
        labels_all.append(index + count)
        count += int(index.max()) + 1
    belongs = np.repeat(np.arange(len(codes)), [len(part) for part in codes])
    return People(np.concatenate(codes), np.concatenate(labels_all).astype(np.int64), belongs)


def _with_the_young(looks: NDArray[np.str_]) -> NDArray[np.str_]:
    """Old people of too small a look are of the look of their gender and origin."""
    names, index, sizes = np.unique(looks, return_inverse=True, return_counts=True)
    few = sizes < _FEWEST_IN_LOOK
    kept = [str(name).removesuffix("-old") if small else str(name) for name, small in zip(names, few, strict=True)]
    return np.array(kept)[index]


def _divided(codes: Floats, looks: NDArray[np.str_], seed: int) -> NDArray[np.str_]:
    """Looks that nobody stated, the large ones in clusters: children, say, are of no look that a source states."""
    divided = looks.astype(object)
    for look in np.unique(looks):
        rows = np.flatnonzero(looks == look)
        count = min(len(rows) // _FEWEST_IN_CLUSTER, _MOST_CLUSTERS)
        if count > 1:
            divided[rows] = [f"{look} {cluster}" for cluster in _clusters(codes[rows], count, seed)]
    return divided.astype(str)


def _clusters(codes: Floats, count: int, seed: int) -> NDArray[np.int64]:
    """k-means (Lloyd, 1982) of codes whose looks nobody states, in ``count`` clusters or as many as there is room."""
    rng = np.random.default_rng(seed)
    count = max(min(count, len(codes) // (4 * _FEWEST_IN_LOOK)), 1)
    centres = codes[rng.choice(len(codes), count, replace=False)]
    labels = np.zeros(len(codes), np.int64)
    for _ in range(30):
        labels = (codes @ centres.T - 0.5 * (centres**2).sum(1)).argmax(1)
        centres = np.stack([codes[labels == k].mean(0) if (labels == k).any() else centres[k] for k in range(count)])
    return labels


def _photos(strangers: Floats, views: Sequence[Floats], seed: int) -> float:
    """How much the highest scores grow against an average of photos, as the power of the average's length."""
    rng = np.random.default_rng(seed)
    found = []
    for count in _ENROLLED_WITH:
        several = [photos for photos in views if len(photos) >= count]
        if len(several) < _FEWEST_IN_LOOK:
            continue
        drawn = [photos[rng.permutation(len(photos))[:count]] for photos in several for _ in range(_DRAWS)]
        units, lengths = normalise(np.stack([photos.mean(0) for photos in drawn]))
        averaged, single = (
            (scores - scores.mean()).ravel()
            for scores in (strangers @ units.T, strangers @ np.stack([photos[0] for photos in drawn]).T)
        )
        shorter = -float(np.log(lengths.mean()))
        found += [float(np.log(np.quantile(averaged, at) / np.quantile(single, at))) / shorter for at in _TAILS]
    return round(max(float(np.mean(found)), 0.0), 4) if found else 0.0


def in_words(sheet: LooksSheet) -> str:
    """What a bundle knows of strangers alike, in a sentence."""
    return (
        f"{sheet.people:,} people in {sheet.kinds} looks stand behind the thresholds for strangers who look like "
        f"the household; with each source left out in turn and measured, rates are off by a factor of "
        f"{np.exp(sheet.spread[0]):.1f} at 1 in 100 and {np.exp(sheet.spread[1]):.1f} at 1 in 1,000 "
        "(one standard deviation)"
    )
