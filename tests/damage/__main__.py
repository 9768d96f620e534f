"""``make damage``: kills and corruptions, counted; ends with 1 where anything was lost, wrong, or never ended."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
from tqdm import tqdm

from tests.damage import corruptions, kills
from tests.damage.kills import Counts

PROBLEMS = (
    "lost acknowledged",
    "wrong answer",
    "traceback",
    "hang",
    "crash",
    "unusable",
    "damaged file",
    "blocked sink",
    "unsaid",
)


def run(folder: Path, kill_count: int, corruption_count: int, seed: int) -> Counts:
    """Do both in a folder; what was counted."""
    counts = Counts()
    rng = np.random.default_rng(seed)
    shares = {kills.gallery: 0.4, kills.events: 0.25, kills.unknowns: 0.25, kills.repairs: 0.1}
    for work, share in shares.items():
        work(folder / work.__name__, round(kill_count * share), rng, counts)
    cases = corruptions.cases(folder / "models", corruption_count, rng)
    for case in tqdm(cases, "corruptions", total=corruption_count, disable=None, leave=False):
        corruptions.judge(case, folder / "case", counts)
    return counts


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.damage", description=__doc__)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--corruptions", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="write the counts as JSON too")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        counts = run(Path(folder), args.kills, args.corruptions, args.seed)
    table = {name: count for name, count in sorted(counts.items()) if name not in PROBLEMS}
    table |= {name: counts[name] for name in PROBLEMS}
    for name, count in table.items():
        print(f"{count:>9,}  {name}")
    print("\n".join(counts.problems) or "nothing lost, nothing wrong, nothing that did not end")
    if args.out is not None:
        args.out.write_text(json.dumps(table, indent=2) + "\n")
    return 1 if counts.problems else 0


if __name__ == "__main__":
    sys.exit(main())
