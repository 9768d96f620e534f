"""Is ``confidence`` a probability? As many visits of enrolled people as of strangers, by what was said of them.

    python -m tests.benchmarks.confidence --bundle FOLDER --people lfw.npz --out docs/calibration/confidence

People of the chips' split ``final``; one photo of each enrolled person, up to three others as visits, and as many
photos of strangers. Writes NAME.json and NAME.png: how often the candidate was right, by confidence, and the expected
calibration error over ten equal bins (Guo et al., "On Calibration of Modern Neural Networks", 2017).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from edge_runtime.bundle.folder import Bundle
from edge_runtime.config import DecideConfig
from edge_runtime.decision.matcher import make_matcher
from edge_runtime.faces.encoder import open_encoder
from edge_runtime.pictures.chips import Chips
from edge_runtime.types import Floats
from tests.benchmarks.same_group import encode, gallery

_BINS = 10


def visits(
    bundle: Bundle, persons: list[Floats], decide: DecideConfig, size: int, draws: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """(confidence, whether the candidate is right) of every visit."""
    said, right = [], []
    several = [number for number, photos in enumerate(persons) if len(photos) > 1]
    strangers = bundle.strangers()
    for draw in range(draws):
        rng = np.random.default_rng([seed, size, draw])
        chosen = rng.permutation(several)[:size]
        others = np.setdiff1d(np.arange(len(persons)), chosen)
        orders = [persons[number][rng.permutation(len(persons[number]))] for number in chosen]
        matcher = make_matcher(gallery(np.stack([photos[0] for photos in orders])), bundle, decide, strangers)
        for place, photos in enumerate(orders):
            matches = matcher.match(photos[1:4])
            said += [match.confidence for match in matches]
            right += [match.candidate == str(place) for match in matches]
        count = sum(len(photos[1:4]) for photos in orders)
        came = [persons[n][rng.integers(len(persons[n]))] for n in rng.choice(others, count)]
        said += [match.confidence for match in matcher.match(np.stack(came))]
        right += [False] * count
    return np.array(said), np.array(right)


def reliability(said: np.ndarray, right: np.ndarray) -> dict[str, Any]:
    """Bins and the expected calibration error."""
    place = np.minimum((said * _BINS).astype(int), _BINS - 1)
    rows = [
        {
            "said": float(said[place == b].mean()),
            "right": float(right[place == b].mean()),
            "visits": int(np.sum(place == b)),
        }
        for b in range(_BINS)
        if (place == b).any()
    ]
    error = sum(row["visits"] * abs(row["said"] - row["right"]) for row in rows) / len(said)
    return {"error": error, "visits": len(said), "bins": rows}


def plot(found: dict[str, dict[str, Any]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(5, 4.6))
    axis.plot([0, 1], [0, 1], color="0.6", lw=1)
    for number, (size, document) in enumerate(found.items()):
        bins = document["bins"]
        axis.scatter(
            [row["said"] for row in bins],
            [row["right"] for row in bins],
            [6 + 30 * np.log10(row["visits"]) for row in bins],
            color=f"C{number}",
            alpha=0.6,
            label=f"{size} enrolled: error {document['error']:.3f}",
        )
    axis.set(xlabel="confidence", ylabel="share of visits whose candidate is right", xlim=(0, 1.02), ylim=(0, 1.02))
    axis.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--people", type=Path, required=True)
    parser.add_argument("--sizes", type=int, nargs="+", default=[5, 10, 50])
    parser.add_argument("--galleries", type=int, default=100)
    parser.add_argument("--strangers", choices=("alike", "mixed"), default="alike")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    bundle, chips = Bundle(args.bundle), Chips.load(args.people)
    encoder, final = open_encoder(bundle), chips.indices("final")
    codes, names = encode(encoder, chips, final, bundle.manifest.preprocessing.template), chips.names[final]
    persons = [codes[names == name] for name in sorted(set(names.tolist()))]
    decide = DecideConfig(strangers=args.strangers)
    found = {
        str(size): reliability(*visits(bundle, persons, decide, size, args.galleries, args.seed)) for size in args.sizes
    }
    args.out.with_suffix(".json").write_text(json.dumps({"bundle": bundle.hash, "enrolled": found}, indent=1) + "\n")
    plot(found, args.out.with_suffix(".png"))
    for size, document in found.items():
        print(f"{size} enrolled: expected calibration error {document['error']:.4f} over {document['visits']} visits")


if __name__ == "__main__":
    main()
