"""Exact search in int8 against a bare float32 matrix-vector product, and against an encode, in one run.

OPENBLAS_NUM_THREADS=1 python -m tests.benchmarks.search --out docs/gallery/search
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edge_runtime.bundle.folder import Bundle
from edge_runtime.decision.calibration import Calibration
from edge_runtime.decision.matcher import Matcher
from edge_runtime.decision.row_search import RowSearch
from edge_runtime.faces.encoder import open_encoder
from edge_runtime.gallery.templates import Templates
from tests.benchmarks.__main__ import some_bundle
from tests.builders import make_pixels

_SIZE = 128
_PROBES = 50
_TURNS = 21


def ratio(ours: Callable[[], Any], reference: Callable[[], Any], repeats: int) -> tuple[float, float, float]:
    """Median and quartiles of time(ours) / time(reference), the two timed in turns."""
    ours(), reference()
    ratios = []
    for _ in range(_TURNS):
        times = []
        for action in (ours, reference):
            started = time.thread_time()
            for _ in range(repeats):
                action()
            times.append(time.thread_time() - started)
        ratios.append(times[0] / times[1])
    low, middle, high = statistics.quantiles(ratios, n=4)
    return middle, low, high


def rows_of(count: int) -> np.ndarray:
    rows = np.random.default_rng(count).standard_normal((count, _SIZE), dtype=np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def search(count: int) -> str:
    """A row of the table for ``count`` templates."""
    rows = rows_of(count)
    compact = RowSearch(rows)
    rng = np.random.default_rng(1)
    same, worst, step = 0, 0.0, 0.0
    for number in range(_PROBES):
        probe = rows[number] + 0.1 * rng.standard_normal(_SIZE, dtype=np.float32)
        probe /= np.linalg.norm(probe)
        exact, found = rows @ probe, compact.scores(probe)
        same += int(exact.argmax() == found.argmax())
        worst = max(worst, float(np.abs(exact.max() - exact[found.argmax()])), float(abs(exact.max() - found.max())))
        step = max(step, compact.step * float(np.abs(probe).sum()) / 2)
    probe = rows[0].copy()
    middle, low, high = ratio(lambda: compact.scores(probe), lambda: rows @ probe, 3 if count > 500_000 else 10)
    return (
        f"| {count:,} | {middle:.2f} ({low:.2f} to {high:.2f}) | {compact.nbytes / rows.nbytes:.2f} | "
        f"{same} of {_PROBES} | {worst:.4f} (bound {step:.4f}) |"
    )


def match(bundle: Bundle) -> str:
    """One match against 10,000 templates of 1,000 people, in shares of one encode."""
    codes = rows_of(10_000)
    index = np.repeat(np.arange(1000), 10)
    templates = Templates(tuple(map(str, range(1000))), index, codes, np.ones(10_000, np.float32), np.arange(10_000))
    calibration = Calibration(0.5, 1.0, 1.0, 3.0, np.linspace(0, 1, 4000, dtype=np.float32))
    matcher, probe = Matcher(templates, calibration, 0.02), codes[:1]
    width, height = bundle.manifest.preprocessing.template.size_wh
    encoder, chip = open_encoder(bundle), make_pixels(height, width)[None]
    middle, low, high = ratio(lambda: matcher.match(probe), lambda: encoder.encode(chip), 30)
    return (
        f"one match of 1,000 people x 10 / one encode ({bundle.manifest.name}): {middle:.2f} ({low:.2f} to {high:.2f})"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="path without ending")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    lines = [
        "| templates | time / float32 (quartiles) | memory / float32 | same best | best score off by at most |",
        "|---|---|---|---|---|",
    ]
    lines += [search(count) for count in (10_000, 100_000, 1_000_000)]
    with some_bundle() as bundle:
        lines += ["", match(bundle)]
    text = "\n".join(lines) + "\n"
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.with_suffix(".md").write_text(text)
    print(text, end="")


if __name__ == "__main__":
    main()
