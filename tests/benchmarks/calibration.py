"""Does a target come true? Thresholds as a device sets them, tried on strangers it has never seen.

    python -m tests.benchmarks.calibration --codes codes.npz --split lfw_split.csv --out docs/calibration/NAME

``codes.npz`` is what ``familiar embed`` writes for a folder with one folder a person. With ``--people all`` (for an
encoder that was trained on other people) the roles are drawn anew in every round: 1,000 people for the cohort,
443 to tune it on, everybody else to enrol or to be a stranger. With ``--people final`` they are those of the split
file. Writes NAME.json, NAME.md and NAME.png.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from convert.cohort.correction import TRACK_VIEWS, running
from convert.cohort.draw import Cohort, Gaussian, make_cohort, person_means, person_tracks
from edge_runtime.bundle.cohort_correction import CohortCorrection
from edge_runtime.decision.calibration import calibrate
from edge_runtime.decision.leave_one_out import leave_one_out
from edge_runtime.gallery.templates import Templates
from edge_runtime.geometry.embeddings import normalise
from edge_runtime.metrics.biometrics import wilson_interval
from edge_runtime.types import Floats

TARGETS = (10.0, 1.0)
MARGIN = 0.02
KINDS = {
    "shipped": "drawn and sharpened, corrected",
    "sharpened": "drawn and sharpened, uncorrected",
    "plain": "drawn from the plain Gaussian",
    "real": "real codes",
}
_PHOTOS = 3
_CODES = 4000
_BOOTSTRAPS = 1000


@dataclass(frozen=True)
class People:
    """Codes float32 (N, D) of unit length, and who is on each."""

    codes: Floats
    names: np.ndarray
    person: np.ndarray
    rows: list[np.ndarray]
    split: np.ndarray


@dataclass
class Tally:
    """What became of strangers and enrolled people, for one size of gallery, target and kind of cohort."""

    passed: defaultdict[int, float] = field(default_factory=lambda: defaultdict(float))
    seen: defaultdict[int, float] = field(default_factory=lambda: defaultdict(float))
    rates: list[float] = field(default_factory=list)
    intervals: list[tuple[float, float]] = field(default_factory=list)
    found: list[float] = field(default_factory=list)
    expected_found: list[float] = field(default_factory=list)
    supported: list[bool] = field(default_factory=list)
    strangers: list[int] = field(default_factory=list)


def load(codes: Path, split: Path) -> People:
    with np.load(codes) as archive:
        unit, detected, paths = archive["codes"], archive["detected"], archive["paths"]
    usable = detected & unit.any(1)
    names = np.array([Path(str(path)).parent.as_posix() for path in paths])[usable]
    everybody, person = np.unique(names, return_inverse=True)
    with split.open(newline="") as stream:
        splits = {row["person"]: row["split"] for row in csv.DictReader(stream)}
    order = np.argsort(person, kind="stable")
    rows = np.split(order, np.cumsum(np.bincount(person))[:-1])
    return People(unit[usable], everybody, person, rows, np.array([splits.get(name, "") for name in everybody]))


def rounds(people: People, who: str, count: int, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """(cohort, tuning, pool) as indices of people."""
    for number in range(count):
        if who == "all":
            order = np.random.default_rng([seed, number]).permutation(len(people.names))
            yield order[:1000], order[1000:1443], order[1443:]
        else:
            yield tuple(np.flatnonzero(people.split == name) for name in ("cohort", "select", who))


def means(people: People, chosen: np.ndarray) -> np.ndarray:
    rows = np.concatenate([people.rows[index] for index in chosen])
    return person_means(people.codes[rows], [str(people.names[index]) for index in people.person[rows]])


def cohorts(
    people: People, cohort: np.ndarray, tuning: np.ndarray, seed: int
) -> dict[str, tuple[Floats, CohortCorrection]]:
    """Strangers of every kind, and what is known of them."""
    rows = np.concatenate([people.rows[index] for index in tuning])
    tracks = person_tracks(people.codes[rows], [str(people.names[index]) for index in people.person[rows]])
    real = means(people, cohort)
    made: Cohort = make_cohort(real, means(people, tuning), _CODES, seed, tracks)
    drawn = normalise(made.codes.astype(np.float32))[0]
    plain = Gaussian.fit(real).draw(np.random.default_rng(seed).standard_normal((_CODES, real.shape[1])))
    return {
        "shipped": (drawn, made.realism),
        "sharpened": (drawn, CohortCorrection()),
        "plain": (normalise(plain.astype(np.float32))[0], CohortCorrection()),
        "real": (normalise(real.astype(np.float32))[0], CohortCorrection()),
    }


def gallery(people: People, enrolled: np.ndarray, rng: np.random.Generator) -> tuple[Templates, Floats, np.ndarray]:
    """Templates of up to three photos each, and the codes of the other photos with whose they are."""
    index, rows, probes, owners = [], [], [], []
    for number, person in enumerate(enrolled):
        order = rng.permutation(people.rows[person])
        kept = min(_PHOTOS, len(order) - 1)
        index += [number] * kept
        rows += list(order[:kept])
        probes += list(order[kept : kept + _PHOTOS])
        owners += [number] * len(order[kept : kept + _PHOTOS])
    names = tuple(str(people.names[person]) for person in enrolled)
    count = len(rows)
    templates = Templates(
        names, np.array(index, np.int64), people.codes[rows], np.ones(count, np.float32), np.arange(count)
    )
    return templates, people.codes[probes], np.array(owners)


def decide(codes: Floats, enrolled: Floats) -> tuple[np.ndarray, Floats]:
    """Best person and best score, -inf where the margin is too small."""
    scores = codes @ enrolled.T
    best = scores.argmax(1)
    top = np.partition(scores, -2, axis=1)[:, -2:]
    ahead = np.abs(top[:, 1] - top[:, 0])
    return best, np.where(ahead >= MARGIN, scores.max(1), -np.inf)


def run(
    people: People, args: argparse.Namespace
) -> tuple[dict[tuple[int, float, str, str], Tally], list[CohortCorrection]]:
    tallies: dict[tuple[int, float, str, str], Tally] = defaultdict(Tally)
    known: list[CohortCorrection] = []
    progress = tqdm(total=args.rounds * len(args.sizes) * args.galleries, unit="gallery", disable=None)
    for number, (cohort, tuning, pool) in enumerate(rounds(people, args.people, args.rounds, args.seed)):
        if number == 0 or args.people == "all":
            kinds = cohorts(people, cohort, tuning, args.seed + number)
            known.append(kinds["shipped"][1])
        photos = np.array([len(rows) for rows in people.rows])
        several = pool[photos[pool] >= 2]
        tracks = {index: running(people.codes[people.rows[index][:8]]) for index in pool[photos[pool] >= TRACK_VIEWS]}
        for size in args.sizes:
            for draw in range(args.galleries):
                rng = np.random.default_rng([args.seed, number, size, draw])
                enrolled = rng.choice(several, size, replace=False)
                _one(people, np.setdiff1d(pool, enrolled), enrolled, kinds, tracks, tallies, rng)
                progress.update()
    progress.close()
    return tallies, known


def _one(
    people: People,
    strangers: np.ndarray,
    enrolled: np.ndarray,
    kinds: dict[str, tuple[Floats, CohortCorrection]],
    tracks: dict[int, Floats],
    tallies: dict[tuple[int, float, str, str], Tally],
    rng: np.random.Generator,
) -> None:
    templates, probes, owners = gallery(people, enrolled, rng)
    averages, left = templates.person_embeddings(), leave_one_out(templates)
    best, scores = decide(probes, averages)
    photos = people.codes[[rng.choice(people.rows[person]) for person in strangers]]
    passing = {"photo": dict(zip(strangers.tolist(), decide(photos, averages)[1].tolist(), strict=True))}
    here = [person for person in strangers.tolist() if person in tracks]
    if here:
        ends = np.cumsum([len(tracks[person]) for person in here])[:-1]
        judged = decide(np.concatenate([tracks[person] for person in here]), averages)[1]
        passing["track"] = {p: float(s.max()) for p, s in zip(here, np.split(judged, ends), strict=True)}
    for kind, (codes, realism) in kinds.items():
        behind = 1000 if kind != "real" else len(codes)
        for target in TARGETS:
            for what, strangers_scores in passing.items():
                if what == "track" and kind != "shipped":
                    continue
                like = realism if what == "track" else realism.picture()
                calibration = calibrate(templates, codes, behind, target, MARGIN, like)
                tally = tallies[len(enrolled), target, kind, what]
                for person, score in strangers_scores.items():
                    tally.passed[person] += score >= calibration.threshold
                    tally.seen[person] += 1
                reached = [score >= calibration.threshold for score in strangers_scores.values()]
                tally.rates.append(1000 * float(np.mean(reached)))
                tally.strangers.append(len(reached))
                tally.intervals.append(calibration.interval)
                tally.supported.append(calibration.supported)
                tally.found.append(float(((best == owners) & (scores >= calibration.threshold)).mean()))
                misses = left.miss_rate(calibration.threshold, MARGIN)
                tally.expected_found.append(np.nan if misses is None else 1 - misses)


def summarise(tallies: dict[tuple[int, float, str, str], Tally], seed: int) -> list[dict[str, Any]]:
    rows = []
    for (size, target, kind, what), tally in tallies.items():
        passed = np.array([tally.passed[person] for person in tally.seen])
        seen = np.array(list(tally.seen.values()))
        rng = np.random.default_rng(seed)
        draws = rng.integers(0, len(seen), (_BOOTSTRAPS, len(seen)))
        ratios = 1000 * passed[draws].sum(1) / seen[draws].sum(1) / target
        held = [low <= rate <= high for rate, (low, high) in zip(tally.rates, tally.intervals, strict=True)]
        # The measured rate is itself uncertain: does the stated interval meet the measurement's own?
        met = []
        for rate, (low, high), count in zip(tally.rates, tally.intervals, tally.strangers, strict=True):
            least, most = wilson_interval(rate / 1000 * count, count)
            met.append(low <= 1000 * most and 1000 * least <= high)
        rows.append(
            {
                "enrolled": size,
                "target_per_1000": target,
                "cohort": kind,
                "calibrated": what,
                "galleries": len(tally.rates),
                "strangers_a_gallery": float(np.mean(tally.strangers)),
                "measured_per_1000": 1000 * float(passed.sum() / seen.sum()),
                "ratio": 1000 * float(passed.sum() / seen.sum()) / target,
                "ratio_95": [float(q) for q in np.quantile(ratios, [0.025, 0.975])],
                "supported": bool(all(tally.supported)),
                "interval_per_1000": [float(v) for v in np.mean(tally.intervals, 0)],
                "interval_holds_measured": float(np.mean(held)),
                "intervals_meet": float(np.mean(met)),
                "found": float(np.mean(tally.found)),
                "found_expected": float(np.nanmean(tally.expected_found)),
            }
        )
    return rows


def markdown(rows: list[dict[str, Any]]) -> str:
    lines = [
        "| enrolled | target /1,000 | strangers | calibrated on | measured / target (95 %) | supported | "
        "stated interval /1,000 | holds the measured rate | enrolled found: expected / measured |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        low, high = row["ratio_95"]
        lines.append(
            f"| {row['enrolled']} | {row['target_per_1000']:g} | {KINDS[row['cohort']]} | {row['calibrated']} | "
            f"{row['ratio']:.2f} ({low:.2f} to {high:.2f}) | {'yes' if row['supported'] else 'no'} | "
            f"{row['interval_per_1000'][0]:.2g} to {row['interval_per_1000'][1]:.2g} | "
            f"{row['interval_holds_measured']:.0%} | {row['found_expected']:.1%} / {row['found']:.1%} |"
        )
    return "\n".join(lines) + "\n"


def plot(rows: list[dict[str, Any]], path: Path, title: str) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    shapes = {"shipped": ("o", "C0"), "sharpened": ("s", "C1"), "plain": ("^", "C3"), "real": ("D", "C2")}
    figure, axes = plt.subplots(1, len(TARGETS), figsize=(10, 4), sharey=True)
    for axis, target in zip(axes, TARGETS, strict=True):
        axis.axhspan(0.5, 2, color="0.92")
        axis.axhline(1, color="0.5", lw=1)
        for offset, (kind, what) in enumerate([*((k, "photo") for k in KINDS), ("shipped", "track")]):
            chosen = [r for r in rows if (r["target_per_1000"], r["cohort"], r["calibrated"]) == (target, kind, what)]
            if not chosen:
                continue
            x = np.array([r["enrolled"] for r in chosen]) * 1.08 ** (offset - 2)
            y = np.array([max(r["ratio"], 0.02) for r in chosen])
            spread = np.array([[max(r["ratio_95"][0], 0.02), r["ratio_95"][1]] for r in chosen]).T
            marker, colour = shapes[kind]
            label = f"{KINDS[kind]}" if what == "photo" else f"{KINDS[kind]}: tracks"
            axis.errorbar(
                x,
                y,
                np.abs(spread - y),
                fmt=marker,
                color="k" if what == "track" else colour,
                label=label,
                capsize=2,
                mfc="none" if what == "track" else None,
            )
        axis.set(xscale="log", yscale="log", xlabel="people enrolled", title=f"target: {target:g} of 1,000")
        sizes = sorted({row["enrolled"] for row in rows})
        axis.set_xticks(sizes, [str(size) for size in sizes])
        axis.set_xticks([], minor=True)
    axes[0].set_ylabel("measured / target")
    figure.legend(*axes[1].get_legend_handles_labels(), loc="lower center", ncols=5, fontsize=7)
    figure.suptitle(title, fontsize=10)
    figure.tight_layout(rect=(0, 0.06, 1, 1))
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--codes", type=Path, required=True)
    parser.add_argument("--split", type=Path, required=True)
    parser.add_argument("--people", choices=("all", "final", "select"), default="final")
    parser.add_argument("--sizes", type=int, nargs="+", default=[5, 50])
    parser.add_argument("--rounds", type=int, default=1, help="times the roles are drawn anew")
    parser.add_argument("--galleries", type=int, default=200, help="of each size in each round")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--title", default="")
    parser.add_argument("--out", type=Path, required=True, help="path without ending")
    args = parser.parse_args()
    people = load(args.codes, args.split)
    tallies, known = run(people, args)
    order = list(KINDS)
    rows = sorted(
        summarise(tallies, args.seed),
        key=lambda r: (r["calibrated"], -r["target_per_1000"], order.index(r["cohort"]), r["enrolled"]),
    )
    args.out.parent.mkdir(parents=True, exist_ok=True)
    document = {name: getattr(args, name) for name in ("people", "rounds", "galleries", "seed")}
    document |= {"rows": rows, "realism": [like.as_json() for like in known]}
    args.out.with_suffix(".json").write_text(json.dumps(document, indent=1) + "\n")
    args.out.with_suffix(".md").write_text(markdown(rows))
    plot(rows, args.out.with_suffix(".png"), args.title or args.codes.stem)
    print(markdown(rows), end="")


if __name__ == "__main__":
    main()
