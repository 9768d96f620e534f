"""What ``familiar wrong`` does to false names and to true ones; ``python -m tests.benchmarks.corrections codes.npz``.

``codes.npz`` is what ``familiar embed`` makes of a folder with a folder a person. Twenty people with five photos or
more are enrolled from three; their other photos are searched, and all photos of everybody else who has three or more.
The target is lax, so that strangers are named; ten of them, each with one view, are corrected. Counted is how many of
the same strangers' other views that had the wrong name get it again, and how many of the enrolled people's own views
lose theirs.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections import Counter

import numpy as np

from edge_runtime.bundle.folder import Bundle
from edge_runtime.config import Config
from edge_runtime.decision import matcher as matching
from edge_runtime.decision import negatives
from edge_runtime.gallery.templates import Templates
from tests.builders import RELEASED

_ENROLLED, _PHOTOS, _PLANTED = 20, 3, 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("codes")
    parser.add_argument("--draws", type=int, default=40)
    parser.add_argument("--targets", type=float, nargs="+", default=[30.0, 200.0], help="strangers of 1,000")
    parser.add_argument("--leads", type=float, nargs="+", default=[negatives.LEAD])
    args = parser.parse_args()
    archive = np.load(args.codes)
    people = np.array([path.split("/")[0] for path in archive["paths"]])
    print("target  lead  planted  named again  of        true names lost  of")
    for target in args.targets:
        for lead in args.leads:
            negatives.LEAD = lead
            found = Counter[str]()
            for seed in range(args.draws):
                found.update(draw(people, archive["codes"], target, np.random.default_rng(seed)))
            print(
                f"{target:6g}  {lead:4.2f}  {found['planted']:7}  {found['again']:11}  {found['before']:<8}"
                f"  {found['lost']:15}  {found['true']}"
            )


def draw(people: np.ndarray, codes: np.ndarray, target: float, rng: np.random.Generator) -> dict[str, int]:
    """One draw: who is enrolled, who is corrected, and what comes of it."""
    counts = Counter(people.tolist())
    names = rng.choice(sorted(name for name in counts if counts[name] >= _PHOTOS + 2), _ENROLLED, replace=False)
    enrolled, index, own = list[int](), list[int](), list[int]()
    for number, name in enumerate(names):
        rows = rng.permutation(np.flatnonzero(people == name))
        enrolled += rows[:_PHOTOS].tolist()
        index += [number] * _PHOTOS
        own += rows[_PHOTOS : _PHOTOS + 10].tolist()
    others = [row for row, name in enumerate(people) if name not in names and counts[name] >= _PHOTOS]
    templates = Templates(
        tuple(names.tolist()), np.array(index), codes[enrolled], np.ones(len(index), np.float32), np.arange(len(index))
    )
    bundle = Bundle(RELEASED)
    decide = dataclasses.replace(Config().decide, false_accepts_per_1000_strangers=target, strangers="mixed")

    def named(templates: Templates, rows: list[int]) -> list[str | None]:
        matcher = matching.make_matcher(templates, bundle, decide)
        return [match.person for match in matcher.match(codes[rows])]

    true = [row for row, name in zip(own, named(templates, own), strict=True) if name == people[row]]
    wrong = {row: name for row, name in zip(others, named(templates, others), strict=True) if name is not None}
    views = list({people[row]: row for row in rng.permutation(list(wrong))}.values())[:_PLANTED]
    marked = {(people[row], wrong[row]) for row in views}
    corrected = dataclasses.replace(
        templates,
        negatives=codes[views].reshape(-1, codes.shape[1]),
        negative_index=np.array([templates.names.index(wrong[row]) for row in views], np.int64),
    )
    before = [row for row in wrong if row not in views and (people[row], wrong[row]) in marked]
    again = sum(name == wrong[row] for row, name in zip(before, named(corrected, before), strict=True))
    lost = sum(name != people[row] for row, name in zip(true, named(corrected, true), strict=True))
    return {"planted": len(views), "before": len(before), "again": again, "true": len(true), "lost": lost}


if __name__ == "__main__":
    main()
