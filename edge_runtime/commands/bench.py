"""Time the stages of the daemon on this device, with one thread, and show what looking less often saves."""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from edge_runtime.commands._machine import describe, state
from edge_runtime.commands._report import report
from edge_runtime.config import Config, DecideConfig, load_config
from edge_runtime.decision.matcher import Matcher, make_matcher
from edge_runtime.errors import InputError, UsageError
from edge_runtime.faces.chain import FaceChain, open_chain
from edge_runtime.gallery.templates import Templates
from edge_runtime.geometry.embeddings import normalise
from edge_runtime.pipeline import Pipeline
from edge_runtime.sources import open_source
from edge_runtime.text.address import Address
from edge_runtime.text.version import package_version, program_version

STAGES = ("read", "motion", "detect", "follow", "align", "encode", "match")
_SAVED = {
    "not due": "frames in which no search was due",
    "still": "searches left out because nothing moved",
    "spared": "views of faces that are decided already",
    "waited": "views passed over for a better one",
    "held": "views of faces that touched",
}
_TEMPLATES_EACH = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--source", default="synthetic:", metavar="SPEC", help="as for run --camera (synthetic:)")
    parser.add_argument("--frames", type=int, default=250, metavar="N", help="frames to time (250)")
    parser.add_argument("--people", type=int, default=20, metavar="N", help="size of the made-up gallery (20)")
    parser.add_argument(
        "--report", action="store_true", help="a row of a Markdown table and JSON about this machine, to send back"
    )
    parser.add_argument("--json", action="store_true", help="machine-readable output")


def run(args: argparse.Namespace) -> int:
    if args.frames < 1 or args.people < 1:
        raise UsageError(f"bench: expected at least 1 frame and 1 person, found {args.frames} and {args.people}")
    config = load_config(args.config, args.set)
    before = state()
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with open_chain(dataclasses.replace(config, runtime=dataclasses.replace(config.runtime, threads=1))) as chain:
            pipeline, read_s = _play(chain, config, args.source, args.frames, _matcher(chain, args.people))
            document = {
                "bundle": chain.bundle.manifest.name,
                "detector": chain.detector.name,
                # A report is sent to others, and a path may say whose machine it is.
                "source": args.source.partition(":")[0] if args.report else str(Address(args.source)),
                **_document(pipeline, read_s),
            }
            if args.report:
                document["machine"] = {
                    **describe(),
                    **_software(chain),
                    "before": before,
                    "after": state(),
                }
    finally:
        cv2.setNumThreads(threads)
    if args.json:
        print(json.dumps(document, indent=2))
    else:
        print(report(document) if args.report else "\n".join(_table(document)))
    return 0


def _software(chain: FaceChain) -> dict[str, Any]:
    interpreter = chain.encoder.interpreter
    return {
        "interpreter": f"{interpreter.package} {package_version(interpreter.package)}",
        "accelerator": interpreter.accelerator,
        "opencv": cv2.__version__,
        "numpy": np.__version__,
        "familiar": program_version(),
        "bundle_hash": chain.bundle.hash,
    }


def _matcher(chain: FaceChain, people: int) -> Matcher:
    """A gallery of people who are nobody: matching takes as long whoever they are."""
    count = people * _TEMPLATES_EACH
    embeddings, _ = normalise(
        np.random.default_rng(0).normal(size=(count, chain.encoder.embedding_size)).astype(np.float32)
    )
    names = tuple(f"person {number}" for number in range(people))
    index = np.arange(count, dtype=np.int64)
    templates = Templates(names, index % people, embeddings, np.ones(count, np.float32), index)
    return make_matcher(templates, chain.bundle, DecideConfig(margin=0.0))


def _play(chain: FaceChain, config: Config, spec: str, frames: int, matcher: Matcher) -> tuple[Pipeline, float]:
    """The daemon's pipeline after so many frames, and the seconds that reading them took.

    Raises:
        InputError: the source has fewer than two frames.
    """
    pipeline = Pipeline(chain, matcher, config, "bench")
    read_s = 0.0
    with (
        open_source(spec, "bench") as source,
        tqdm(total=frames, unit="frame", delay=2, leave=False, disable=None) as bar,
    ):
        pictures = iter(source)
        while pipeline.counts["frames"] < frames:
            started = time.perf_counter()
            frame = next(pictures, None)
            if frame is None:
                break
            read_s += time.perf_counter() - started
            pipeline.step(frame)
            bar.update()
    if pipeline.counts["frames"] < 2:
        raise InputError(f"{spec}: expected at least two frames to time, found fewer; name another --source")
    return pipeline, read_s


def _document(pipeline: Pipeline, read_s: float) -> dict[str, Any]:
    counts, frames = pipeline.counts, pipeline.counts["frames"]
    spent = {"read": (frames, read_s), **{name: (stage.count, stage.total) for name, stage in pipeline.stages.items()}}
    whole_s = sum(total_s for _, total_s in spent.values())
    stages = {}
    for name in STAGES:
        runs, total_s = spent.get(name, (0, 0.0))
        mean_ms = 1000 * total_s / runs if runs else None
        stages[name] = {"runs": runs, "mean_ms": mean_ms, "share": total_s / whole_s}
    search_ms = sum(stages[name]["mean_ms"] or 0.0 for name in ("detect", "follow"))
    view_ms = sum(stages[name]["mean_ms"] or 0.0 for name in ("align", "encode"))
    not_run = {
        "not due": (frames - counts["searched"] - counts["still"], search_ms),
        "still": (counts["still"], search_ms),
        "spared": (counts["spared"], view_ms),
        "waited": (counts["waited"], stages["encode"]["mean_ms"] or 0.0),
        "held": (counts["held"], view_ms),
    }
    saved = {name: {"count": count, "saved_ms": count * each} for name, (count, each) in not_run.items()}
    return {
        "frames": frames,
        "searched": counts["searched"],
        "faces": counts["faces"],
        "tracks": counts["tracks"],
        "stages": stages,
        "saved": saved,
        "frame_ms": 1000 * whole_s / frames,
        "without_savings_ms": 1000 * whole_s / frames + sum(row["saved_ms"] for row in saved.values()) / frames,
        "every": pipeline.pace.every,
        "frames_per_s": frames / whole_s,
    }


def _table(document: dict[str, Any]) -> list[str]:
    lines = [
        f"bundle {document['bundle']}, detector {document['detector']}, {document['source']}: {document['frames']} "
        f"frames, {document['searched']} searched, {document['faces']} faces, {document['tracks']} tracks",
        f"{'stage':<8}{'runs':>7}{'ms each':>10}{'share':>8}",
    ]
    for stage, row in document["stages"].items():
        each = f"{row['mean_ms']:>10.2f}" if row["runs"] else f"{'no face':>10}"
        lines.append(f"{stage:<8}{row['runs']:>7}{each}{row['share']:>8.1%}")
    lines.append(f"{'saved':<8}{'count':>7}{'ms':>10}")
    for name, row in document["saved"].items():
        lines.append(f"{name:<8}{row['count']:>7}{row['saved_ms']:>10.1f}  {_SAVED[name]}")
    due = "every frame" if document["every"] == 1 else f"one frame of {document['every']}"
    lines.append(
        f"{document['frame_ms']:.1f} ms a frame instead of {document['without_savings_ms']:.1f}, "
        f"{document['frames_per_s']:.1f} frames a second; a search was due in {due}"
    )
    return lines
