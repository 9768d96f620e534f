"""``python -m train evaluate DETECTOR --labelled FILE``: how well faces are found of people nothing was fitted on.

Faces and places are compared with labels, which a teacher made with six looks at each whole photo; on scenes a second
detector (``--against``) is measured on the very same pixels, at the threshold at which both raise as many false alarms.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from edge_runtime.detectors import DetectorOptions, open_detector
from edge_runtime.drawing.contact_sheet import GREEN, RED, Tile, draw_sheet
from edge_runtime.errors import InputError
from edge_runtime.faces.chain import central_face
from edge_runtime.geometry.boxes import iou
from edge_runtime.protocols import Detector
from edge_runtime.storage.files import replacing
from edge_runtime.types import Detections, Floats, Pixels
from train.data.labelled import LabelledPhotos
from train.detector.backgrounds import UNSEEN, drawing
from train.detector.scenes import PhotoPool, make_scene
from train.detector.targets import SceneFaces, face_size

BINS_PX = (12.0, 16.0, 24.0, 48.0, 120.0, np.inf)
"""Edges of the bins of size: the square root of a face's area, px of a scene."""
_SCENE_WH = (320, 240)
_HARSH = 0.5
_FOUND_IOU = 0.4
_OVERLAPS = 0.3
_LOW_SCORE = 0.02
_ALARMS_A_SCENE = (0.02, 0.05, 0.1, 0.2)
_DRAWINGS = 300
_TURNS_DEG = (30, 60, 90, 135, 180)
_SOUND = 0.15
"""A detection is sound if each landmark lies within this share of the face's size of where it is."""
_SHOWN = 24


def evaluate_detector(
    spec: str, labelled: Path, split: str, against: str | None, scenes: int, seed: int, out: Path | None
) -> dict[str, Any]:
    """Every figure, JSON-ready; pictures of the worst beside ``out``.

    Args:
        spec: as for ``detectors.open_detector``.
        labelled: photos and labels of ``python -m train label``.
        split: whose photos.
        against: a second detector, for the scenes; None: the first one alone.
        scenes: how many.
        seed: of the scenes.
        out: the JSON file to be; pictures go beside it. None for no pictures.

    Raises:
        InputError: nobody of the split.
    """
    photos = LabelledPhotos.load(labelled)
    indices = photos.indices(split)
    pool = PhotoPool.of_split([photos], split)
    if not len(indices) or not len(pool):
        raise InputError(f"{labelled}: expected photos with faces of the split {split}, found none; name another")
    detector = open_detector(spec, DetectorOptions(min_face_px=1))
    low = open_detector(spec, DetectorOptions(min_face_px=1, score_floor=_LOW_SCORE))
    document: dict[str, Any] = {
        "kind": "detector",
        "detector": detector.name,
        "labels": photos.labeller,
        "people": split,
        "photos": measure_photos(detector, photos, indices),
        "faceless": measure_drawings(detector),
        "turned": measure_turned(detector, photos, indices),
    }
    made = [make_scene(pool, _SCENE_WH, np.random.default_rng([seed, k]), _HARSH) for k in range(scenes)]
    ours = Hits.of(low, made)
    document["scenes"] = {"scenes": scenes, "seed": seed, "sizes_px": [*BINS_PX[:-1]], "faces": ours.counts()}
    curves = {detector.name: ours}
    if against:
        other = open_detector(against, DetectorOptions(min_face_px=1, score_floor=_LOW_SCORE))
        curves[other.name] = Hits.of(other, made)
    for name, hits in curves.items():
        document["scenes"][name] = {str(rate): hits.recall_at(rate * scenes) for rate in _ALARMS_A_SCENE}
    if out is not None:
        with replacing(out.with_suffix(".png")) as draft:
            Image.fromarray(_worst(detector, made)).save(draft)
    return document


def measure_photos(detector: Detector, photos: LabelledPhotos, indices: NDArray[np.int64]) -> dict[str, float]:
    """Whole photos: is the central face found, what else is, and how far off the landmarks are."""
    found = unconfirmed = 0
    errors: list[float] = []
    counted = 0
    for index in tqdm(indices.tolist(), unit="photo", disable=None, delay=2, leave=False):
        labels, pixels = photos.faces(index), photos.pixels(index)
        faces = detector.detect(pixels)
        overlaps = iou(faces.xyxy, labels.xyxy)
        unconfirmed += int((overlaps.max(1, initial=0) < _OVERLAPS).sum())
        sure = labels[labels.score >= 0.5]
        if not len(sure):
            continue
        counted += 1
        which = central_face(sure, (pixels.shape[1], pixels.shape[0]))
        near = iou(sure.xyxy[which : which + 1], faces.xyxy)[0] if len(faces) else np.zeros(0, np.float32)
        if near.max(initial=0) >= _FOUND_IOU:
            found += 1
            errors.append(landmark_error(faces.landmarks[int(near.argmax())], sure.landmarks[which]))
    return {
        "photos": len(indices),
        "central_found": found / max(counted, 1),
        "unconfirmed_a_photo": unconfirmed / len(indices),
        "landmark_error_mean": float(np.mean(errors)) if errors else float("nan"),
        "landmark_error_p90": float(np.quantile(errors, 0.9)) if errors else float("nan"),
    }


def landmark_error(found: Floats, true: Floats) -> float:
    """Mean distance of five landmarks (5, 2) as a share of the distance of the eyes (normalised mean error)."""
    apart = float(np.linalg.norm(true[0] - true[1]))
    return float(np.linalg.norm(found - true, axis=1).mean() / max(apart, 1e-6))


def measure_drawings(detector: Detector) -> dict[str, float]:
    """Drawn pictures without a face: textures, text, checkers, shapes, animals."""
    boxes = [len(detector.detect(drawing(_SCENE_WH, UNSEEN + number))) for number in range(_DRAWINGS)]
    return {"pictures": _DRAWINGS, "boxes": sum(boxes), "pictures_with_boxes": sum(map(bool, boxes))}


def measure_turned(
    detector: Detector, photos: LabelledPhotos, indices: NDArray[np.int64], most: int = 150
) -> dict[str, dict[str, float]]:
    """Turned photos: how often the face is found with sound landmarks, wrongly, or not at all."""
    shares: dict[str, dict[str, float]] = {}
    for turn in _TURNS_DEG:
        counts = {"sound": 0, "wrong": 0, "nothing": 0}
        for index in indices[:most].tolist():
            pixels, labels = photos.pixels(index), photos.faces(index)
            if not len(labels):
                continue
            height, width = pixels.shape[:2]
            which = central_face(labels, (width, height))
            matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), turn, 1.0)
            turned = cv2.warpAffine(pixels, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
            points = labels.landmarks[which] @ matrix[:, :2].T + matrix[:, 2]
            size = float(face_size(labels)[which])
            found = detector.detect(np.asarray(turned, np.uint8))
            near = np.linalg.norm(found.landmarks - points, axis=2).max(1) / size if len(found) else np.ones(0)
            inside = np.linalg.norm(found.centre - points.mean(0), axis=1) < size / 2
            counts["sound" if (near < _SOUND).any() else "wrong" if inside.any() else "nothing"] += 1
        shares[str(turn)] = {name: count / max(sum(counts.values()), 1) for name, count in counts.items()}
    return shares


@dataclass(frozen=True)
class Hits:
    """What a detector did on scenes.

    Attributes:
        size: float32 (F,), of every face to be found, px.
        score: float32 (F,), of the detection that found it; 0 where none did.
        alarms: float32 (A,), scores of detections where there is no face.
    """

    size: Floats
    score: Floats
    alarms: Floats

    @classmethod
    def of(cls, detector: Detector, scenes: Sequence[tuple[Pixels, SceneFaces]]) -> Hits:
        """Detect and match, best score first; doubtful faces are neither to be found nor false alarms."""
        sizes, scores, alarms = [], [], []
        for pixels, truth in scenes:
            found = detector.detect(pixels)
            hit, alarm = matched(found, truth)
            counted = ~truth.doubtful
            sizes.append(truth.size[counted])
            scores.append(hit[counted])
            alarms.append(alarm)
        return cls(*(np.concatenate(rows).astype(np.float32) for rows in (sizes, scores, alarms)))

    def threshold(self, alarms: float) -> float:
        """The least score at which at most ``alarms`` false alarms are left."""
        ranked = np.sort(self.alarms)[::-1]
        return float(ranked[int(alarms)]) + 1e-6 if int(alarms) < len(ranked) else 0.0

    def recall_at(self, alarms: float) -> dict[str, Any]:
        """Share of the faces of each size found with that many false alarms in all."""
        threshold = self.threshold(alarms)
        found = (self.score > 0) & (self.score >= threshold)
        bins = np.digitize(self.size, BINS_PX) - 1
        recall = [float(found[bins == k].mean()) if (bins == k).any() else None for k in range(len(BINS_PX) - 1)]
        return {"threshold": threshold, "recall": recall}

    def counts(self) -> list[int]:
        """Faces of each size."""
        bins = np.digitize(self.size, BINS_PX) - 1
        return [int((bins == k).sum()) for k in range(len(BINS_PX) - 1)]


def matched(found: Detections, truth: SceneFaces) -> tuple[Floats, Floats]:
    """The score that found each face (N,), 0 where it was not found, and the scores of false alarms."""
    hit = np.zeros(len(truth.faces), np.float32)
    overlaps = iou(found.xyxy, truth.faces.xyxy)
    alarms = []
    for k in np.argsort(-found.score, kind="stable"):
        best = int(overlaps[k].argmax()) if len(hit) else -1
        if best >= 0 and overlaps[k, best] >= _FOUND_IOU:
            hit[best] = max(hit[best], found.score[k])
        elif not len(hit) or overlaps[k, best] < _OVERLAPS:
            alarms.append(found.score[k])
    return hit, np.array(alarms, np.float32)


def detector_table(document: dict[str, Any]) -> list[str]:
    """The figures as lines for a terminal."""
    photos, faceless, scenes = document["photos"], document["faceless"], document["scenes"]
    lines = [
        f"detector {document['detector']} on people of {document['people']}; labels: {document['labels']}",
        f"  central face found       {photos['central_found']:.2%} of {photos['photos']:,} photos",
        f"  unconfirmed boxes        {photos['unconfirmed_a_photo']:.4f} a photo",
        f"  landmarks off            {photos['landmark_error_mean']:.2%} of the eyes' distance "
        f"(worst tenth from {photos['landmark_error_p90']:.2%})",
        f"  drawings without a face  {faceless['boxes']} boxes in {faceless['pictures']}",
        *(
            f"  turned {turn:>3} degrees       " + ", ".join(f"{name} {share:.0%}" for name, share in shares.items())
            for turn, shares in document["turned"].items()
        ),
        f"  {scenes['scenes']} scenes, recall by size, with so many false alarms a scene:",
        "    " + " " * 36 + "".join(f"{f'from {low:g}':>10}" for low in scenes["sizes_px"]),
        "    " + f"{'faces':<36}" + "".join(f"{count:>10}" for count in scenes["faces"]),
    ]
    for name, rates in scenes.items():
        if isinstance(rates, dict):
            for rate, row in rates.items():
                label = f"{name}, {rate} (score {row['threshold']:.2f})"
                cells = "".join(f"{'-' if share is None else f'{share:.1%}':>10}" for share in row["recall"])
                lines.append(f"    {label:<36}{cells}")
    return lines


def _worst(detector: Detector, scenes: Sequence[tuple[Pixels, SceneFaces]]) -> Pixels:
    """The largest faces missed (red) and the surest false alarms, each with its scene."""
    tiles: list[tuple[float, Tile]] = []
    for number, (pixels, truth) in enumerate(scenes):
        found = detector.detect(pixels)
        hit, alarm = matched(found, truth)
        missed = np.flatnonzero((hit == 0) & ~truth.doubtful & (truth.size >= BINS_PX[0]))
        wrong = np.flatnonzero(np.isin(found.score, alarm))
        if not len(missed) and not len(wrong):
            continue
        boxes = [(_box(found.xyxy[k]), f"{found.score[k]:.2f}", GREEN) for k in wrong]
        boxes += [(_box(truth.faces.xyxy[k]), "missed", RED) for k in missed]
        weight = float(truth.size[missed].sum() / 40 + found.score[wrong].sum())
        caption = f"{len(missed)} missed, {len(wrong)} false alarms"
        tiles.append((weight, Tile(pixels, tuple(boxes), f"scene {number}", caption)))
    tiles.sort(key=lambda pair: -pair[0])
    heading = f"{detector.name}: the worst of {len(scenes)} scenes"
    return draw_sheet([tile for _, tile in tiles[:_SHOWN]], heading, "green: false alarms; red: faces missed")


def _box(xyxy: Floats) -> tuple[float, float, float, float]:
    left, top, right, bottom = (float(value) for value in xyxy)
    return left, top, right, bottom
