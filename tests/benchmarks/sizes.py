"""How small a face is found, at what cost, and what is taken for a face where there is nobody.

python -m tests.benchmarks.sizes --out docs/detector/sizes

Scenes of 1280x720 and 1920x1080 px are composed from photos of the people of LFW's split `final`, which no network of
the released bundle was fitted on, softly laid on drawings; where the photos are missing, from generated people. All
detectors see the very same pixels, with one thread, in turns. A face counts as found at an IoU of 0.4. Pictures
without people are drawings and quilts of the photos' corners in which YuNet sees nothing at a sixth of its score.
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from edge_runtime.detectors import DetectorOptions, open_detector
from edge_runtime.geometry.boxes import iou
from edge_runtime.pictures.reader import read_image
from edge_runtime.sources.synthetic import PORTRAITS, still
from edge_runtime.types import NOWHERE, Detections, Floats, Pixels
from tests.builders import RELEASED, SHARED
from train.detector.backgrounds import UNSEEN, drawing

YUNET = SHARED / "reference/yunet_n_320.onnx"
SIZES_PX = (16, 20, 24, 32, 40, 48, 64, 90, 130, 200)
FRAMES_WH = ((1280, 720), (1920, 1080))
FOUND_IOU = 0.4
_TRIES = 60


class Finder(Protocol):
    """What a detector is here."""

    def detect(self, pixels: Pixels) -> Detections:
        """See ``protocols.Detector``."""
        ...


class Whole:
    """A detector's look at the whole picture, shrunk, and no closer one."""

    def __init__(self, folder: Path) -> None:
        self._detector = open_detector(f"bundle:{folder}", DetectorOptions(min_face_px=8))

    def detect(self, pixels: Pixels) -> Detections:
        return self._detector.detect(pixels, windows=NOWHERE)


@dataclass(frozen=True)
class Portrait:
    """A photo and the box of the face in it, xyxy px."""

    pixels: Pixels
    xyxy: Floats


@dataclass
class Result:
    """What one detector did.

    Attributes:
        found: by size of the faces, whether each was found.
        doubles: further boxes on faces that were found.
        phantoms_px: widths of boxes where there is nobody.
        cpu_s: process time of each picture with people.
        quiet_s: process time of each without.
    """

    found: dict[int, list[bool]] = field(default_factory=lambda: defaultdict(list))
    doubles: int = 0
    phantoms_px: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)
    quiet_s: list[float] = field(default_factory=list)


def portraits(most: int) -> list[Portrait]:
    """Photos of people who were left out of all fitting, or generated people."""
    if not (YUNET.is_file() and (SHARED / "data/lfw_split.csv").is_file()):
        half = 0.42 * 176 * 170.0 / (0.84 * 176)
        box = np.array([200 - half, 190 - half, 200 + half, 190 + half], np.float32)
        return [Portrait(still(read_image(path), k), box) for k in range(5) for path in sorted(PORTRAITS.glob("*.png"))]
    yunet = open_detector(f"yunet:{YUNET}", DetectorOptions(min_face_px=40, score_floor=0.8))
    taken = []
    with (SHARED / "data/lfw_split.csv").open() as file:
        people = [row["person"] for row in csv.DictReader(file) if row["split"] == "final"]
    for person in people[:most]:
        pixels = read_image(SHARED / f"data/lfw/{person}/{person}_0001.jpg")
        faces = yunet.detect(pixels)
        if len(faces) == 1:
            taken.append(Portrait(pixels, faces.xyxy[0]))
    return taken


def scene(
    people: Sequence[Portrait], size: int, wh: tuple[int, int], rng: np.random.Generator
) -> tuple[Pixels, Floats]:
    """A drawing with as many people as fit, at most 12, their faces ``size`` px wide; and their boxes (N, 4)."""
    canvas = drawing(wh, UNSEEN + int(rng.integers(10_000))).copy()
    boxes, places = [], np.zeros((0, 4), np.float32)
    for _ in range(_TRIES):
        if len(boxes) == 12:
            break
        person = people[int(rng.integers(len(people)))]
        scale = size * rng.uniform(0.95, 1.05) / (person.xyxy[2] - person.xyxy[0])
        height, width = (max(round(side * scale), 1) for side in person.pixels.shape[:2])
        if width > wh[0] or height > wh[1]:
            continue
        x, y = int(rng.integers(wh[0] - width + 1)), int(rng.integers(wh[1] - height + 1))
        place = np.array([[x, y, x + width, y + height]], np.float32)
        if iou(place, places).any():
            continue
        places = np.concatenate([places, place])
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        photo = cv2.resize(person.pixels, (width, height), interpolation=how)
        rows, columns = (1 - np.abs(np.linspace(-1, 1, side)) ** 12 for side in (height, width))
        opacity = np.outer(rows, columns)[..., None]
        part = canvas[y : y + height, x : x + width]
        part[:] = np.clip(opacity * photo + (1 - opacity) * part, 0, 255)
        boxes.append(person.xyxy * scale + np.array([x, y, x, y]))
    noisy = canvas + rng.normal(0, 3, (*canvas.shape[:2], 1))
    return np.clip(noisy, 0, 255).astype(np.uint8), np.array(boxes, np.float32)


def quilt(people: Sequence[Portrait], wh: tuple[int, int], rng: np.random.Generator) -> Pixels:
    """The photos' upper corners side by side, where nobody is."""
    canvas = np.zeros((wh[1], wh[0], 3), np.uint8)
    yunet = open_detector(f"yunet:{YUNET}", DetectorOptions(min_face_px=4, score_floor=0.1))
    for y in range(0, wh[1], 180):
        for x in range(0, wh[0], 160):
            part = canvas[y : y + 180, x : x + 160]
            for _ in range(20):
                photo = people[int(rng.integers(len(people)))].pixels
                corner = photo[:72, :64] if rng.random() < 0.5 else photo[:72, -64:]
                large = cv2.resize(np.ascontiguousarray(corner), (160, 180), interpolation=cv2.INTER_CUBIC)
                if not len(yunet.detect(large)):
                    part[:] = large[: part.shape[0], : part.shape[1]]
                    break
    return canvas


def looked_at(finders: dict[str, Finder], pixels: Pixels) -> Iterator[tuple[str, Detections, float]]:
    for name, finder in finders.items():
        started = time.process_time()
        faces = finder.detect(pixels)
        yield name, faces, time.process_time() - started


def measure(finders: dict[str, Finder], wh: tuple[int, int], faces: int, quiet: int) -> dict[str, Result]:
    """Every detector on scenes with at least ``faces`` faces of each size, and on ``quiet`` pictures of each kind."""
    rng = np.random.default_rng(wh[0])
    people, results = portraits(200), {name: Result() for name in finders}
    for size in SIZES_PX:
        shown = 0
        while shown < faces:
            pixels, truth = scene(people, size, wh, rng)
            shown += len(truth)
            for name, found, cpu_s in looked_at(finders, pixels):
                overlaps = iou(truth, found.xyxy)
                hit = overlaps.max(1, initial=0) >= FOUND_IOU
                results[name].found[size] += hit.tolist()
                middles = (found.centre[None] > truth[:, None, :2]) & (found.centre[None] < truth[:, None, 2:])
                results[name].doubles += int(np.maximum(middles.all(2).sum(1) - 1, 0).sum())
                results[name].cpu_s.append(cpu_s)
    for number in range(quiet):
        pictures = [drawing(wh, UNSEEN + 20_000 + number)]
        pictures += [quilt(people, wh, rng)] if YUNET.is_file() else []
        for pixels in pictures:
            for name, found, cpu_s in looked_at(finders, pixels):
                results[name].phantoms_px += found.width.tolist()
                results[name].quiet_s.append(cpu_s)
    return results


def table(results: dict[str, Result], wh: tuple[int, int]) -> list[str]:
    """Rows of Markdown."""
    names = list(results)
    rows = [f"| {wh[0]}x{wh[1]} | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for size in SIZES_PX:
        count = len(results[names[0]].found[size])
        shares = " | ".join(f"{np.mean(result.found[size]):.0%}" for result in results.values())
        rows.append(f"| faces of {size} px found, of {count} | {shares} |")
    rows.append(f"| further boxes on the same faces | {' | '.join(str(r.doubles) for r in results.values())} |")
    quiet = len(results[names[0]].quiet_s)
    for which, low, high in (("less than 40 px", 0, 40), ("40 to 79 px", 40, 80), ("80 px and more", 80, np.inf)):
        counts = [sum(low <= px < high for px in result.phantoms_px) for result in results.values()]
        rows.append(f"| boxes of {which} in {quiet} pictures without people | {' | '.join(map(str, counts))} |")
    last = results[names[-1]]
    for text, key in (("with people", "cpu_s"), ("without", "quiet_s")):
        ratios = [np.median(np.divide(getattr(r, key), getattr(last, key))) for r in results.values()]
        rows.append(f"| time / that of {names[-1]}, {text} | {' | '.join(f'{ratio:.2f}' for ratio in ratios)} |")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, default=RELEASED)
    parser.add_argument("--faces", type=int, default=60, help="of each size")
    parser.add_argument("--quiet", type=int, default=50, help="pictures without people, of each kind")
    parser.add_argument("--out", type=Path, help="path without ending")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    rows, document = [], {}
    for wh in FRAMES_WH:
        finders: dict[str, Finder] = {
            "whole": Whole(args.bundle),
            "closely, from 12 px": open_detector(f"bundle:{args.bundle}", DetectorOptions(min_face_px=12)),
            "closely, from 20 px": open_detector(f"bundle:{args.bundle}", DetectorOptions(min_face_px=20)),
        }
        if YUNET.is_file():
            finders["YuNet"] = open_detector(f"yunet:{YUNET}", DetectorOptions(min_face_px=8))
        results = measure(finders, wh, args.faces, args.quiet)
        rows += [*table(results, wh), ""]
        document[f"{wh[0]}x{wh[1]}"] = {name: result.__dict__ for name, result in results.items()}
    print("\n".join(rows), end="")
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.with_suffix(".md").write_text("\n".join(rows))
        args.out.with_suffix(".json").write_text(json.dumps(document) + "\n")


if __name__ == "__main__":
    main()
