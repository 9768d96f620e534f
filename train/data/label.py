"""``python -m train label``: photos in, one file of photos with their faces out, by a teacher detector or a list.

A teacher looks at each photo several times (mirrored, larger, smaller with room around it) and what it sees of one
face is averaged: its landmarks' scatter is noise that a student need not learn.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from edge_runtime.detectors import DetectorOptions, open_detector
from edge_runtime.errors import FamiliarError, InputError
from edge_runtime.geometry.boxes import iou
from edge_runtime.pictures.archive import SPLITS
from edge_runtime.pictures.reader import read_image
from edge_runtime.protocols import Detector
from edge_runtime.system.workers import spread
from edge_runtime.types import Detections, Pixels
from train.data.archive import encoded
from train.data.labelled import LabelledPhoto, mirrored, scaled, write_labelled
from train.data.photos import Photo, add_options, check_options, find_photos, splits_of
from train.data.wider import read_wider

DOUBTFUL = 0.3
"""A teacher that is this sure may see a face: no background to learn, nor a face below ``SURE``."""
SURE = 0.6
_LARGER = 1.6
_SMALLER = 0.6
_ROOM = 0.35
"""Share of the picture's side added all around before it is made smaller, for faces that fill it."""
_SAME_FACE_IOU = 0.4
_CHUNK = 16
_MAX_SIDE_PX = 640
"""Scenes are 320x240; larger photos are stored at this size."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", required=True, metavar="DIR", help="photos; a folder per person if --split is given")
    parser.add_argument("--out", required=True, metavar="FILE", help="the file to write (.npz)")
    by = parser.add_mutually_exclusive_group(required=True)
    by.add_argument("--teacher", metavar="NAME", help="a detector with landmarks, as yunet:FILE.onnx")
    by.add_argument("--list", metavar="FILE", help="a list in the format of WIDER FACE or RetinaFace")
    add_options(parser)


def run(args: argparse.Namespace) -> int:
    out, root = check_options(args), Path(args.data)
    photos = find_photos(root, args.unlabelled or bool(args.list), args.leave_out)[: args.limit]
    splits = splits_of(photos, args.split, args.seed, args.hold_out)
    if args.list:
        found, labeller = _from_list(Path(args.list), photos), f"the list {Path(args.list).name}"
    else:
        labeller = f"{open_detector(args.teacher).name}, six looks at each photo averaged"
        found = _from_teacher(photos, args.teacher, args.jobs)
    kept = [
        (photo, label, part)
        for photo, label, part in zip(photos, found, splits, strict=True)
        if isinstance(label, LabelledPhoto)
    ]
    if not any(len(label.faces) for _, label, _ in kept):
        raise InputError(f"{root}: expected faces, found none in {len(photos)} pictures; try another teacher or list")
    write_labelled(
        out,
        [label for _, label, _ in kept],
        [photo.person for photo, _, _ in kept],
        [part for _, _, part in kept],
        [photo.relative for photo, _, _ in kept],
        labeller,
        args.source or f"photos of the folder {root.resolve().name}",
    )
    for photo, reason in zip(photos, found, strict=True):
        if isinstance(reason, str):
            print(f"train label: {photo.relative}: {reason}", file=sys.stderr)
    faces = sum(len(label.faces) for _, label, _ in kept)
    counts = {name: sum(part == name for _, _, part in kept) for name in SPLITS}
    print(f"{out}: {faces} faces in {len(kept)} photos: " + ", ".join(f"{k} {n}" for k, n in counts.items()))
    return 0


def look(detector: Detector, pixels: Pixels) -> Detections:
    """Every face of a picture as seen on average in six looks: as it is, larger, smaller with room, and all mirrored.

    A detector need not be symmetric: YuNet's landmarks lie 1.2 % of the eyes' distance to the right of where they lie
    in the mirrored picture. In pairs of looks that comes out even.

    Args:
        detector: with landmarks.
        pixels: uint8 (H, W, 3) RGB.

    Returns:
        Faces with the best of the looks' scores, boxes and landmarks averaged by score.
    """
    larger = _resized(pixels, _LARGER, cv2.INTER_LINEAR)
    room = round(_ROOM * max(pixels.shape[:2]))
    padded = np.asarray(cv2.copyMakeBorder(pixels, room, room, room, room, cv2.BORDER_REPLICATE), np.uint8)
    smaller = _resized(padded, _SMALLER, cv2.INTER_AREA)
    looks = _both_ways(detector, pixels)
    looks += [scaled(faces, 1 / _LARGER) for faces in _both_ways(detector, larger)]
    for faces in _both_ways(detector, smaller):
        seen = scaled(faces, 1 / _SMALLER)
        looks.append(Detections(seen.xyxy - np.float32(room), seen.score, seen.landmarks - np.float32(room)))
    return _merged(looks)


def _resized(pixels: Pixels, factor: float, how: int) -> Pixels:
    return np.asarray(cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=how), np.uint8)


def _both_ways(detector: Detector, pixels: Pixels) -> list[Detections]:
    """Faces of a picture, and those of the mirrored one as they lie in this one."""
    turned = detector.detect(np.ascontiguousarray(pixels[:, ::-1]))
    return [detector.detect(pixels), mirrored(turned, (pixels.shape[1] - 1) / 2)]


def _merged(looks: Sequence[Detections]) -> Detections:
    """One face for every group that overlaps with the group's surest look."""
    xyxy = np.concatenate([one.xyxy for one in looks])
    score = np.concatenate([one.score for one in looks])
    landmarks = np.concatenate([one.landmarks for one in looks])
    left = np.argsort(-score, kind="stable")
    boxes, scores, points = [], [], []
    while len(left):
        same = iou(xyxy[left[:1]], xyxy[left])[0] >= _SAME_FACE_IOU
        group, left = left[same], left[~same]
        weight = score[group] / score[group].sum()
        boxes.append((weight[:, None] * xyxy[group]).sum(0))
        points.append((weight[:, None, None] * landmarks[group]).sum(0))
        scores.append(score[group].max())
    if not boxes:
        return Detections.empty()
    return Detections(
        np.stack(boxes).astype(np.float32), np.array(scores, np.float32), np.stack(points).astype(np.float32)
    )


def _from_teacher(photos: Sequence[Photo], spec: str, jobs: int) -> list[LabelledPhoto | str]:
    paths = [photo.path for photo in photos]
    with spread(_label_one, paths, jobs, _CHUNK, _start_worker, (spec,)) as labels:
        return list(tqdm(labels, total=len(paths), unit="photo", disable=None, delay=2))


def _from_list(path: Path, photos: Sequence[Photo]) -> list[LabelledPhoto | str]:
    listed = read_wider(path)
    found: list[LabelledPhoto | str] = []
    for photo in tqdm(photos, unit="photo", disable=None, delay=2):
        faces = listed.get(photo.relative)
        found.append("not in the list" if faces is None else _stored(photo.path, partial(_listed, faces)))
    return found


def _listed(faces: Detections, pixels: Pixels) -> Detections:
    """What a list says, whatever the pixels are."""
    return faces


_worker_detector: Detector | None = None
"""Opened once in each worker process."""


def _start_worker(spec: str) -> None:
    global _worker_detector
    cv2.setNumThreads(1)
    _worker_detector = open_detector(spec, DetectorOptions(min_face_px=1, score_floor=DOUBTFUL))


def _label_one(path: Path) -> LabelledPhoto | str:
    detector = _worker_detector
    assert detector is not None
    return _stored(path, lambda pixels: look(detector, pixels))


def _stored(path: Path, label: Callable[[Pixels], Detections]) -> LabelledPhoto | str:
    """A photo with the faces that ``label`` finds in its pixels, at most ``_MAX_SIDE_PX`` a side."""
    try:
        pixels = read_image(path)
        faces = label(pixels)
    except FamiliarError as error:
        return f"unreadable: {error}"
    factor = min(_MAX_SIDE_PX / max(pixels.shape[:2]), 1.0)
    if factor < 1:
        pixels = _resized(pixels, factor, cv2.INTER_AREA)
        faces = scaled(faces, factor)
    return LabelledPhoto(encoded(pixels), faces)
