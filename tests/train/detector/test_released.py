"""The released detector on real photos, the real clip and scenes of people it never saw, beside YuNet."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_runtime.chain import central_face
from edge_runtime.detectors import DetectorOptions, open_detector
from edge_runtime.images import list_images, read_image
from edge_runtime.overlap import iou
from edge_runtime.sources.synthetic import PORTRAITS, Scene, SceneOptions, still
from tests.builders import RELEASED, SHARED
from train.detector.backgrounds import UNSEEN, drawing
from train.label import look
from train.photos import read_split

YUNET = SHARED / "reference" / "yunet_n_320.onnx"
CLIP = SHARED / "data" / "clips" / "short_hamilton_clip.mp4"
LFW = SHARED / "data" / "lfw"
NEEDS = [path for path in (YUNET, CLIP, LFW) if not path.exists()]
# Floors against getting worse; what was measured, and what was aimed at, is in train/LOG.md.
real = pytest.mark.skipif(bool(NEEDS), reason=f"real photos beside the checkout are missing: {NEEDS[:1]}")


@pytest.fixture(scope="module")
def own():
    return open_detector(f"bundle:{RELEASED}", DetectorOptions(min_face_px=1))


def yunet(score: float):
    return open_detector(f"yunet:{YUNET}", DetectorOptions(min_face_px=1, score_floor=score))


def test_faces_of_nobody_are_found_where_they_are(own):
    for path in sorted(PORTRAITS.glob("*.png")):
        portrait = still(read_image(path))
        faces = own.detect(portrait)
        assert len(faces) == 1, path.name
    scene = Scene(SceneOptions(seed=3))
    shown = found = 0
    for at_s in np.linspace(0, scene.length_s, 40):
        faces = own.detect(scene.render(float(at_s)))
        for face in scene.showing(float(at_s)):
            shown += 1
            left, top, right, bottom = face.xyxy
            x, y = faces.centre.T
            found += bool(((x > left) & (x < right) & (y > top) & (y < bottom)).any())
    assert shown > 20 and found / shown > 0.97


def test_drawings_without_a_face_give_hardly_a_box(own):
    boxes = [len(own.detect(drawing((320, 240), UNSEEN + number))) for number in range(180)]
    assert np.count_nonzero(boxes) <= 4


def final_photos(count: int) -> list[Path]:
    people = sorted(path.name for path in LFW.iterdir())
    splits = read_split(SHARED / "data" / "lfw_split.csv", people)
    paths = [path for path in list_images(LFW) if splits[path.parent.name] == "final"]
    return paths[:: max(len(paths) // count, 1)][:count]


@real
def test_photos_of_unseen_people(own):
    teacher = yunet(0.3)
    found = unconfirmed = 0
    errors = []
    paths = final_photos(200)
    for path in paths:
        pixels = read_image(path)
        labels, faces = look(teacher, pixels), own.detect(pixels)
        unconfirmed += int((iou(faces.xyxy, labels.xyxy).max(1, initial=0) < 0.3).sum())
        which = central_face(labels, (250, 250))
        near = iou(labels.xyxy[which : which + 1], faces.xyxy)[0]
        if near.max(initial=0) >= 0.4:
            found += 1
            true = labels.landmarks[which]
            off = np.linalg.norm(faces.landmarks[near.argmax()] - true, axis=1).mean()
            errors.append(off / np.linalg.norm(true[0] - true[1]))
    assert found / len(paths) >= 0.99
    assert unconfirmed / len(paths) <= 0.03
    assert np.mean(errors) <= 0.07


@real
def test_the_clip(own):
    sure, any_face = yunet(0.7), yunet(0.3)
    capture = cv2.VideoCapture(str(CLIP))
    shown = seen = alarms = frames = 0
    while True:
        good, bgr = capture.read()
        if not good:
            break
        pixels = np.ascontiguousarray(bgr[..., ::-1])
        frames += 1
        faces, expected = own.detect(pixels), sure.detect(pixels)
        expected = expected[expected.width >= 24]
        # In the picture of the audience there are more; on stage there are the singer and the pianist.
        if 0 < len(expected) <= 2:
            shown += 1
            face = expected.xyxy[[int(expected.width.argmax())]]
            seen += bool(iou(face, faces.xyxy).max(initial=0) >= 0.4)
        confirmed = iou(faces.xyxy, any_face.detect(pixels).xyxy).max(1, initial=0) >= 0.2
        alarms += bool((~confirmed).any())
    capture.release()
    assert frames == 275 and shown > 100
    assert seen / shown >= 0.95, "the singer"
    assert alarms / frames <= 0.1, "hands, mostly"
