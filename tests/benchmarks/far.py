"""When the daemon sees somebody far away, and what looking closely costs it.

python -m tests.benchmarks.far --out docs/daemon/far

Generated people walk into a room, stand, and go, 25 frames a second; the pipeline gets every frame. Beside it, in the
same run and in turns, the pipeline that looks at the whole frame only (``detect.close_looks = 0``). Costs are process
time; in the quiet room the sensor is noisy and nobody comes.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np

from edge_runtime.bundle.folder import Bundle
from edge_runtime.config import DecideConfig, parse_config
from edge_runtime.decision.matcher import make_matcher
from edge_runtime.detectors import DetectorOptions
from edge_runtime.faces.chain import FaceChain
from edge_runtime.gallery.templates import Templates
from edge_runtime.pipeline import Pipeline
from edge_runtime.sources.synthetic import Scene, SceneOptions
from edge_runtime.types import Event, Frame, Pixels
from tests.builders import RELEASED
from tests.clips import visitor

FPS = 25.0
FRAMES = ("1280x720", "1920x1080")
SIZES_PX = (24, 32, 40, 60, 100)


def pipeline_for(chain: FaceChain, close_looks: int) -> Pipeline:
    matcher = make_matcher(Templates.empty(chain.encoder.embedding_size), chain.bundle, DecideConfig())
    return Pipeline(chain, matcher, parse_config({"detect": {"close_looks": close_looks}}), "far")


def seen_after_s(scene: Scene, pipelines: dict[str, Pipeline], seconds: float = 3.0) -> dict[str, float | None]:
    """Seconds from when the whole face is in the frame until it has appeared; None: not while it was watched."""
    events: dict[str, list[Event]] = {name: [] for name in pipelines}
    whole_s = None
    for seq in itertools.count():
        at_s = seq / FPS
        if whole_s is not None and at_s > whole_s + seconds:
            break
        if whole_s is not None and all(any(event.kind == "appeared" for event in told) for told in events.values()):
            break
        whole_s = at_s if whole_s is None and scene.showing(at_s) else whole_s
        pixels = scene.render(at_s)
        for name, pipeline in pipelines.items():
            events[name] += pipeline.step(Frame(pixels, "far", seq, at_s, at_s))
    assert whole_s is not None
    first = {name: [e.captured_s for e in told if e.kind == "appeared"][:1] for name, told in events.items()}
    return {name: times[0] - whole_s if times else None for name, times in first.items()}


def film(scene: Scene, from_s: float, frames: int) -> list[Pixels]:
    return [scene.render(from_s + k / FPS) for k in range(frames)]


def cost_ms(chain: FaceChain, pictures: list[Pixels], close_looks: int, seconds: float) -> tuple[float, Pipeline]:
    """Process time of a second of film after two that do not count, the pictures over and over."""
    pipeline, spent_s = pipeline_for(chain, close_looks), 0.0
    frames = round((seconds + 2) * FPS)
    for seq in range(frames):
        frame = Frame(pictures[seq % len(pictures)], "far", seq, seq / FPS, seq / FPS)
        started = time.process_time()
        pipeline.step(frame)
        spent_s += time.process_time() - started if seq >= 2 * FPS else 0.0
    return 1000 * spent_s / seconds, pipeline


def rows(chain: FaceChain, visits: int, turns: int) -> Iterator[str]:
    yield "| | whole frame only | close looks too |"
    yield "|---|---|---|"
    for size in FRAMES:
        for face_px in SIZES_PX:
            waits: dict[str, list[float | None]] = {"whole": [], "close": []}
            for seed in range(visits):
                pipelines = {"whole": pipeline_for(chain, 0), "close": pipeline_for(chain, 4)}
                for name, wait_s in seen_after_s(visitor(size, face_px, seed), pipelines).items():
                    waits[name].append(wait_s)
            yield f"| {size}, face of {face_px} px appears after | {' | '.join(map(told, waits.values()))} |"
        for text, pictures in (
            ("quiet room", film(Scene(SceneOptions(size=size)), 0.0, 12)),
            ("one face of 60 px walking", film(visitor(size, 60), 3.0, 30)),
        ):
            spent = [(cost_ms(chain, pictures, 0, 10), cost_ms(chain, pictures, 4, 10)) for _ in range(turns)]
            before, after = (float(np.median([turn[k][0] for turn in spent])) for k in (0, 1))
            ratio = float(np.median([after[0] / before[0] for before, after in spent]))
            yield f"| {size}, {text}: CPU a second of film | {before:.0f} ms | {after:.0f} ms ({ratio:.2f} times) |"
            counts = [pipeline.counts for _, pipeline in spent[0]]
            told_counts = " | ".join(f"{count['searched']} / {count['closely']}" for count in counts)
            yield f"| ... searches / windows in 12 s | {told_counts} |"


def told(waits: list[float | None]) -> str:
    """Median, longest, and how many never."""
    seen = [wait for wait in waits if wait is not None]
    if not seen:
        return f"not within 3 s ({len(waits)} visits)"
    missed = f", {len(waits) - len(seen)} of {len(waits)} not within 3 s" if len(seen) < len(waits) else ""
    return f"{np.median(seen):.2f} s (at most {max(seen):.2f}){missed}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, default=RELEASED)
    parser.add_argument("--visits", type=int, default=6, help="of each size")
    parser.add_argument("--turns", type=int, default=3, help="of each cost")
    parser.add_argument("--out", type=Path, help="path without ending")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    with closing(FaceChain.open(Bundle(args.bundle), options=DetectorOptions(min_face_px=20))) as chain:
        lines = []
        for row in rows(chain, args.visits, args.turns):
            print(row, flush=True)
            lines.append(row)
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.with_suffix(".md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
