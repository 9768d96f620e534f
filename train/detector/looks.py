"""Faces as a refiner sees them: cut from scenes by what a detector found there, right or wrong.

The detector's own errors are what there is to correct, so it searches the scenes itself, down to a score at which it
finds many things that are no face. A frame is where a face's aligned picture is cut: a similarity given by landmarks.
A frame near a face's true one is to be corrected; one far from any is to be refused, be it of a hand, or of a face
whose landmarks are so wrong that nothing good would come of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_runtime.detectors import DetectorOptions, open_detector
from edge_runtime.detectors._refiner import frame, unit_px
from edge_runtime.geometry.alignment import Template, similarity, warp
from edge_runtime.protocols import Detector
from edge_runtime.types import Detections, Floats, Pixels
from train.detector.batches import Batch, open_pool
from train.detector.scenes import PhotoPool, compose, mirrored_scene, spoil
from train.detector.targets import SceneFaces

COLUMNS = 13
"""Numbers a face: whether it is one, the weight of that, the weight of the points, then five points x, y."""
NEAR, FAR = 0.3, 0.55
"""How far a frame may be off to be corrected, and from where on it is refused, in distances of the eyes."""
_FAR_OF_DOUBTFUL = 0.8
_SCORE_FLOOR = 0.05
_MOST_FALSE = 3
"""Of one scene, the surest first; and one more for two true ones."""
_TURNED = 0.12
"""Share of scenes that lie on their side or upside down."""
_JOLTED = 0.5
"""Share of the detector's frames that are also moved at random."""
_LARGE_PX = 36.0
"""Scenes have many small faces and few large ones, which are therefore shown more often."""
_AWAY = 0.2
"""Share of faces of which a frame that is far off is shown."""


@dataclass(frozen=True)
class LookSource:
    """All that decides the faces; see ``batches.BatchSource``.

    Attributes:
        files: labelled photos.
        split: whose photos.
        detector: as for ``detectors.open_detector``; its own refiner, if it has one, is left out.
        scene_wh: width and height of the scenes it searches, px.
        size: side of a face's picture, px.
        batch: faces a batch.
        harsh: how much the camera spoils.
        seed: of all draws.
    """

    files: tuple[Path, ...]
    split: str
    detector: str
    scene_wh: tuple[int, int]
    size: int
    batch: int
    harsh: float
    seed: int

    def open(self) -> Callable[[int, int], Batch]:
        """Targets are float32 (B, ``COLUMNS``)."""
        pool = open_pool(self.files, self.split)
        options = DetectorOptions(min_face_px=1, score_floor=_SCORE_FLOOR, refine=False)
        detector = open_detector(self.detector, options)

        def make(epoch: int, step: int) -> Batch:
            rng = np.random.default_rng([self.seed, epoch, step])
            crops, rows = [], []
            for crop, row in _faces(pool, detector, self, rng):
                crops.append(crop)
                rows.append(row)
                if len(crops) == self.batch:
                    break
            return np.stack(crops), np.stack(rows)

        return make


def _faces(
    pool: PhotoPool, detector: Detector, source: LookSource, rng: np.random.Generator
) -> Iterator[tuple[Pixels, Floats]]:
    """Faces and other things, from ever new scenes, each scene also mirrored and in other light."""
    template = frame(source.size)
    points = template.as_array()
    while True:
        scene = compose(pool, source.scene_wh, rng)
        for pixels, truth in (scene, mirrored_scene(*scene)):
            if rng.random() < _TURNED:
                pixels, truth = _turned(pixels, truth, float(rng.uniform(40, 320)))
            pixels = spoil(pixels, rng, source.harsh)
            looked_at = _frames(detector.detect(pixels).landmarks, truth, template, rng)
            rows = told(looked_at, truth, template)
            for k in np.flatnonzero(rows[:, 1:3].any(1)):
                yield warp(pixels, similarity(looked_at[k], points), template.size_wh), rows[k]


def told(landmarks: Floats, truth: SceneFaces, template: Template) -> Floats:
    """What a refiner should say of the frames that ``landmarks`` (F, 5, 2) give, float32 (F, ``COLUMNS``)."""
    rows = np.zeros((len(landmarks), COLUMNS), np.float32)
    off = frames_off(landmarks, truth.faces.landmarks, template)
    points, unit = template.as_array(), unit_px(template)
    for row, one, far in zip(rows, landmarks, off, strict=True):
        nearest = int(far.argmin()) if len(far) else -1
        if nearest < 0 or truth.doubtful[nearest]:
            row[1] = float(nearest < 0 or far[nearest] > _FAR_OF_DOUBTFUL)
        elif far[nearest] <= NEAR:
            row[:3] = 1
            matrix = similarity(one, points)
            row[3:] = ((truth.faces.landmarks[nearest] @ matrix[:, :2].T + matrix[:, 2] - points) / unit).ravel()
        else:
            row[1] = float(far[nearest] > FAR)
    return rows


def frames_off(found: Floats, true: Floats, template: Template) -> Floats:
    """How far each frame is from each true one, of the template's points, in distances of the eyes.

    Args:
        found: landmarks (F, 5, 2) that give the frames, px.
        true: landmarks (T, 5, 2) that give the true ones, px.
        template: where frames put landmarks.

    Returns:
        float32 (F, T); infinite where landmarks coincide or are not finite.
    """
    # A similarity of the plane is z -> a z + b, with complex numbers as points.
    points = _complex(template.as_array())
    (a, b), (c, d) = (_similarities(_complex(landmarks), points) for landmarks in (found, true))
    with np.errstate(all="ignore"):
        corners = (points - d[:, None]) / c[:, None]  # (T, 5): the template where the true face is
        put = a[:, None, None] * corners + b[:, None, None]
        off = np.abs(put - points).mean(2) / unit_px(template)
    return np.asarray(np.nan_to_num(off.astype(np.float32), nan=np.inf), np.float32)


def _complex(points: Floats) -> NDArray[np.complex128]:
    return np.asarray(points[..., 0] + 1j * points[..., 1], np.complex128)


def _similarities(
    landmarks: NDArray[np.complex128], points: NDArray[np.complex128]
) -> tuple[NDArray[np.complex128], NDArray[np.complex128]]:
    """The least-squares similarities that take landmarks (F, 5) to points (5,), as in ``faces.align``."""
    middle = landmarks.mean(1)
    spread = landmarks - middle[:, None]
    with np.errstate(all="ignore"):
        linear = (spread.conj() * (points - points.mean())).sum(1) / (np.abs(spread) ** 2).sum(1)
    return linear, points.mean() - linear * middle


def _frames(found: Floats, truth: SceneFaces, template: Template, rng: np.random.Generator) -> Floats:
    """Landmarks (F, 5, 2) to look at: of what was found, some of them moved, and frames drawn around faces."""
    true = truth.faces.landmarks
    nearest = frames_off(found, true, template).min(1, initial=np.inf)
    false = np.flatnonzero(nearest > FAR)[: _MOST_FALSE + int((~truth.doubtful).sum()) // 2]
    kept = [*found[nearest <= FAR], *found[false]]
    kept += [_jolted(one, rng, 7.0, 0.07, 0.07) for one in found[nearest <= NEAR] if rng.random() < _JOLTED]
    sure = ~truth.doubtful & np.isfinite(true).all((1, 2))
    for face, size in zip(true[sure], truth.size[sure], strict=True):
        if size > _LARGE_PX:
            kept += [_jolted(face, rng, 8.0, 0.09, 0.08) for _ in range(2)]
        if rng.random() < _AWAY:
            # Too far to be corrected: turned away, of another scale, or aside.
            kind = rng.integers(3)
            turn = rng.uniform(50, 310) if kind == 0 else 0.0
            grown = rng.choice([-1, 1]) * rng.uniform(0.6, 1.1) if kind == 1 else 0.0
            aside = rng.uniform(0.7, 1.6) if kind == 2 else 0.0
            kept.append(_moved(face, turn, grown, aside, float(rng.uniform(0, 2 * np.pi))))
    return np.array(kept, np.float32).reshape(-1, 5, 2)


def _jolted(landmarks: Floats, rng: np.random.Generator, turn: float, grown: float, aside: float) -> Floats:
    """Landmarks moved by a random similarity: degrees, logarithm of the scale, distances of the eyes."""
    return _moved(
        landmarks,
        float(rng.normal(0, turn)),
        float(rng.normal(0, grown)),
        float(abs(rng.normal(0, aside))),
        float(rng.uniform(0, 2 * np.pi)),
    )


def _moved(landmarks: Floats, turn_deg: float, grown: float, aside: float, towards: float) -> Floats:
    middle = landmarks.mean(0)
    angle, scale = np.deg2rad(turn_deg), np.exp(grown)
    linear = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    # Five points spread 0.66 of the eyes' distance about their middle, turned away or not.
    reach = aside * float(np.linalg.norm(landmarks - middle, axis=1).mean()) / 0.66
    shift = reach * np.array([np.cos(towards), np.sin(towards)])
    return np.asarray((landmarks - middle) @ linear.T + middle + shift, np.float32)


def _turned(pixels: Pixels, truth: SceneFaces, turn_deg: float) -> tuple[Pixels, SceneFaces]:
    """A scene turned about its middle; only landmarks are right afterwards, boxes keep their size."""
    height, width = pixels.shape[:2]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), turn_deg, 1.0).astype(np.float32)
    turned = cv2.warpAffine(pixels, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
    faces = truth.faces
    half = (faces.xyxy[:, 2:] - faces.xyxy[:, :2]) / 2
    centre = faces.centre @ matrix[:, :2].T + matrix[:, 2]
    landmarks = faces.landmarks @ matrix[:, :2].T + matrix[:, 2]
    xyxy = np.concatenate([centre - half, centre + half], 1).astype(np.float32)
    moved = Detections(xyxy, faces.score, landmarks.astype(np.float32))
    return np.asarray(turned, np.uint8), SceneFaces(moved, truth.doubtful)
