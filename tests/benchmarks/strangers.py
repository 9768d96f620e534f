"""Are strangers told apart? Photos of people as visits, one after the other, into the product's own ``Crowd``.

    python -m tests.benchmarks.strangers --codes codes.npz --split lfw_split.csv --part final --out OUT

``codes.npz`` is what ``familiar embed`` writes, with the same bundle, for a folder with one folder a person. Every
photo is a visit, in an order drawn anew for each seed; a device sees tracks, whose averages are better than single
photos. ``--part select`` is for choosing a rule, ``final`` for reporting the one chosen.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path

import numpy as np

from edge_runtime.bundle.folder import Bundle
from edge_runtime.config import bundle_path, load_config
from edge_runtime.unknowns.crowd import Crowd
from edge_runtime.unknowns.linkage import CHANCE, Linkage
from edge_runtime.unknowns.memory import Sighting
from tests.benchmarks.calibration import People, load

_FIGURES = ("precision", "recall", "mixed", "strangers", "people", "visits")


def draw(people: People, part: str, count: int, photos: int, rng: np.random.Generator) -> list[tuple[int, int]]:
    """(person, row of the photo) of up to ``photos`` photos of ``count`` people of a part, shuffled."""
    pool = np.flatnonzero(people.split == part)
    chosen = rng.choice(pool, min(count, len(pool)), replace=False)
    visits = [(int(person), int(row)) for person in chosen for row in rng.permutation(people.rows[person])[:photos]]
    return [visits[number] for number in rng.permutation(len(visits))]


def cluster(people: People, visits: list[tuple[int, int]], linkage: Linkage) -> list[str]:
    """The stranger that each visit was taken to be of, in the end."""
    crowd = Crowd(linkage, most=len(visits) + 1, visit_s=0.0)
    whose: dict[str, list[int]] = {}
    for number, (_, row) in enumerate(visits):
        before = {one.stranger_id for one in crowd.strangers()}
        stranger = crowd.take(Sighting(people.codes[row], 1.0, 10.0 * number, 10.0 * number + 1, "c"), float(number))
        assert stranger is not None
        whose.setdefault(stranger.stranger_id, []).append(number)
        for gone in before - {one.stranger_id for one in crowd.strangers()}:
            whose[stranger.stranger_id] += whose.pop(gone)
    found = [""] * len(visits)
    for stranger_id, numbers in whose.items():
        for number in numbers:
            found[number] = stranger_id
    return found


def judge(person: list[int], found: list[str]) -> dict[str, float]:
    """Of all pairs of visits: how many taken for one person's are, how many that are were; and what is mixed."""
    both, real, taken = Counter(zip(person, found, strict=True)), Counter(person), Counter(found)

    def pairs(counts: Counter) -> int:  # type: ignore[type-arg]
        return sum(count * (count - 1) // 2 for count in counts.values())

    people_of: dict[str, set[int]] = {}
    for who, stranger in zip(person, found, strict=True):
        people_of.setdefault(stranger, set()).add(who)
    return {
        "precision": pairs(both) / max(pairs(taken), 1),
        "recall": pairs(both) / max(pairs(real), 1),
        "mixed": float(np.mean([len(people) > 1 for people in people_of.values()])),
        "strangers": len(taken),
        "people": len(real),
        "visits": len(person),
    }


def measure(people: People, part: str, bundle: Bundle, args: argparse.Namespace, count: int) -> dict[str, list[float]]:
    """Every figure of every seed."""
    figures: dict[str, list[float]] = {name: [] for name in _FIGURES}
    for seed in range(args.seeds):
        visits = draw(people, part, count, args.photos, np.random.default_rng([seed, count]))
        linkage = Linkage.of_bundle(bundle, len(visits) + 1, args.chance)
        for name, value in judge([who for who, _ in visits], cluster(people, visits, linkage)).items():
            figures[name].append(value)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--codes", type=Path, required=True)
    parser.add_argument("--split", type=Path, required=True)
    parser.add_argument("--part", default="select")
    parser.add_argument("--people", type=int, nargs="+", default=[20, 100, 200])
    parser.add_argument("--photos", type=int, default=8, help="of one person at most")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--chance", type=float, default=CHANCE)
    parser.add_argument("--set", action="append", default=[], help="as for familiar")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    people, bundle = load(args.codes, args.split), Bundle(bundle_path(load_config(None, args.set)))
    lines = [
        "| people | visits | taken for | pairs taken for one person: right | pairs of one person: found | mixed |",
        "|---|---|---|---|---|---|",
    ]
    document = {}
    for count in args.people:
        figures = document[count] = measure(people, args.part, bundle, args, count)
        mean, spread = ({name: f(values) for name, values in figures.items()} for f in (np.mean, np.std))
        lines.append(
            f"| {mean['people']:.0f} | {mean['visits']:.0f} | {mean['strangers']:.0f} strangers "
            f"| {mean['precision']:.1%} ± {spread['precision']:.1%} | {mean['recall']:.1%} ± {spread['recall']:.1%} "
            f"| {mean['mixed']:.1%} ± {spread['mixed']:.1%} |"
        )
    print("\n".join(lines))
    if args.out is not None:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.with_suffix(".md").write_text("\n".join(lines) + "\n")
        args.out.with_suffix(".json").write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
