"""Does a target hold where people are enrolled with several photos, and what does it cost in recognition?

    python -m tests.benchmarks.photos --bundle before=FOLDER after=FOLDER --teach utk.npz --people lfw.npz \
        --unnamed celeba.npz --judge edgeface_xs.onnx --out docs/calibration/photos

Men and women of the named people's split ``final``, and of a source without names whose photos another encoder sorts
into people (photos ``SAME_PERSON`` alike are of one; those with ``FEWEST_PHOTOS`` count): strangers are of the
household's gender, one photo each. Nobody states the gender of these people: a linear discriminant of embeddings,
taught by the file names of ``--teach`` (UTKFace), says it, each source's own mean taken off. Each bundle is tried with
one threshold by strangers in general (``mixed``) and with thresholds by look. The last column of each pair is DIR at
the honest rate: with the thresholds moved, all by the same, until as many strangers are named as targeted.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from convert.cohort.alike import stated_look
from convert.cohort.mixture import discriminant
from edge_runtime.bundle.folder import Bundle
from edge_runtime.config import DecideConfig
from edge_runtime.decision.matcher import Matcher, make_matcher
from edge_runtime.faces.encoder import open_encoder
from edge_runtime.gallery.templates import Templates
from edge_runtime.pictures.chips import Chips
from edge_runtime.types import Floats
from tests.benchmarks.same_group import MARGIN, encode, judge_codes

SAME_PERSON, FEWEST_PHOTOS = 0.55, 5
TARGETS = (10.0, 1.0)
PHOTOS, ENROLLED = (1, 3, 6), (5, 10, 50)
_FEWEST_STRANGERS, _PROBES = 40, 3
GENDERS = ("men", "women")


class Gender:
    """Says men or women, by what file names of a taught source state."""

    def __init__(self, codes: Floats, files: Sequence[str], splits: np.ndarray) -> None:
        stated = np.array([stated_look(str(path))[:1] for path in files])
        fit, check = ((splits == split) & (stated != "") for split in ("cohort", "check"))
        middle = codes[fit].mean(0)
        self._weights, self._bias = discriminant(codes[fit] - middle, stated[fit].astype(np.int64))
        self.right = float((self.of(codes[check] - middle) == stated[check].astype(np.int64)).mean())

    def of(self, codes: Floats) -> np.ndarray:
        """0 or 1 of codes less their source's mean."""
        return (codes @ self._weights.T + self._bias).argmax(1)

    def split(self, persons: list[Floats]) -> list[list[Floats]]:
        means = np.stack([photos.mean(0) for photos in persons])
        found = self.of(means - means.mean(0))
        return [[photos for photos, one in zip(persons, found, strict=True) if one == gender] for gender in (0, 1)]


def sorted_by_judge(judge: Floats, codes: Floats) -> list[Floats]:
    """Photos (N, D) by person: whoever is connected by photos that are alike enough to the judge."""
    label = np.full(len(judge), -1)
    near = [np.flatnonzero(row > SAME_PERSON) for start in range(0, len(judge), 512)
            for row in judge[start : start + 512] @ judge.T]  # fmt: skip
    for first in range(len(judge)):
        waiting = [first] if label[first] < 0 else []
        while waiting:
            row = waiting.pop()
            if label[row] < 0:
                label[row] = first
                waiting += near[row].tolist()
    counts = np.bincount(label, minlength=len(label))
    return [codes[label == person] for person in np.flatnonzero(counts >= FEWEST_PHOTOS)]


def gallery(persons: list[Floats]) -> Templates:
    counts = [len(photos) for photos in persons]
    codes = np.concatenate(persons)
    names = tuple(map(str, range(len(persons))))
    person = np.repeat(np.arange(len(persons)), counts)
    return Templates(names, person, codes, np.ones(len(codes), np.float32), np.arange(len(codes)))


def above(matcher: Matcher, codes: Floats) -> tuple[np.ndarray, np.ndarray]:
    """How far each code's best score is above what its person needs, -inf where the margin is missing, and whose."""
    scores = codes @ matcher.templates.person_embeddings().T
    best = scores.argmax(1)
    needed = np.array([matcher.calibration.needed(person) for person in range(scores.shape[1])])
    top = np.partition(scores, -2, axis=1)
    leads = top[:, -1] - top[:, -2] >= matcher.margin
    leads &= [matcher.lookalikes.far_enough(int(one), row) for one, row in zip(best, scores, strict=True)]
    over = scores[np.arange(len(codes)), best] - needed[best]
    return np.where(leads, over, -np.inf), best


def tried(bundle: Bundle, decide: DecideConfig, pool: list[Floats], photos: int, size: int, draws: int) -> Any:
    """Measured over target, DIR, and DIR at the honest rate; None with too few people."""
    several = [index for index, views in enumerate(pool) if len(views) > photos]
    if len(several) < size or len(pool) < size + _FEWEST_STRANGERS:
        return None
    strangers, known, found, right = bundle.strangers(), [], [], []
    for draw in range(draws):
        rng = np.random.default_rng([draw, size, photos])
        chosen = rng.permutation(several)[:size]
        views = [pool[index][rng.permutation(len(pool[index]))] for index in chosen]
        matcher = make_matcher(gallery([one[:photos] for one in views]), bundle, decide, strangers)
        others = np.stack([one[0] for one in (pool[i] for i in np.setdiff1d(np.arange(len(pool)), chosen))])
        known.append(above(matcher, others)[0])
        probes = [one[photos : photos + _PROBES] for one in views]
        over, who = above(matcher, np.concatenate(probes))
        found.append(over)
        right.append(who == np.repeat(np.arange(size), [len(one) for one in probes]))
    target = decide.false_accepts_per_1000_strangers / 1000
    stranger, own, mine = np.concatenate(known), np.concatenate(found), np.concatenate(right)
    move = np.quantile(stranger, 1 - target, method="higher")
    ratio = float((stranger >= 0).mean()) / target
    return ratio, float(((own >= 0) & mine).mean()), float(((own > move) & mine).mean())


def measure(args: argparse.Namespace) -> dict[str, Any]:
    bundles = {name: Bundle(Path(path)) for name, _, path in (given.partition("=") for given in args.bundle)}
    first = next(iter(bundles.values()))
    encoder, template = open_encoder(first), first.manifest.preprocessing.template
    teach, people, unnamed = (Chips.load(path) for path in (args.teach, args.people, args.unnamed))
    taught = np.concatenate([teach.indices(split) for split in ("cohort", "check")])
    gender = Gender(encode(encoder, teach, taught, template), teach.paths[taught].tolist(), teach.split[taught])
    final = people.indices("final")
    codes, names = encode(encoder, people, final, template), people.names[final]
    sources = {"LFW final": [codes[names == name] for name in sorted(set(names.tolist()))]}
    every = np.arange(len(unnamed.names))
    sources["CelebA"] = sorted_by_judge(
        judge_codes(args.judge, unnamed, every), encode(encoder, unnamed, every, template)
    )
    rows = []
    variants = [("mixed", "mixed", first), *((name, "alike", bundle) for name, bundle in bundles.items())]
    for source, persons in sources.items():
        for who, pool in zip(GENDERS, gender.split(persons), strict=True):
            for variant, kind, bundle in variants:
                for target in TARGETS:
                    for photos in PHOTOS:
                        for size in ENROLLED:
                            decide = DecideConfig(target, kind, MARGIN)
                            found = tried(bundle, decide, pool, photos, size, args.galleries if size < 50 else 10)
                            if found is not None:
                                keys = ("variant", "group", "people", "target_per_1000", "photos", "enrolled")
                                values = (variant, f"{source}, {who}", len(pool), target, photos, size)
                                rows.append(dict(zip(keys, values, strict=True)) | {"tried": found})
    return {"gender_right": gender.right, "rows": rows}


def markdown(document: dict[str, Any]) -> str:
    rows = document["rows"]
    variants = list(dict.fromkeys(["mixed", *(row["variant"] for row in rows)]))
    lines = [f"Gender by a discriminant that is right for {document['gender_right']:.1%} of the taught source.", ""]
    for target in TARGETS:
        lines += [f"Target: {target:g} of 1,000. Measured / target; DIR; DIR at the honest rate.", ""]
        lines += [f"| strangers and household | people | photos | enrolled | {' | '.join(variants)} |"]
        lines += ["|---" * (len(variants) + 4) + "|"]
        cells: dict[tuple[Any, ...], dict[str, str]] = {}
        for row in rows:
            if row["target_per_1000"] == target:
                ratio, dir_, honest = row["tried"]
                at = row["group"], row["people"], row["photos"], row["enrolled"]
                cells.setdefault(at, {})[row["variant"]] = f"**{ratio:.2f}**; {dir_:.1%}; {honest:.1%}"
        for at, found in cells.items():
            lines.append(f"| {' | '.join(map(str, at))} | {' | '.join(found[name] for name in variants)} |")
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", nargs="+", required=True, metavar="NAME=FOLDER", help="with the same encoder")
    parser.add_argument("--teach", type=Path, required=True)
    parser.add_argument("--people", type=Path, required=True)
    parser.add_argument("--unnamed", type=Path, required=True)
    parser.add_argument("--judge", type=Path, required=True, metavar="FILE.onnx")
    parser.add_argument("--galleries", type=int, default=30)
    parser.add_argument("--earlier", type=Path, nargs="*", default=[], metavar="FILE.json", help="of an older program")
    parser.add_argument("--out", type=Path, required=True, help="NAME.json and NAME.md are written")
    args = parser.parse_args()
    document = measure(args)
    for path in args.earlier:
        rows = [row for row in json.loads(path.read_text())["rows"] if row["variant"] != "mixed"]
        document["rows"] = [*rows, *document["rows"]]
    args.out.with_suffix(".json").write_text(json.dumps(document, indent=1) + "\n")
    args.out.with_suffix(".md").write_text(markdown(document))
    print(markdown(document))


if __name__ == "__main__":
    main()
