"""What a door's own strangers do: false names before and after they are known, and with somebody who poisons them.

    python -m tests.benchmarks.door --bundle FOLDER --chips scut.npz --people lfw.npz --out docs/calibration/door

Five people of a group are enrolled; 200 strangers of the group come first, those who are named leave nothing; the rest
of the group comes later. An attacker adds 200 random codes unlike anybody, or 100 made to lie near the enrolled.
Pictures, one a stranger. Writes NAME.md.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from edge_runtime.bundle.folder import Bundle
from edge_runtime.config import DecideConfig
from edge_runtime.decision.matcher import Matcher, make_matcher
from edge_runtime.geometry.embeddings import normalise
from edge_runtime.types import Floats
from tests.benchmarks.same_group import gallery, pools, share_named

_ENROLLED, _FIRST, _FEWEST_LATER = 5, 200, 50
_WISH = 10.0


def poison(enrolled: Floats, rng: np.random.Generator) -> dict[str, Floats]:
    size = enrolled.shape[1]
    far, noise = (normalise(rng.normal(size=(n, size)).astype(np.float32))[0] for n in (200, 100))
    near = normalise(0.45 * enrolled[rng.integers(len(enrolled), size=100)] + 0.9 * noise)[0]
    return {"far": far, "near": near}


def one(bundle: Bundle, strangers: Floats, pool: Floats, rng: np.random.Generator) -> list[float]:
    """Named of 1,000 before and after, then by how much thresholds rose: unpoisoned, poisoned far, poisoned near."""
    order = rng.permutation(len(pool))
    enrolled, first = pool[order[:_ENROLLED]], pool[order[_ENROLLED : _ENROLLED + _FIRST]]
    later, decide = pool[order[_ENROLLED + _FIRST :]], DecideConfig(_WISH)

    def made(door: Floats | None) -> Matcher:
        return make_matcher(gallery(enrolled), bundle, decide, strangers, door=door)

    before = made(None)
    never_named = first[[match.person is None for match in before.match(first)]]
    after = made(never_named)
    rises = [after.calibration.raised]
    rises += [made(np.concatenate([never_named, faces])).calibration.raised for faces in poison(enrolled, rng).values()]
    return [1000 * share_named(before, later), 1000 * share_named(after, later), *rises]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--chips", type=Path, nargs="+", required=True)
    parser.add_argument("--people", type=Path, required=True)
    parser.add_argument("--judge", type=Path, metavar="FILE.onnx")
    parser.add_argument("--draws", type=int, default=30)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    bundle = Bundle(args.bundle)
    strangers = bundle.strangers()
    lines = [
        "| strangers and household | named of 1,000, before | after | thresholds rose by | far codes | near codes |",
        "|---|---|---|---|---|---|",
    ]
    for name, pool in pools(args, bundle)[0].items():
        if len(pool) < _ENROLLED + _FIRST + _FEWEST_LATER:
            continue
        rows = np.array([one(bundle, strangers, pool, np.random.default_rng(n)) for n in range(args.draws)])
        before, after, rose, far, near = rows.mean(0)
        lines.append(f"| {name} | {before:.1f} | {after:.1f} | {rose:.3f} | {far:.3f} | {near:.3f} |")
    args.out.with_suffix(".md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
