"""Pictures for a device's self-test, of nobody: made by a seed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from convert.model.writer import write_arrays
from edge_runtime.bundle.manifest import GOLDEN_COSINE
from edge_runtime.errors import BundleError
from edge_runtime.faces.encoder import TfliteEncoder
from edge_runtime.pictures.reader import read_image
from edge_runtime.sources.synthetic import PORTRAITS, Scene, SceneOptions
from edge_runtime.types import Floats, Pixels

GOLDEN_FILE = "golden.npz"
_CANDIDATES = 4


def face_chips(count: int, size_wh: tuple[int, int], seed: int = 0) -> Pixels:
    """The drawn portraits in turn, each a little turned, moved and tinted, uint8 (count, h, w, 3) RGB."""
    rng = np.random.default_rng(seed)
    portraits = [read_image(path) for path in sorted(PORTRAITS.glob("*.png"))]
    middle = (size_wh[0] / 2, size_wh[1] / 2)
    chips = np.empty((count, size_wh[1], size_wh[0], 3), np.uint8)
    for number, chip in enumerate(chips):
        face = cv2.resize(portraits[number % len(portraits)], size_wh, interpolation=cv2.INTER_AREA)
        matrix = cv2.getRotationMatrix2D(middle, rng.uniform(-8, 8), rng.uniform(0.95, 1.1))
        matrix[:, 2] = matrix[:, 2] + rng.uniform(-0.04, 0.04, 2) * size_wh
        face = cv2.warpAffine(face, matrix, size_wh, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        chip[:] = np.clip(face * rng.uniform(0.8, 1.15) * rng.uniform(0.93, 1.07, 3), 0, 255)
    return chips


@dataclass(frozen=True)
class SelfTest:
    """What a manifest says of it: how many golden outputs, and the least cosine that passes."""

    chips: int
    cosine: float


def write_self_test(encoder: TfliteEncoder, size_wh: tuple[int, int], count: int, seed: int, folder: Path) -> SelfTest:
    """Make the golden outputs of an encoder and write them into a bundle's folder.

    Raises:
        BundleError: see :func:`make_golden`.
    """
    chips, codes = make_golden(encoder, size_wh, count, seed)
    write_arrays(folder / GOLDEN_FILE, {"chips": chips, "codes": codes})
    return SelfTest(len(chips), golden_floor(encoder, chips, codes))


def make_golden(encoder: TfliteEncoder, size_wh: tuple[int, int], count: int, seed: int = 0) -> tuple[Pixels, Floats]:
    """Chips for the self-test and the codes they must give.

    They show faces: the code of anything else is short, so that a last bit which two interpreters round differently
    weighs too much in it. Of several times as many, those with codes of the most usual length are kept: a very long
    one is clipped at the ends of int8, and a zero one would test nothing.

    Returns:
        uint8 (count, h, w, 3) RGB and float32 (count, D) of unit length.

    Raises:
        BundleError: the model gives too few of them a code.
    """
    chips = face_chips(_CANDIDATES * count, size_wh, seed)
    codes, norms = encoder.encode(chips)
    usable = norms > 0
    distance = np.where(usable, np.abs(norms - np.median(norms[usable] if usable.any() else norms)), np.inf)
    kept = np.sort(np.argsort(distance, kind="stable")[:count])
    if not usable[kept].all():
        raise BundleError(
            f"golden chips: expected codes for {count} drawn pictures, found {int(usable.sum())} of "
            f"{len(chips)} that are not zero; the encoder is dead, train it again"
        )
    return chips[kept], codes[kept]


def golden_floor(encoder: TfliteEncoder, chips: Pixels, codes: Floats) -> float:
    """The least cosine that passes the self-test: half way from 1 to what a swap of red and blue leaves.

    Never below ``GOLDEN_COSINE``; an encoder whose codes all are alike needs it nearer to 1, or it would not notice.
    """
    swapped, _ = encoder.encode(np.ascontiguousarray(chips[..., ::-1]))
    left = float((swapped * codes).sum(1).min())
    return round(max(GOLDEN_COSINE, (1 + left) / 2), 6)


def detector_pictures() -> Pixels:
    """Pictures for a detector's self-test, uint8 (N, 240, 320, 3) RGB: of people who do not exist, and an empty one."""
    scene = Scene(SceneOptions(seed=1))
    moments = np.linspace(0, scene.length_s, 26)[1:-1]
    crowded = sorted(moments, key=lambda at_s: -len(scene.showing(float(at_s))))[:3]
    frames = [scene.render(float(at_s)) for at_s in (*crowded, 0.0)]
    return np.stack([cv2.resize(frame, (320, 240), interpolation=cv2.INTER_AREA) for frame in frames])
