"""The motion gate beside OpenCV's background subtractors, in rooms where nothing happens and where people come.

python -m tests.benchmarks.motion --out docs/daemon/motion.md

MOG2 and KNN (Zivkovic, van der Heijden, "Efficient adaptive density estimation per image pixel", 2006) get a grey
picture 160 px wide. Their mask is opened by 3x3; where more than a share of it is foreground in two frames in a row,
something has moved, and more than half of it is another scene. Each is tried with several memories, sensitivities and
shares; shown is the one with the least sum of visits missed and time awake, both as shares.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from unittest.mock import patch

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_runtime.bundle.folder import Bundle
from edge_runtime.config import Config
from edge_runtime.detectors import DetectorOptions, open_detector
from edge_runtime.faces.chain import FaceChain
from edge_runtime.pipeline import Pipeline
from edge_runtime.sources.synthetic import Scene, SceneOptions
from edge_runtime.tracking.motion import Motion, MotionGate
from edge_runtime.types import Detections, Pixels
from tests.benchmarks.daemon import CLIP, FACE_PX, SCORE, YUNET, clip_frames, covers, matcher_for
from tests.builders import RELEASED

FPS = 25.0
_SETTLED = 100
_FRAMES = 400
_WIDTH = 160
_CUT = 0.5
_SEEDS = range(6)
_PATIENCE_S = 1.5
"""Somebody who comes in and is not noticed for so long is missed."""


class Gate(Protocol):
    """What ``MotionGate`` is to the pipeline."""

    alert: bool
    cells: NDArray[np.bool_]

    def look(self, pixels: Pixels, captured_s: float) -> Motion:
        """See ``MotionGate.look``."""
        ...


class SubtractorGate:
    """A gate of one of OpenCV's subtractors."""

    def __init__(self, subtractor: Any, share: float) -> None:
        self._subtractor, self._share = subtractor, share
        self.cells = np.ones((24, 40), bool)
        self.alert = False

    def look(self, pixels: Pixels, captured_s: float) -> Motion:
        """See ``MotionGate.look``."""
        height = round(_WIDTH * pixels.shape[0] / pixels.shape[1])
        small = cv2.resize(np.ascontiguousarray(pixels[::2, :, 1]), (_WIDTH, height), interpolation=cv2.INTER_AREA)
        mask = cv2.morphologyEx(self._subtractor.apply(small), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
        share = float(np.count_nonzero(mask)) / mask.size
        before, self.alert = self.alert, share > self._share
        if share > _CUT:
            return "cut"
        return "moved" if before and self.alert else "still"


def candidates() -> dict[str, Callable[[], Gate]]:
    """Gates by name; the settings of a subtractor stand behind it."""
    gates: dict[str, Callable[[], Gate]] = {"own": MotionGate}
    for history, sensitivity, share in itertools.product((100, 500), (4.0, 8.0, 16.0, 50.0), (0.002, 0.01)):
        gates[f"MOG2 history {history}, varThreshold {sensitivity:g}, share {share:g}"] = (
            lambda h=history, s=sensitivity, a=share: SubtractorGate(cv2.createBackgroundSubtractorMOG2(h, s, False), a)
        )
    for history, sensitivity, share in itertools.product((100, 500), (50.0, 150.0, 400.0, 1500.0), (0.002, 0.01)):
        gates[f"KNN history {history}, dist2Threshold {sensitivity:g}, share {share:g}"] = (
            lambda h=history, s=sensitivity, a=share: SubtractorGate(cv2.createBackgroundSubtractorKNN(h, s, False), a)
        )
    return gates


def noisy(picture: np.ndarray, sigma: float, rng: np.random.Generator) -> Pixels:
    """With the noise of a sensor, of one channel as of grey."""
    noise = rng.normal(0, sigma, (*picture.shape[:2], 1))
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


def empty_rooms() -> dict[str, Callable[[], Iterator[Pixels]]]:
    """Scenes of ``_SETTLED + _FRAMES`` pictures in which nobody is."""
    room = Scene(SceneOptions(size="320x240")).render(0.0).astype(np.float32)
    rows = np.arange(240)[:, None, None]

    def scene(light: Callable[[int], Any], sigma: float) -> Callable[[], Iterator[Pixels]]:
        def pictures() -> Iterator[Pixels]:
            rng = np.random.default_rng(0)
            for k in range(_SETTLED + _FRAMES):
                yield noisy(room * light(k), sigma, rng)

        return pictures

    return {
        "noise by day": scene(lambda k: 1.0, 3),
        "noise, high gain": scene(lambda k: 1.0, 12),
        "noise at night": scene(lambda k: 0.15, 12),
        "light that drifts": scene(lambda k: 1 + 0.3 * np.sin(k / 20), 3),
        "lamp that blinks": scene(lambda k: 1.5 if k // 40 % 2 else 1.0, 3),
        "lamp switched on, and off after 6 s": scene(lambda k: 1.5 if 200 <= k < 350 else 1.0, 3),
        "bands of mains light": scene(lambda k: 1 + 0.15 * np.sin(rows / 25 + 1.7 * k), 3),
    }


@dataclass
class Figures:
    """What came of one gate.

    Attributes:
        awake: share of frames that are not still, by empty room.
        missed: visits not noticed within ``_PATIENCE_S``, of ``visits``.
        delays_s: from the first picture of somebody to the first ``moved``.
        cost_us: microseconds a frame, by size.
    """

    awake: dict[str, float] = field(default_factory=dict)
    missed: int = 0
    visits: int = 0
    delays_s: list[float] = field(default_factory=list)
    cost_us: dict[str, float] = field(default_factory=dict)


def judge_visits(gate: Callable[[], Gate], figures: Figures, pictures: list[Pixels], starts_s: list[float]) -> None:
    watching, seen = gate(), []
    for k, picture in enumerate(pictures):
        seen.append(watching.look(picture, k / FPS) != "still")
    for start_s in starts_s:
        first = round(start_s * FPS)
        noticed = [k for k in range(first, min(first + round(_PATIENCE_S * FPS), len(seen))) if seen[k]]
        figures.visits += 1
        figures.missed += not noticed
        figures.delays_s += [(noticed[0] - first) / FPS] if noticed else []


def visits() -> Iterator[tuple[list[Pixels], list[float]]]:
    """Pictures of people who come one by one into a room that has been empty, and when; by day and in the dark."""
    for seed, (light, sigma) in itertools.product(_SEEDS, ((1.0, 3.0), (0.25, 8.0))):
        scene = Scene(SceneOptions(seed=seed, size="320x240", people=2))
        rng = np.random.default_rng(seed)
        empty_s = 6.0
        times = [max(k / FPS - empty_s, 0.0) for k in range(round((empty_s + scene.length_s) * FPS))]
        pictures = [noisy(scene.render(at).astype(np.float32) * light, sigma, rng) for at in times]
        yield pictures, [empty_s + visit.start_s + 0.12 for visit in scene.visits]


def cost_us(gate: Callable[[], Gate], size: str) -> float:
    """Least of several runs over the same noisy pictures, microseconds a frame."""
    rng = np.random.default_rng(0)
    room = Scene(SceneOptions(size=size)).render(0.0).astype(np.float32)
    pictures = [noisy(room, 3, rng) for _ in range(8)]
    watching, spent = gate(), []
    for turn in range(6):
        start = time.process_time()
        for k in range(32):
            watching.look(pictures[k % 8], (32 * turn + k) / FPS)
        spent.append((time.process_time() - start) / 32)
    return 1e6 * min(spent)


def measure(gates: dict[str, Callable[[], Gate]]) -> dict[str, Figures]:
    found = {name: Figures() for name in gates}
    for title, pictures in empty_rooms().items():
        watching = {name: gate() for name, gate in gates.items()}
        for k, picture in enumerate(pictures()):
            for name, one in watching.items():
                awake = one.look(picture, k / FPS) != "still" and k >= _SETTLED
                found[name].awake[title] = found[name].awake.get(title, 0.0) + awake / _FRAMES
    for shown, starts_s in visits():
        for name, gate in gates.items():
            judge_visits(gate, found[name], shown, starts_s)
    return found


def on_the_clip(gate: Callable[[], Gate], bundle: Bundle, found: list[Detections]) -> tuple[int, float]:
    """Frames searched by the pipeline, and the share of another detector's faces that a track covers."""
    with (
        patch("edge_runtime.tracking.attention.MotionGate", gate),
        FaceChain.open(bundle, options=DetectorOptions(min_face_px=20)) as chain,
    ):
        pipeline = Pipeline(chain, matcher_for(chain, chain.detector), Config(), "clip")
        covered, count = 0, 0
        for frame, faces in zip(clip_frames(), found, strict=True):
            pipeline.step(frame)
            followed = [box for _, box in pipeline.tracks]
            boxes = faces.xyxy[faces.width >= FACE_PX]
            covered += sum(covers(followed, box) for box in boxes)
            count += len(boxes)
    return pipeline.counts["searched"], covered / count


def chosen(found: dict[str, Figures], kind: str) -> str:
    """The settings with the least sum of visits missed and time awake."""

    def costs(name: str) -> float:
        figures = found[name]
        return figures.missed / figures.visits + float(np.mean(list(figures.awake.values())))

    return min((name for name in found if name.startswith(kind)), key=costs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    gates = candidates()
    found = measure(gates)
    names = ["own", chosen(found, "MOG2"), chosen(found, "KNN")]
    for name in names:
        found[name].cost_us = {size: cost_us(gates[name], size) for size in ("640x480", "1920x1080")}
    lines = [f"| | {' | '.join(names)} |", "|---" * 4 + "|"]
    own = found["own"]
    for size in own.cost_us:
        cells = [
            f"{f.cost_us[size]:.0f} us, {f.cost_us[size] / own.cost_us[size]:.1f} times"
            for f in map(found.get, names)
            if f
        ]
        lines.append(f"| CPU a frame of {size} | {' | '.join(cells)} |")
    for title in own.awake:
        lines.append(
            f"| awake in an empty room: {title} | {' | '.join(f'{found[n].awake[title]:.1%}' for n in names)} |"
        )
    lines.append(f"| visits missed | {' | '.join(f'{found[n].missed} of {found[n].visits}' for n in names)} |")
    lines.append(f"| noticed after, median | {' | '.join(f'{np.median(found[n].delays_s):.2f} s' for n in names)} |")
    if CLIP.exists():
        bundle = Bundle(RELEASED)
        yunet = open_detector(f"yunet:{YUNET}", DetectorOptions(min_face_px=10, score_floor=SCORE))
        faces = [yunet.detect(frame.pixels) for frame in clip_frames()]
        rows = [on_the_clip(gates[name], bundle, faces) for name in names]
        lines.append(f"| real clip: frames searched of {len(faces)} | {' | '.join(str(n) for n, _ in rows)} |")
        lines.append(f"| real clip: YuNet's faces covered by a track | {' | '.join(f'{c:.1%}' for _, c in rows)} |")
    args.out.write_text("\n".join(lines) + "\n")
    print("\n".join(lines))
    for name, figures in found.items():
        print(f"{name}: missed {figures.missed}, awake {', '.join(f'{v:.1%}' for v in figures.awake.values())}")


if __name__ == "__main__":
    main()
