"""Time each stage on this device, one thread: read, detect, align, encode, match."""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from edge_runtime.access import open_chain
from edge_runtime.chain import FaceChain
from edge_runtime.config import DecideConfig, load_config
from edge_runtime.encoder import normalise
from edge_runtime.errors import InputError, UsageError
from edge_runtime.matcher import Matcher, make_matcher
from edge_runtime.quality import measure
from edge_runtime.sources import open_source
from edge_runtime.templates import Templates
from edge_runtime.types import Frame

STAGES = ("read", "detect", "align", "encode", "match")
_TEMPLATES_EACH = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--source", default="synthetic:", metavar="SPEC", help="as for run --camera (synthetic:)")
    parser.add_argument("--frames", type=int, default=60, metavar="N", help="frames to time (60)")
    parser.add_argument("--people", type=int, default=20, metavar="N", help="size of the made-up gallery (20)")
    parser.add_argument("--json", action="store_true", help="machine-readable output")


def run(args: argparse.Namespace) -> int:
    if args.frames < 1 or args.people < 1:
        raise UsageError(f"bench: expected at least 1 frame and 1 person, found {args.frames} and {args.people}")
    config = load_config(args.config, args.set)
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with open_chain(dataclasses.replace(config, runtime=dataclasses.replace(config.runtime, threads=1))) as chain:
            spent = _time_stages(chain, args.source, args.frames, _matcher(chain, args.people))
            document = {
                "bundle": chain.bundle.manifest.name,
                "detector": chain.detector.name,
                "source": args.source,
                **_document(spent, config.detect.every),
            }
    finally:
        cv2.setNumThreads(threads)
    print(json.dumps(document, indent=2) if args.json else "\n".join(_table(document)))
    return 0


def _matcher(chain: FaceChain, people: int) -> Matcher:
    """A gallery of people who are nobody: matching takes as long whoever they are."""
    count = people * _TEMPLATES_EACH
    codes, _ = normalise(np.random.default_rng(0).normal(size=(count, chain.encoder.code_size)).astype(np.float32))
    names = tuple(f"person {number}" for number in range(people))
    index = np.arange(count, dtype=np.int64)
    templates = Templates(names, index % people, codes, np.ones(count, np.float32), index)
    return make_matcher(templates, chain.bundle, DecideConfig(margin=0.0))


def _time_stages(chain: FaceChain, spec: str, frames: int, matcher: Matcher) -> dict[str, list[float]]:
    """Seconds of every run of every stage; the first frame only warms up.

    Raises:
        InputError: the source has fewer than two frames.
    """
    spent: dict[str, list[float]] = {stage: [] for stage in STAGES}

    @contextmanager
    def timed(stage: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        spent[stage].append(time.perf_counter() - started)

    with (
        open_source(spec, "bench") as source,
        tqdm(total=frames, unit="frame", delay=2, leave=False, disable=None) as bar,
    ):
        pictures = iter(source)
        for number in range(frames + 1):
            with timed("read"):
                frame = next(pictures, None)
            if frame is None:
                spent["read"].pop()
                break
            _take(frame, chain, matcher, timed)
            if number == 0:
                spent.update({stage: [] for stage in STAGES})
            else:
                bar.update()
    if not spent["detect"]:
        raise InputError(f"{spec}: expected at least two frames to time, found fewer; name another --source")
    return spent


def _take(frame: Frame, chain: FaceChain, matcher: Matcher, timed: Any) -> None:
    with timed("detect"):
        faces = chain.detector.detect(frame.pixels)
    for face in range(len(faces)):
        with timed("align"):
            chips = chain.chips(frame.pixels, faces.landmarks[face : face + 1])
            measure(frame.pixels, faces.landmarks[face], float(faces.width[face]))
        with timed("encode"):
            codes, _ = chain.encoder.encode(chips)
        with timed("match"):
            matcher.match(codes)


def _document(spent: dict[str, list[float]], every: int) -> dict[str, Any]:
    whole_s = sum(sum(times) for times in spent.values())
    frames = len(spent["detect"])
    stages = {
        stage: {
            "runs": len(times),
            "mean_ms": 1000 * statistics.mean(times) if times else None,
            "median_ms": 1000 * statistics.median(times) if times else None,
            "share": sum(times) / whole_s,
        }
        for stage, times in spent.items()
    }
    read_s = sum(spent["read"]) / frames
    frame_s = whole_s / frames
    return {
        "frames": frames,
        "faces": len(spent["align"]),
        "stages": stages,
        "frame_ms": 1000 * frame_s,
        "every": every,
        "frames_per_s": 1 / (read_s + (frame_s - read_s) / every),
    }


def _table(document: dict[str, Any]) -> list[str]:
    lines = [
        f"bundle {document['bundle']}, detector {document['detector']}, {document['source']}: "
        f"{document['frames']} frames, {document['faces']} faces",
        f"{'stage':<8}{'runs':>6}{'mean ms':>10}{'median ms':>11}{'share':>8}",
    ]
    for stage, row in document["stages"].items():
        if row["runs"]:
            lines.append(
                f"{stage:<8}{row['runs']:>6}{row['mean_ms']:>10.2f}{row['median_ms']:>11.2f}{row['share']:>8.1%}"
            )
        else:
            lines.append(f"{stage:<8}{0:>6}{'no face':>10}")
    lines.append(
        f"{document['frame_ms']:.1f} ms a frame; looking for faces in every {document['every']}. frame, "
        f"{document['frames_per_s']:.1f} frames a second"
    )
    return lines
