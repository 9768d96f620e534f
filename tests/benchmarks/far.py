"""From how far the daemon sees and recognises somebody, and what looking closely costs it.

python -m tests.benchmarks.far --out docs/daemon/far

Generated people walk into a room, stand, and go, 25 frames a second; the pipeline gets every frame. Beside it, in the
same run and in turns, the pipeline that looks at the whole frame only (``detect.close_looks = 0``). Costs are process
time; in the quiet room the sensor is noisy and nobody comes. Whether somebody is recognised is asked of photos of
LFW's split `final`: two of each person are enrolled, another is shrunk, laid on a drawing and looked at once.
Distances follow from both and from the lens: a pinhole camera, eyes 63.4 mm apart (mean of 3,976 people, Dodgson,
"Variation and extrema of human interpupillary distance", 2004), and as many such distances to a face's box as these
photos have.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import math
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np

from edge_runtime.bundle.folder import Bundle
from edge_runtime.config import DecideConfig, DetectConfig, parse_config
from edge_runtime.decision.matcher import make_matcher
from edge_runtime.detectors import DetectorOptions
from edge_runtime.faces.chain import FaceChain, central_face
from edge_runtime.gallery.templates import Templates
from edge_runtime.pictures.reader import read_image
from edge_runtime.pipeline import Pipeline
from edge_runtime.sources.synthetic import Scene, SceneOptions
from edge_runtime.types import Detections, Event, Frame, Pixels
from tests.builders import RELEASED, SHARED
from tests.clips import ENTERS_S, visitor
from train.detector.backgrounds import UNSEEN, drawing

FPS = 25.0
FRAMES = ("1280x720", "1920x1080")
SIZES_PX = (24, 32, 40, 60)
NAMED_PX = (20, 24, 28, 32, 40, 48, 64, 90)
NEARLY = 0.95
"""Somebody is recognised where so many times as many are as of the largest faces."""
CLOSE_LOOKS = DetectConfig().close_looks
EYES_M = 0.0634
LENSES = {"Camera Module 2": 62.2, "Camera Module 3": 66.0, "Camera Module 3 Wide": 102.0}
"""Horizontal angles of view by the maker's data sheets."""


def pipeline_for(chain: FaceChain, close_looks: int) -> Pipeline:
    matcher = make_matcher(Templates.empty(chain.encoder.embedding_size), chain.bundle, DecideConfig())
    return Pipeline(chain, matcher, parse_config({"detect": {"close_looks": close_looks}}), "far")


Seen = tuple[float, float]
"""Seconds from when the whole face is in the frame until it has appeared; width of the box then, px."""


def first_seen(scene: Scene, pipelines: dict[str, Pipeline], seconds: float = 3.0) -> dict[str, Seen | None]:
    """By pipeline; None: not within so long."""
    events: dict[str, list[Event]] = {name: [] for name in pipelines}
    whole_s = None
    for seq in itertools.count(round(ENTERS_S * FPS)):
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
    first = {name: next((e for e in told if e.kind == "appeared"), None) for name, told in events.items()}
    return {name: (e.captured_s - whole_s, (e.quality or {})["face_px"]) if e else None for name, e in first.items()}


def quiet(size: str, seconds: float) -> Iterator[Pixels]:
    scene = Scene(SceneOptions(size=size))
    pictures = [scene.render(k / FPS) for k in range(12)]
    return itertools.islice(itertools.cycle(pictures), round(seconds * FPS))


def visited(size: str, face_px: float) -> Iterator[Pixels]:
    scene = visitor(size, face_px)
    return (scene.render(ENTERS_S + k / FPS) for k in range(round((scene.visits[0].end_s - ENTERS_S) * FPS)))


def costs(chain: FaceChain, pictures: Iterator[Pixels]) -> tuple[list[float], list[Pipeline]]:
    """Process time of a second of film, ms, without close looks and with them; a second before does not count."""
    pipelines = [pipeline_for(chain, close_looks) for close_looks in (0, CLOSE_LOOKS)]
    spent_s, counted = [0.0, 0.0], 0
    for seq, pixels in enumerate(pictures):
        frame = Frame(pixels, "far", seq, seq / FPS, seq / FPS)
        for k, pipeline in enumerate(pipelines):
            started = time.process_time()
            pipeline.step(frame)
            spent_s[k] += time.process_time() - started if seq >= FPS else 0.0
        counted += seq >= FPS
    return [1000 * s * FPS / counted for s in spent_s], pipelines


def photos() -> dict[str, list[Path]]:
    """Three photos of each person left out of all fitting who has so many; nobody where LFW is missing."""
    if not (SHARED / "data/lfw_split.csv").is_file():
        return {}
    with (SHARED / "data/lfw_split.csv").open() as file:
        people = [row["person"] for row in csv.DictReader(file) if row["split"] == "final"]
    taken = {person: sorted((SHARED / "data/lfw" / person).glob("*.jpg"))[:3] for person in people}
    return {person: paths for person, paths in taken.items() if len(paths) == 3}


def central(chain: FaceChain, pixels: Pixels) -> Detections:
    """The face that is meant, or none."""
    faces = chain.detector.detect(pixels)
    return faces[[central_face(faces, pixels.shape[1::-1])]] if len(faces) else faces


def shrunk(pixels: Pixels, factor: float, number: int) -> Pixels:
    """A photo on a drawing of 640x480 px, as many times smaller, with a sensor's noise."""
    canvas = drawing((640, 480), UNSEEN + 400_000 + number).copy()
    small = cv2.resize(pixels, None, fx=1 / factor, fy=1 / factor, interpolation=cv2.INTER_AREA)
    y, x = (480 - small.shape[0]) // 2, (640 - small.shape[1]) // 2
    canvas[y : y + small.shape[0], x : x + small.shape[1]] = small
    noisy = canvas + np.random.default_rng(number).normal(0, 3, canvas.shape)
    return np.asarray(np.clip(noisy, 0, 255), np.uint8)


def recognised(chain: FaceChain, people: dict[str, list[Path]]) -> tuple[dict[int, list[bool]], float]:
    """By the face's width in px, whether each got their name from one look; and a box's width in eyes' distances."""
    embeddings, asked, ratios = [], [], []
    for paths in people.values():
        pictures = [read_image(path) for path in paths]
        faces = [central(chain, pixels) for pixels in pictures]
        embeddings += [
            chain.encode(*pair)[0][0] for pair in zip(pictures[:2], [f.landmarks for f in faces[:2]], strict=True)
        ]
        asked.append((pictures[2], float(faces[2].width[0])))
        ratios += [float(f.width[0] / np.linalg.norm(f.landmarks[0, 1] - f.landmarks[0, 0])) for f in faces]
    names, owner = tuple(people), np.repeat(np.arange(len(people)), 2)
    ones = np.ones(len(owner), np.float32)
    templates = Templates(names, owner, np.stack(embeddings), ones, np.arange(len(owner)))
    matcher = make_matcher(templates, chain.bundle, DecideConfig())
    hits: dict[int, list[bool]] = {}
    for size in NAMED_PX:
        hits[size] = []
        for number, (pixels, width) in enumerate(asked):
            looked = shrunk(pixels, width / size, number)
            face = central(chain, looked)
            named = matcher.match(chain.encode(looked, face.landmarks)[0])[0].person if len(face) else None
            hits[size].append(named == names[number])
    return hits, float(np.median(ratios))


def metres(px: float, width: int, degrees: float, box_m: float) -> float:
    """How far somebody is whose box is ``px`` wide in a picture ``width`` px wide."""
    return box_m * width / (2 * px * math.tan(math.radians(degrees) / 2))


def rows(chain: FaceChain, visits: int) -> Iterator[str]:
    yield "| | whole frame only | close looks too |"
    yield "|---|---|---|"
    seen_px: dict[str, float] = {}
    for size in FRAMES:
        for face_px in SIZES_PX:
            seen: dict[str, list[Seen | None]] = {"whole": [], "close": []}
            for seed in range(visits):
                pipelines = {"whole": pipeline_for(chain, 0), "close": pipeline_for(chain, CLOSE_LOOKS)}
                for name, one in first_seen(visitor(size, face_px, seed), pipelines).items():
                    seen[name].append(one)
            if None not in seen["close"]:
                seen_px.setdefault(size, float(np.median([one[1] for one in seen["close"] if one])))
            yield f"| {size}, face of {face_px} px appears after | {' | '.join(map(told, seen.values()))} |"
        for text, pictures in (
            ("quiet room", quiet(size, 15)),
            ("a face of 60 px walks in, stands, and goes", visited(size, 60)),
            ("a face of 30 px", visited(size, 30)),
        ):
            (before, after), pipelines_ = costs(chain, pictures)
            yield f"| {size}, {text}: CPU a second | {before:.0f} ms | {after:.0f} ms ({after / before:.2f} times) |"
            counts = [f"{pipeline.counts['searched']} / {pipeline.counts['closely']}" for pipeline in pipelines_]
            yield f"| ... searches / windows | {' | '.join(counts)} |"
    if people := photos():
        yield ""
        yield from named_rows(chain, people, seen_px)


def named_rows(chain: FaceChain, people: dict[str, list[Path]], seen_px: dict[str, float]) -> Iterator[str]:
    hits, ratio = recognised(chain, people)
    yield f"| width of the face, px | named rightly, one look, {len(people)} people enrolled |"
    yield "|---|---|"
    for size, ok in hits.items():
        yield f"| {size} | {np.mean(ok):.0%} |"
    best = np.mean(hits[NAMED_PX[-1]])
    surely_px = max(
        min(px for px, ok in hits.items() if np.mean(ok) >= NEARLY * best), parse_config({}).quality.min_face_px
    )
    box_m = EYES_M * ratio
    yield ""
    yield f"| lens (horizontal angle) | picture | appears | recognised, from {surely_px:g} px |"
    yield "|---|---|---|---|"
    for lens, degrees in LENSES.items():
        for size, px in seen_px.items():
            width = int(size.partition("x")[0])
            far, near = (metres(w, width, degrees, box_m) for w in (px, surely_px))
            yield f"| {lens} ({degrees:g}°) | {size} | {far:.1f} m ({px:.0f} px) | {near:.1f} m |"
    yield ""
    yield f"A face's box is {1000 * box_m:.0f} mm wide ({ratio:.2f} times the eyes' distance)."


def told(seen: list[Seen | None]) -> str:
    """Median, longest, and how many never."""
    waits = [one[0] for one in seen if one]
    if not waits:
        return f"not within 3 s ({len(seen)} visits)"
    missed = f", {len(seen) - len(waits)} of {len(seen)} not within 3 s" if len(waits) < len(seen) else ""
    return f"{np.median(waits):.2f} s (at most {max(waits):.2f}){missed}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, default=RELEASED)
    parser.add_argument("--visits", type=int, default=4, help="of each size")
    parser.add_argument("--out", type=Path, help="path without ending")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    with closing(FaceChain.open(Bundle(args.bundle), options=DetectorOptions(min_face_px=20))) as chain:
        lines = []
        for row in rows(chain, args.visits):
            print(row, flush=True)
            lines.append(row)
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.with_suffix(".md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
