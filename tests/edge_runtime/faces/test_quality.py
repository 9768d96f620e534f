"""Quality: bad faces are refused for the right reason, good ones pass, whatever size they have."""

from __future__ import annotations

import random

import cv2
import numpy as np
import pytest

from edge_runtime.detectors import open_detector
from edge_runtime.faces.chain import central_face
from edge_runtime.faces.quality import QualityLimits, explanation, measure, rejection, weight
from edge_runtime.pictures.folder import list_images
from edge_runtime.pictures.reader import read_image
from edge_runtime.types import Floats, Pixels
from tests.builders import BOX_POINTS, RELEASED, SHARED, draw_face

LIVE, ENROL = QualityLimits(), QualityLimits.for_enrolment()


def box_landmarks(pixels: Pixels) -> Floats:
    """Where the landmarks of a drawn face are: its box is two thirds of the picture."""
    side = len(pixels)
    return np.asarray(side / 6 + BOX_POINTS * side * 2 / 3, np.float32)


def measures(pixels: Pixels) -> dict[str, float]:
    return measure(pixels, box_landmarks(pixels), len(pixels) * 2 / 3)


@pytest.mark.parametrize("person", range(7))
@pytest.mark.parametrize("width", [80, 240])
def test_drawn_faces_pass_and_blurred_ones_do_not(person: int, width: int) -> None:
    face = draw_face(person, width)
    assert explanation(measures(face), ENROL) is None
    blurred = cv2.GaussianBlur(face, (0, 0), 0.06 * width)
    assert rejection(measures(blurred), ENROL) == "blurred"
    assert rejection(measures(blurred), LIVE) == "blurred"


def test_sharpness_hardly_depends_on_size_and_contrast() -> None:
    large = measures(draw_face(0, 240))["sharpness"]
    half = cv2.resize(draw_face(0, 240), None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    faint = np.asarray(draw_face(0, 240) // 2 + 60, np.uint8)
    assert measures(np.asarray(half, np.uint8))["sharpness"] == pytest.approx(large, rel=0.25)
    assert measures(faint)["sharpness"] == pytest.approx(large, rel=0.1)


def test_each_fault_has_its_reason() -> None:
    face = draw_face(0, 120)
    assert rejection(measures(draw_face(0, 40)), ENROL) == "small"
    assert rejection(measures(np.asarray(face // 5, np.uint8)), ENROL) == "dark"
    assert rejection(measures(np.asarray(255 - face // 10, np.uint8)), ENROL) == "glare"
    assert rejection(measures(np.asarray(face // 8 + 100, np.uint8)), ENROL) == "flat"
    turned = box_landmarks(face)
    turned[2, 0] += 0.6 * (turned[1, 0] - turned[0, 0])
    assert rejection(measure(face, turned, 120), ENROL) == "profile"
    assert rejection(measure(face, box_landmarks(face), 120), ENROL) is None


def test_explanation_has_both_numbers_and_what_would_do() -> None:
    text = explanation(measures(draw_face(0, 40)), ENROL)
    assert text == "small (face_px: expected at least 48, found 40); come closer, or take a larger picture"


def test_enrolment_is_stricter_than_live_in_everything() -> None:
    for name in ("face_px", "light", "contrast", "sharpness"):
        assert getattr(ENROL, name) > getattr(LIVE, name)
    assert ENROL.turn < LIVE.turn and ENROL.glare < LIVE.glare


def test_weight_grows_with_size_and_sharpness_and_is_bounded() -> None:
    base = measures(draw_face(0, 60)) | {"sharpness": 4.0, "face_px": 60.0}
    assert 0 < weight(base, ENROL) < weight(base | {"face_px": 100.0}, ENROL)
    assert weight(base, ENROL) < weight(base | {"sharpness": 8.0}, ENROL)
    assert weight(base | {"face_px": 1e4, "sharpness": 1e4}, ENROL) <= 9
    assert weight(base | {"face_px": 0.0, "sharpness": 0.0}, ENROL) > 0


@pytest.mark.skipif(not SHARED.is_dir(), reason="real photos beside the checkout are missing: ../shared")
def test_real_faces_pass_at_enrolment_and_blurred_ones_do_not() -> None:
    paths = list_images(SHARED / "data/lfw", print)
    detector, found, good, blurred = open_detector(f"bundle:{RELEASED}"), 0, 0, 0
    for path in random.Random(5).sample(paths, 80):
        pixels = read_image(path)
        detections = detector.detect(pixels)
        if not len(detections):
            continue
        found += 1
        index = central_face(detections, (pixels.shape[1], pixels.shape[0]))
        width, landmarks = float(detections.width[index]), detections.landmarks[index]
        good += rejection(measure(pixels, landmarks, width), ENROL) is None
        soft = cv2.GaussianBlur(pixels, (0, 0), 0.06 * width)
        blurred += rejection(measure(soft, landmarks, width), ENROL) is not None
    assert found >= 76
    assert good >= 0.97 * found and blurred >= 0.97 * found
