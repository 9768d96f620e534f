"""Does a target come true where strangers look like the household? Groups of one gender and origin, by file names.

    python -m tests.benchmarks.same_group --bundle FOLDER --chips utk.npz scut.npz --people lfw.npz \
        --judge edgeface_xs.onnx --out docs/calibration/alike

Chips are those of ``python -m train prepare``. Of chips whose file names state looks (UTKFace, SCUT-FBP5500) the split
``check`` is used, or all without a split; of ``--people`` the split ``final``. One photo a person is enrolled, a
gallery is of one group, and so are the strangers; in mixed galleries people of all groups of the first file are
enrolled, and strangers are of the groups that are. Thresholds are the device's own for pictures; ``mixed`` stands for
one threshold by strangers in general, as it was before looks were known.

A source without names holds some people twice. With ``--judge``, another encoder (NCHW RGB 112x112, x / 127.5 - 1)
says which: of pictures at least ``SAME`` alike to it one is kept. Pairs of different people thin out by a factor of
about three every 0.05 there, and from 0.60 on they do not any more, so that most pairs above are of one person.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from convert.cohort.alike import one_each, stated_look
from edge_runtime.bundle.folder import Bundle
from edge_runtime.config import DecideConfig
from edge_runtime.decision.matcher import Matcher, make_matcher
from edge_runtime.faces.encoder import TfliteEncoder, open_encoder
from edge_runtime.gallery.templates import Templates
from edge_runtime.geometry.alignment import Template
from edge_runtime.pictures.chips import Chips
from edge_runtime.types import Floats

SAME = 0.6
TARGETS = (10.0, 1.0)
KINDS = ("alike", "mixed")
MARGIN = 0.02
_FEWEST = 100
_BATCH = 64
_MOST_STRANGERS = 150
_NAMES = {
    **{f"{g}-{e}": f"{who} {what}" for g, who in ((0, "men"), (1, "women"))
       for e, what in enumerate(("White", "Black", "Asian", "Indian"))},
    "A-F": "East Asian women (SCUT)", "A-M": "East Asian men (SCUT)",
    "C-F": "European women (SCUT)", "C-M": "European men (SCUT)",
}  # fmt: skip


@dataclass(frozen=True)
class Trial:
    """One gallery's outcome: shares of each stranger group named, and what the device said of it."""

    named: float
    said: float | None
    interval: tuple[float, float] | None
    threshold: float


def encode(encoder: TfliteEncoder, chips: Chips, indices: np.ndarray, template: Template) -> Floats:
    parts = [indices[i : i + _BATCH] for i in range(0, len(indices), _BATCH)]
    return np.concatenate([encoder.encode(chips.aligned(part, template))[0] for part in parts])


def judged(model: Path, chips: Chips, indices: np.ndarray) -> np.ndarray:
    """Which pictures to keep, so that hardly anybody is there twice."""
    return one_each(judge_codes(model, chips, indices), SAME)


def judge_codes(model: Path, chips: Chips, indices: np.ndarray) -> Floats:
    """Embeddings of another encoder, of unit length."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(model), options)
    codes = []
    for start in range(0, len(indices), _BATCH):
        pixels = chips.aligned(indices[start : start + _BATCH], Template.arcface(112)).astype(np.float32)
        (found,) = session.run(None, {session.get_inputs()[0].name: (pixels / 127.5 - 1).transpose(0, 3, 1, 2)})
        codes.append(found / np.linalg.norm(found, axis=1, keepdims=True))
    return np.concatenate(codes).astype(np.float32)


def pools(args: argparse.Namespace, bundle: Bundle) -> tuple[dict[str, Floats], list[str], list[Floats]]:
    """Codes by group, which of the groups make mixed galleries, and the photos of each person of ``final``."""
    encoder, template = open_encoder(bundle), bundle.manifest.preprocessing.template
    found: dict[str, Floats] = {}
    mixed: list[str] = []
    for number, path in enumerate(args.chips):
        chips = Chips.load(path)
        indices = chips.indices("check") if len(chips.indices("check")) else np.arange(len(chips.names))
        indices = indices[judged(args.judge, chips, indices)] if args.judge else indices
        looks = np.array([stated_look(str(name)) for name in chips.paths[indices]])
        codes = encode(encoder, chips, indices, template)
        for look in sorted(set(looks) & set(_NAMES)):
            if (looks == look).sum() >= _FEWEST:
                found[_NAMES[look]] = codes[looks == look]
                mixed += [_NAMES[look]] * (number == 0)
    people = Chips.load(args.people)
    final = people.indices("final")
    codes, names = encode(encoder, people, final, template), people.names[final]
    persons = [codes[names == name] for name in sorted(set(names.tolist()))]
    found["LFW final, everybody"] = np.stack([photos[0] for photos in persons])
    return found, mixed, persons


def gallery(codes: Floats) -> Templates:
    rows = np.arange(len(codes))
    return Templates(tuple(map(str, rows)), rows, codes, np.ones(len(codes), np.float32), rows)


def share_named(matcher: Matcher, strangers: Floats) -> float:
    """As ``Matcher.match`` decides, for many at once."""
    scores = strangers @ matcher.templates.person_embeddings().T
    best = scores.argmax(1)
    top = scores[np.arange(len(scores)), best]
    ahead = top - np.partition(scores, -2, axis=1)[:, -2]
    needed = np.array([matcher.calibration.needed(int(person)) for person in best])
    alike = np.array([matcher.lookalikes.far_enough(int(p), row) for p, row in zip(best, scores, strict=True)])
    named = (top >= needed) & (ahead >= matcher.margin) & alike
    return float(named.mean()) if not matcher.calibration.refused else 0.0


def try_group(make: Callable[[Floats], Matcher], pool: Floats, size: int, draws: int, seed: int) -> list[Trial]:
    trials = []
    for draw in range(draws):
        order = np.random.default_rng([seed, size, draw]).permutation(len(pool))
        trials.append(_trial(make(pool[order[:size]]), [pool[order[size:]]]))
    return trials


def try_mixed(make: Callable[[Floats], Matcher], groups: list[Floats], size: int, draws: int, seed: int) -> list[Trial]:
    trials = []
    for draw in range(draws):
        rng = np.random.default_rng([seed, size, draw])
        members, strangers = [], []
        for group, count in zip(groups, rng.multinomial(size, [1 / len(groups)] * len(groups)), strict=True):
            order = rng.permutation(len(group))
            members.append(group[order[:count]])
            # Strangers who look like the household: of a group as often as its people are.
            strangers += [group[order[count : count + _MOST_STRANGERS]]] * count
        trials.append(_trial(make(np.concatenate(members)), strangers))
    return trials


def _trial(matcher: Matcher, strangers: list[Floats]) -> Trial:
    named = float(np.mean([share_named(matcher, group) for group in strangers]))
    calibration = matcher.calibration
    low, high = calibration.bounds or (np.nan, np.nan)
    return Trial(1000 * named, calibration.alike_per_1000, calibration.alike_interval, (low + high) / 2)


def found_of(make: Callable[[Floats], Matcher], persons: list[Floats], size: int, draws: int, seed: int) -> float:
    """DIR: the share of other photos of enrolled people who get their name."""
    several, rates = [photos for photos in persons if len(photos) > 1], []
    for draw in range(draws):
        rng = np.random.default_rng([seed, size, draw])
        chosen = [several[i][rng.permutation(len(several[i]))] for i in rng.permutation(len(several))[:size]]
        matcher = make(np.stack([photos[0] for photos in chosen]))
        right = [match.person == str(n) for n, photos in enumerate(chosen) for match in matcher.match(photos[1:4])]
        rates.append(float(np.mean(right)))
    return float(np.mean(rates))


def measure(args: argparse.Namespace) -> list[dict[str, Any]]:
    bundle = Bundle(args.bundle)
    groups, mixed, persons = pools(args, bundle)
    strangers, rows = bundle.strangers(), []
    for kind in KINDS:
        for target in TARGETS:
            decide = DecideConfig(target, kind, MARGIN)

            def make(codes: Floats, decide: DecideConfig = decide) -> Matcher:
                return make_matcher(gallery(codes), bundle, decide, strangers)

            for size in args.sizes:
                draws = max(args.galleries * 10 // max(size, 10), 20)
                tried = {name: try_group(make, pool, size, draws, args.seed) for name, pool in groups.items()}
                if mixed:
                    several = [groups[name] for name in mixed]
                    tried["mixed household"] = try_mixed(make, several, size, draws, args.seed)
                for name, trials in tried.items():
                    rows.append(_row(name, len(groups.get(name, ())), kind, target, size, trials))
                rows.append(
                    {"group": "DIR", "kind": kind, "target_per_1000": target, "enrolled": size}
                    | {"found": found_of(make, persons, size, draws, args.seed)}
                )
    return rows


def _row(name: str, people: int, kind: str, target: float, size: int, trials: list[Trial]) -> dict[str, Any]:
    measured = float(np.mean([trial.named for trial in trials]))
    said = [trial.interval for trial in trials if trial.interval is not None]
    interval = [float(v) for v in np.mean(said, 0)] if said else None
    return {
        "group": name,
        "people": people,
        "kind": kind,
        "target_per_1000": target,
        "enrolled": size,
        "galleries": len(trials),
        "measured_per_1000": measured,
        "ratio": measured / target,
        "interval_per_1000": interval,
        "holds": None if interval is None else interval[0] <= measured <= interval[1],
        "threshold": float(np.mean([trial.threshold for trial in trials])),
    }


def markdown(rows: list[dict[str, Any]], sizes: list[int]) -> str:
    head = " | ".join(f"{size} enrolled" for size in sizes)
    lines = []
    for target in TARGETS:
        lines += [f"Target: {target:g} of 1,000. Measured / target: before -> after (stated interval, after).", ""]
        lines += [f"| strangers and household | people | {head} |", "|---" * (len(sizes) + 2) + "|"]
        names = dict.fromkeys(row["group"] for row in rows if row["group"] != "DIR")
        for name in names:
            cells = []
            for size in sizes:
                here = {
                    r["kind"]: r
                    for r in rows
                    if (r["group"], r["target_per_1000"], r["enrolled"]) == (name, target, size)
                }
                low, high = here["alike"]["interval_per_1000"] or (np.nan, np.nan)
                cells.append(
                    f"{here['mixed']['ratio']:.2f} -> **{here['alike']['ratio']:.2f}** "
                    f"({low / target:.2f} to {high / target:.2f})"
                )
            people = next(r["people"] for r in rows if r["group"] == name)
            lines.append(f"| {name} | {people or ''} | {' | '.join(cells)} |")
        cells = []
        for size in sizes:
            shares = {r["kind"]: r["found"] for r in rows
                      if (r["group"], r["target_per_1000"], r["enrolled"]) == ("DIR", target, size)}  # fmt: skip
            cells.append(f"{shares['mixed']:.1%} -> {shares['alike']:.1%}")
        lines += [f"| DIR of LFW final | | {' | '.join(cells)} |", ""]
    return "\n".join(lines)


def plot(rows: list[dict[str, Any]], path: Path, target: float) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    names = list(dict.fromkeys(row["group"] for row in rows if row["group"] != "DIR"))
    figure, axis = plt.subplots(figsize=(9, 0.42 * len(names) + 1.6))
    axis.axvspan(0.5, 2, color="0.92")
    axis.axvline(1, color="0.5", lw=1)
    for kind, colour in (("mixed", "C3"), ("alike", "C0")):
        for marker, size in zip("os^Dv", sorted({row["enrolled"] for row in rows}), strict=False):
            chosen = {r["group"]: r["ratio"] for r in rows if r["group"] != "DIR"
                      and (r["kind"], r["target_per_1000"], r["enrolled"]) == (kind, target, size)}  # fmt: skip
            label = f"{'before' if kind == 'mixed' else 'after'}, {size} enrolled"
            ratios = [max(chosen[name], 0.05) for name in names]
            axis.plot(ratios, range(len(names)), marker, color=colour, mfc="none", label=label)
    axis.set(xscale="log", xlabel=f"measured / target, target {target:g} of 1,000", yticks=range(len(names)))
    axis.set_yticklabels(names)
    axis.invert_yaxis()
    axis.legend(fontsize=7, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.1))
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--chips", type=Path, nargs="+", required=True)
    parser.add_argument("--people", type=Path, required=True)
    parser.add_argument("--judge", type=Path, metavar="FILE.onnx")
    parser.add_argument("--sizes", type=int, nargs="+", default=[5, 10, 50])
    parser.add_argument("--galleries", type=int, default=100, help="of each group and size; fewer of large ones")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True, help="NAME.json, NAME.md and NAME.png are written")
    args = parser.parse_args()
    rows = measure(args)
    document = {"bundle": Bundle(args.bundle).hash, "galleries": args.galleries, "seed": args.seed, "rows": rows}
    args.out.with_suffix(".json").write_text(json.dumps(document, indent=1) + "\n")
    args.out.with_suffix(".md").write_text(markdown(rows, args.sizes))
    plot(rows, args.out.with_suffix(".png"), TARGETS[0])
    print(markdown(rows, args.sizes))


if __name__ == "__main__":
    main()
