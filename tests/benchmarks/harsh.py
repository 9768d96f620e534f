"""How many faces are found where it is hard: at night, against the light, covered, turned away.

python -m tests.benchmarks.harsh --turned more_faces --out docs/detector/harsh

Scenes of 1280x720 px as in ``tests.benchmarks.sizes``, from photos of the people of LFW's split `final`. Turned heads
are those of ../shared/data/more_faces.csv, if the folder of ``train sources`` with these photos is named: photos that
networks of the released bundle were not fitted on and that show one face by YuNet; the turn is the nose's way beside
the middle of the eyes, in eyes' distances. All detectors see the very same pixels.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np

from edge_runtime.detectors import DetectorOptions, open_detector
from edge_runtime.errors import InputError
from edge_runtime.geometry.alignment import Template, similarity
from edge_runtime.geometry.boxes import iou
from edge_runtime.pictures.reader import read_image
from edge_runtime.types import Pixels
from tests.benchmarks.sizes import FOUND_IOU, YUNET, Finder, Portrait, portraits, scene
from tests.builders import RELEASED, SHARED
from train.data import worn

SIZES_PX = (24, 40, 80)
FRAME_WH = (1280, 720)
TURNS = ((0.0, 0.1), (0.1, 0.2), (0.2, 0.3), (0.3, 0.4), (0.4, 1.0))
_CHIP = 112
_HAT = [np.array([(0.02, 0.3), (0.5, 0.24), (0.98, 0.3), (0.95, -0.3), (0.05, -0.3)])]
"""A cap pulled down to the brows, in shares of an aligned chip."""

Change = Callable[[Pixels, np.random.Generator], Pixels]


def noise(sigma: float) -> Change:
    return lambda pixels, rng: _byte(pixels + rng.normal(0, sigma, pixels.shape))


def infrared(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """A grey picture, bright in the middle where the lamp shines, with noise."""
    height, width = pixels.shape[:2]
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    lamp = np.exp(-(x**2 + y**2))
    grey = 255 * (cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY) / 255.0) ** 0.7 * lamp
    return _byte(np.repeat((grey + rng.normal(0, 6, grey.shape))[..., None], 3, 2))


def dark(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    return _byte(0.15 * pixels + rng.normal(0, 5, pixels.shape))


def veiled(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    return _byte(pixels + 40.0 + rng.normal(0, 3, pixels.shape))


def shaded(person: Portrait, rng: np.random.Generator) -> Portrait:
    return Portrait(_byte(0.2 * person.pixels), person.xyxy)


PICTURES: dict[str, Change] = {
    "as they are": lambda pixels, rng: pixels,
    "grey infrared look": infrared,
    "a seventh of the light, noise": dark,
    "noise of 25 grey values": noise(25),
}


def covered(people: Sequence[Portrait], outlines: Callable[[np.random.Generator], worn.Outlines]) -> list[Portrait]:
    """The same people with something drawn on, where YuNet sees their landmarks."""
    yunet = open_detector(f"yunet:{YUNET}", DetectorOptions(min_face_px=40, score_floor=0.8))
    frame, rng, dressed = Template.arcface(_CHIP, 0).as_array(), np.random.default_rng(0), []
    for person in people:
        faces = yunet.detect(person.pixels)
        matrix = similarity(faces.landmarks[0], frame)
        inverse = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))[:2]
        pixels = np.array(person.pixels)
        shape = np.array(pixels.shape[1::-1])
        parts = [(part * _CHIP @ inverse[:, :2].T + inverse[:, 2]) / shape for part in outlines(rng)]
        light = outlines is not worn.glasses and rng.random() < 0.5
        worn.draw(pixels, parts, (205, 220, 225) if light else rng.integers(10, 60, 3).tolist())
        dressed.append(Portrait(pixels, person.xyxy))
    return dressed


def turned(folder: Path, low: float, high: float, most: int) -> list[Portrait]:
    yunet = open_detector(f"yunet:{YUNET}", DetectorOptions(min_face_px=30, score_floor=0.5))
    with (SHARED / "data/more_faces.csv").open() as file:
        listed = [row for row in csv.DictReader(file) if row["turn"] and low <= abs(float(row["turn"])) < high]
    taken: list[Portrait] = []
    for k in np.random.default_rng(0).permutation(len(listed)):
        path = folder / listed[k]["set"] / Path(listed[k]["path"]).name
        try:
            pixels = read_image(path)
        except InputError:
            continue
        faces = yunet.detect(pixels)
        if len(faces) == 1:
            taken.append(Portrait(pixels, faces.xyxy[0]))
        if len(taken) == most:
            break
    return taken


def recall(
    finders: dict[str, Finder], people: Sequence[Portrait], change: Change, size: int, faces: int
) -> list[float]:
    rng, shown, found = np.random.default_rng(size), 0, [0 for _ in finders]
    while shown < faces:
        pixels, truth = scene(people, size, FRAME_WH, rng)
        pixels = change(pixels, rng)
        shown += len(truth)
        for k, finder in enumerate(finders.values()):
            boxes = finder.detect(pixels).xyxy
            found[k] += int((iou(truth, boxes).max(1, initial=0) >= FOUND_IOU).sum())
    return [count / shown for count in found]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, default=RELEASED)
    parser.add_argument("--faces", type=int, default=72, help="of each size and condition")
    parser.add_argument("--turned", type=Path, help="folder of the photos that more_faces.csv names")
    parser.add_argument("--out", type=Path, help="path without ending")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    finders: dict[str, Finder] = {
        "ours": open_detector(f"bundle:{args.bundle}", DetectorOptions(min_face_px=12)),
        "YuNet": open_detector(f"yunet:{YUNET}", DetectorOptions(min_face_px=8)),
    }
    people = portraits(120)
    conditions = [(name, people, change) for name, change in PICTURES.items()]
    rng = np.random.default_rng(0)
    conditions.append(("against the light", [shaded(person, rng) for person in people], veiled))
    for name, outlines in (("dark glasses", worn.glasses), ("a mask", worn.mask), ("a cap", lambda rng: _HAT)):
        conditions.append((name, covered(people, outlines), PICTURES["as they are"]))
    if args.turned:
        for low, high in TURNS:
            photos = turned(args.turned, low, high, 60)
            conditions.append((f"turned by {low:g} to {high:g}, {len(photos)} photos", photos, PICTURES["as they are"]))
    rows = [f"| found, ours / YuNet | {' | '.join(f'{size} px' for size in SIZES_PX)} |", "|---" * 4 + "|"]
    for name, those, change in conditions:
        shares = [recall(finders, those, change, size, args.faces) for size in SIZES_PX]
        rows.append(f"| {name} | {' | '.join(f'{own:.0%} / {theirs:.0%}' for own, theirs in shares)} |")
        print(rows[-1], flush=True)
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.with_suffix(".md").write_text("\n".join(rows) + "\n")


def _byte(values: np.ndarray) -> Pixels:
    return np.clip(values, 0, 255).astype(np.uint8)


if __name__ == "__main__":
    main()
