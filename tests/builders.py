"""Small makers of valid values; every test states only what it cares about."""

from __future__ import annotations

import functools
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edge_runtime.bundle.folder import Bundle, file_digest
from edge_runtime.bundle.manifest import SCHEMA
from edge_runtime.bundle.preprocessing import Preprocessing
from edge_runtime.detectors.bundle import read_sheet
from edge_runtime.faces.encoder import TfliteEncoder
from edge_runtime.faces.golden import DETECTOR_GOLDEN
from edge_runtime.geometry.alignment import Template
from edge_runtime.interpreters import open_interpreter
from edge_runtime.types import Detections, Event, Frame, Pixels

ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared"
"""Real photos and clips beside the checkout; tests that want them skip where they are missing."""
TINY_MODEL = Path(__file__).parent / "golden" / "tiny.tflite"
_FACE_SEEDS = (0, 3, 11, 15, 24, 43, 52)
BOX_POINTS = np.array([[0.309, 0.394], [0.691, 0.394], [0.500, 0.615], [0.334, 0.793], [0.667, 0.793]], np.float32)
"""Where a drawn face has its landmarks, in shares of its width from the left and top of the square around it."""
RELEASED = ROOT / "models" / "released" / "default"
TINY_PREPROCESSING = Preprocessing("grey", (127.5,), (127.5,), Template.arcface(28, 6))


def make_pixels(height: int = 120, width: int = 160, seed: int = 0) -> Pixels:
    """Smooth random colours: no face."""
    return _smooth(height, width, seed).copy()


@functools.lru_cache(200)
def _smooth(height: int, width: int, seed: int) -> Pixels:
    noise = np.random.default_rng(seed).normal(size=(height, width, 3))
    smooth = cv2.GaussianBlur(noise, (0, 0), 12)
    return np.clip(127 + 60 * smooth / smooth.std(), 0, 255).astype(np.uint8)


def draw_face(person: int = 0, width: int = 160, background: int = 0) -> Pixels:
    """A drawn face, uint8 (1.5 w, 1.5 w, 3) RGB; ``person`` is 0 to 6; the detector finds each at
    60 to 220 px, and whom the tiny model tells apart (same person: cosine > 0.85, others: < 0.7).
    """
    return _drawn(person, width, background).copy()


@functools.lru_cache(200)
def _drawn(person: int, width: int, background: int) -> Pixels:
    rng = np.random.default_rng(1000 + _FACE_SEEDS[person])
    side = int(width * 1.5)
    picture = make_pixels(side, side, 500 + background) // 2 + 40
    unit = width / 100
    cx = cy = side / 2

    def ellipse(dx: float, dy: float, rx: float, ry: float, colour: tuple[int, ...], angle: float = 0.0) -> None:
        centre = (round(cx + dx * unit), round(cy + dy * unit))
        axes = (max(round(rx * unit), 1), max(round(ry * unit), 1))
        cv2.ellipse(picture, centre, axes, angle, 0, 360, colour, -1, cv2.LINE_AA)

    skin = np.array([205, 165, 140]) - rng.integers(0, 70)
    shade = tuple(int(v) for v in skin * 0.8)
    dark = tuple(int(v) for v in skin * rng.uniform(0.15, 0.35))
    hair = tuple(int(v) for v in rng.integers(10, 120, 3))
    ellipse(0, -14, 52 + rng.uniform(-4, 4), 62 + rng.uniform(-8, 8), hair)
    ellipse(0, 4, 41 + rng.uniform(-3, 4), 54 + rng.uniform(-4, 5), tuple(int(v) for v in skin))
    gap, eye_y = 18 + rng.uniform(-1.5, 1.5), -9 + rng.uniform(-2, 2)
    brow, tilt = rng.uniform(2, 5), rng.uniform(-12, 12)
    for sign in (-1, 1):
        ellipse(sign * gap, eye_y, 12, 8, shade)
        ellipse(sign * gap, eye_y + 1, rng.uniform(7, 9), rng.uniform(3.5, 5), (235, 230, 225))
        ellipse(sign * gap, eye_y + 1, rng.uniform(3.5, 5), rng.uniform(3.5, 5), dark)
        ellipse(sign * gap, eye_y - 12, 12, brow, dark, sign * tilt)
    ellipse(0, 10, 6 + rng.uniform(-1, 3), 9, shade)
    ellipse(0, 18, 8 + rng.uniform(-2, 3), 3, tuple(int(v) for v in skin * 0.65))
    ellipse(0, 33 + rng.uniform(-2, 2), rng.uniform(12, 20), rng.uniform(2.5, 6), tuple(int(v) for v in (150, 60, 70)))
    if rng.random() < 0.4:
        ellipse(0, 46, rng.uniform(14, 26), 7, dark)
    # A shading of the person's own, at the same place on the face whatever its size, so that codes differ.
    shading = cv2.GaussianBlur(rng.normal(size=(64, 64)), (0, 0), 5)
    shading = cv2.resize(28 * shading / shading.std(), (side, side), interpolation=cv2.INTER_CUBIC)
    shaded = np.clip(picture + shading[..., None], 0, 255).astype(np.uint8)
    return np.asarray(cv2.GaussianBlur(shaded, (0, 0), max(0.012 * width, 0.5)), np.uint8)


def make_frame(pixels: Pixels | None = None, seq: int = 0, captured_s: float | None = None, camera: str = "c") -> Frame:
    at = seq / 25 if captured_s is None else captured_s
    return Frame(make_pixels() if pixels is None else pixels, camera, seq, at, 1_700_000_000 + at)


def make_event(number: int = 0, **fields: Any) -> Event:
    """An event of one second after the other, whose ``captured_s`` is its number."""
    values = {"kind": "unknown", "camera": "door", "wall_time": 1_700_000_000.0 + number, "captured_s": float(number)}
    return Event(**(values | fields))


def make_detections(*xywh: tuple[float, float, float, float], score: float = 0.9) -> Detections:
    """Detections at boxes given as left, top, width, height, with landmarks where a face has them."""
    if not xywh:
        return Detections.empty()
    boxes = np.asarray(xywh, np.float32)
    landmarks = boxes[:, None, :2] + BOX_POINTS * boxes[:, None, 2:]
    xyxy = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1)
    return Detections(xyxy, np.full(len(boxes), score, np.float32), landmarks)


def make_bundle(
    folder: Path, strangers: int = 400, seed: int = 0, with_files: Callable[[Path], None] = lambda folder: None
) -> Bundle:
    """A whole bundle around the tiny test model, with random strangers and real golden outputs.

    ``with_files`` may add files to the folder before the manifest is written.
    """
    folder.mkdir(parents=True)
    shutil.copy(TINY_MODEL, folder / "encoder.tflite")
    interpreter = open_interpreter("auto", folder / "encoder.tflite")
    chips = np.stack([make_pixels(28, 28, seed + i) for i in range(4)])
    codes, _ = TfliteEncoder(interpreter, TINY_PREPROCESSING).encode(chips)
    np.savez(folder / "golden.npz", chips=chips, codes=codes)
    cohort = np.random.default_rng(seed).normal(size=(strangers, 32))
    cohort = np.rint(127 * cohort / np.abs(cohort).max(1, keepdims=True)).astype(np.int8)
    np.savez(folder / "cohort.npz", codes=cohort)
    (folder / "CARD.md").write_text("# a bundle for tests\n")
    for name in (*read_sheet(RELEASED).files, DETECTOR_GOLDEN):
        shutil.copy(RELEASED / name, folder / name)
    with_files(folder)
    write_manifest(folder, strangers)
    return Bundle(folder)


def write_manifest(folder: Path, strangers: int = 400, detector: Mapping[str, Any] | None = None) -> None:
    """Write the manifest of a test bundle over the files in ``folder`` now; its detector is the released one."""
    files = {}
    for path in sorted(folder.iterdir()):
        if path.name != "manifest.json":
            digest, size = file_digest(path)
            files[path.name] = {"sha256": digest, "bytes": size}
    template = TINY_PREPROCESSING.template
    manifest = {
        "schema": SCHEMA,
        "name": "tiny",
        "files": files,
        "encoder": {
            "file": "encoder.tflite",
            "colour": TINY_PREPROCESSING.colour,
            "mean": TINY_PREPROCESSING.mean,
            "std": TINY_PREPROCESSING.std,
            "template": {"points": template.points, "size_wh": template.size_wh},
            "code_size": 32,
        },
        "detector": detector or Bundle(RELEASED).manifest.detector_sheet.as_json(),
        "cohort": {"people": strangers},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
