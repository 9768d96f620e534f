"""The second look at a face, with networks that say what they are told to."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from edge_runtime.bundle.detector_spec import RefinerSpec
from edge_runtime.detectors._refiner import Refiner, back, frame, unit_px
from edge_runtime.errors import BundleError
from edge_runtime.geometry.alignment import similarity
from edge_runtime.types import Detections
from tests.builders import make_pixels

SHEET = RefinerSpec("refiner.tflite", 64, (0.0,) * 3, (1.0,) * 3, 0.2)
FACE = (frame(64).as_array() * 1.5 + [20, 10]).astype(np.float32)


class Saying:
    """An interpreter that gives the same logit and points for every face."""

    input_shape = (1, 64, 64, 3)
    input_dtype = np.dtype(np.float32)

    def __init__(self, logits: list[float], points: np.ndarray, shapes: tuple = ((1, 10), (1, 1))) -> None:
        self.outputs = [SimpleNamespace(shape=shape, quantization=(0.0, 0)) for shape in shapes]
        self.logits, self.points, self.seen = list(logits), points, []

    def run(self, tensor: np.ndarray) -> list[np.ndarray]:
        self.seen.append(tensor)
        return [self.points.reshape(1, 10).astype(np.float32), np.array([[self.logits.pop(0)]], np.float32)]


def found(*landmarks: np.ndarray, score: float = 0.5) -> Detections:
    points = np.array(landmarks, np.float32).reshape(-1, 5, 2)
    xyxy = np.concatenate([points.min(1), points.max(1)], 1)
    return Detections(xyxy, np.full(len(points), score, np.float32), points)


def test_landmarks_move_by_what_the_network_says_in_distances_of_the_eyes() -> None:
    offsets = np.zeros((5, 2))
    offsets[0] = [0.5, 0.0]
    (landmarks,) = Refiner(Saying([0.0], offsets), SHEET).look(make_pixels(120, 160), found(FACE)).landmarks
    # A frame of 1.5 px a px of the template.
    moved = FACE + offsets * 1.5 * unit_px(frame(64))
    np.testing.assert_allclose(landmarks, moved, atol=1e-3)


def test_a_turned_face_is_shown_upright_and_its_landmarks_come_back_turned() -> None:
    angle = np.deg2rad(70)
    turned = ((FACE - 80) @ [[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]] + 80).astype(np.float32)
    saying = Saying([0.0], np.zeros((5, 2)))
    (landmarks,) = Refiner(saying, SHEET).look(make_pixels(160, 160), found(turned)).landmarks
    np.testing.assert_allclose(landmarks, turned, atol=1e-2)
    assert saying.seen[0].shape == (1, 64, 64, 3)


def test_the_new_score_is_the_mean_of_both_logits_and_orders_the_faces() -> None:
    looked = Refiner(Saying([-2.0, 3.0], np.zeros((5, 2))), SHEET).look(make_pixels(120, 160), found(FACE, FACE + 9))
    assert looked.score.tolist() == pytest.approx([1 / (1 + np.exp(-1.5)), 1 / (1 + np.exp(1.0))], abs=1e-5)
    np.testing.assert_allclose(looked.landmarks[0], FACE + 9, atol=1e-3)
    np.testing.assert_allclose(looked.xyxy, found(FACE + 9, FACE).xyxy)


LARGE = ((FACE - FACE[0]) * 2).astype(np.float32)


@pytest.mark.parametrize(
    ("landmarks", "shrink", "logits", "expected"),
    [
        (FACE, 1.0, [1.0], (np.log(99) + 1) / 2),
        (LARGE, 2.0, [1.0], (np.log(99) + 1) / 2),
        (LARGE, 1.0, [6.0], (np.log(99) + 6) / 2),
        (LARGE, 1.0, [1.0, 3.0], np.log(0.4 / 0.6)),
        (LARGE, 1.0, [-3.0, 5.0], (np.log(99) + 3) / 2),
        (LARGE, 1.0, [-7.0, -9.0], (np.log(99) - 7) / 2),
    ],
)
def test_a_large_face_has_to_convince_the_second_look_or_a_third(
    landmarks: np.ndarray, shrink: float, logits: list[float], expected: float
) -> None:
    """It is wide enough at 48 px of the picture that the detector saw."""
    assert np.ptp(LARGE[:, 0]) >= 48 > np.ptp(FACE[:, 0])
    saying = Saying(logits, np.zeros((5, 2)))
    looked = Refiner(saying, SHEET).look(make_pixels(160, 200), found(landmarks, score=0.99), shrink)
    assert np.log(looked.score[0] / (1 - looked.score[0])) == pytest.approx(expected, abs=1e-3)
    assert saying.logits == []


@pytest.mark.parametrize(
    ("score", "logits", "expected"),
    [
        (0.99, [7.0], (np.log(99) + 7) / 2),
        (0.6, [1.0, 2.0], np.log(0.4 / 0.6)),
        (0.6, [-1.0, 7.0], (np.log(1.5) + 7) / 2),
        (0.99, [1.0, 2.0], (np.log(99) + 2) / 2),
        (0.6, [5.0, 4.0], np.log(0.4 / 0.6)),
    ],
)
@pytest.mark.parametrize("landmarks", [FACE, LARGE])
def test_what_a_close_look_alone_has_found_must_convince_more(
    landmarks: np.ndarray, score: float, logits: list[float], expected: float
) -> None:
    """There are many more places in close looks where something may be much like a face."""
    saying = Saying(logits, np.zeros((5, 2)))
    looked = Refiner(saying, SHEET).look(make_pixels(160, 200), found(landmarks, score=score), close=True)
    assert np.log(looked.score[0] / (1 - looked.score[0])) == pytest.approx(expected, abs=1e-3)
    assert saying.logits == []


@pytest.mark.parametrize(("apart_px", "faces"), [(0.0, 1), (4.0, 1), (12.0, 2), (40.0, 2)])
def test_two_boxes_whose_landmarks_meet_are_one_face(apart_px: float, faces: int) -> None:
    """Eyes are 26 px apart; of two people who touch, at least twice that."""
    pair = found(FACE + np.array([apart_px, 0]), FACE, score=0.9)
    looked = Refiner(Saying([2.0, 3.0], np.zeros((5, 2))), SHEET).look(make_pixels(120, 160), pair)
    assert len(looked) == faces
    np.testing.assert_allclose(looked.landmarks[0], FACE, atol=1e-3)


def test_landmarks_that_coincide_are_no_face() -> None:
    refiner = Refiner(Saying([1.0], np.zeros((5, 2))), SHEET)
    assert len(refiner.look(make_pixels(120, 160), found(np.full((5, 2), 3), FACE))) == 1
    assert len(refiner.look(make_pixels(120, 160), Detections.empty())) == 0


def test_a_crowd_is_looked_at_up_to_a_limit() -> None:
    crowd = found(*[FACE + 20 * k for k in range(80)])
    assert len(Refiner(Saying([0.0] * 80, np.zeros((5, 2))), SHEET).look(make_pixels(120, 160), crowd)) == 64


def test_another_network_than_the_sheet_tells_of_is_one_line() -> None:
    with pytest.raises(BundleError, match="expected input"):
        Refiner(Saying([], np.zeros((5, 2)), ((1, 10), (1, 2))), SHEET)


def test_points_go_back_to_where_they_came_from() -> None:
    matrix = similarity(FACE, frame(64).as_array())
    np.testing.assert_allclose(back(FACE @ matrix[:, :2].T + matrix[:, 2], matrix), FACE, atol=1e-3)
