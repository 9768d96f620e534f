"""From what cells say to faces."""

import numpy as np
import pytest

from edge_runtime.detectors._cells import STRIDES, Grids, apart, decode, voted
from edge_runtime.types import Detections

GRIDS = Grids((320, 240))


def faces(*rows: tuple[float, float, float, float, float]) -> Detections:
    """Detections at left, top, right, bottom with a score."""
    values = np.array(rows, np.float32).reshape(-1, 5)
    middle = (values[:, None, :2] + values[:, None, 2:4]) / 2
    return Detections(values[:, :4].copy(), values[:, 4].copy(), np.repeat(middle, 5, 1).astype(np.float32))


def test_no_cell_is_no_face():
    none = np.zeros(0, np.float32)
    assert len(decode(np.zeros((0, 2), np.float32), none, none, np.zeros((0, 14), np.float32))) == 0
    assert len(voted(Detections.empty())) == 0


def test_the_grids_cover_the_picture():
    assert [GRIDS.shape_hw(stride) for stride in STRIDES] == [(30, 40), (15, 20), (8, 10)]
    assert [len(GRIDS.centres(stride)) for stride in STRIDES] == [1200, 300, 80]
    assert GRIDS.centres(8)[[0, 1, 40]].tolist() == [[3.5, 3.5], [11.5, 3.5], [3.5, 11.5]]


def test_a_cell_says_where_the_edges_and_landmarks_are():
    shape = np.array([[1, 2, 3, 4, *([0.5, -0.5] * 5)]], np.float32)
    found = decode(np.array([[100, 50]], np.float32), np.array([16], np.float32), np.zeros(1, np.float32), shape)
    assert found.xyxy[0].tolist() == [100 - 16, 50 - 32, 100 + 48, 50 + 64]
    assert found.landmarks[0].tolist() == [[108, 42]] * 5
    assert found.score[0] == pytest.approx(0.5)


def test_cells_that_see_the_same_face_are_averaged_by_score():
    found = voted(faces((0, 0, 100, 100, 0.9), (4, 0, 104, 100, 0.3), (200, 0, 300, 100, 0.8)))
    assert found.score.tolist() == pytest.approx([0.9, 0.8])
    assert found.xyxy[0].tolist() == pytest.approx([1, 0, 101, 100])
    assert found.landmarks[0, 0].tolist() == pytest.approx([51, 50])
    assert found.xyxy[1].tolist() == pytest.approx([200, 0, 300, 100])


def test_neighbours_stay_two():
    assert len(voted(faces((0, 0, 100, 100, 0.9), (60, 0, 160, 100, 0.9)))) == 2


def test_boxes_without_area_neither_fail_nor_vanish():
    found = voted(faces((5, 5, 5, 5, 0.7), (5, 5, 5, 5, 0.6)))
    assert len(found) and np.isfinite(found.xyxy).all()


def test_a_face_that_several_looks_show_is_one_the_surest():
    whole = faces((0, 0, 50, 50, 0.6), (200, 0, 210, 10, 0.5))
    closer = faces((0, 1, 50, 50, 0.9), (90, 0, 120, 40, 0.7))
    in_part = faces((90, 20, 120, 40, 0.65))
    found, places = apart([whole, Detections.empty(), closer, in_part])
    assert found.score.tolist() == pytest.approx([0.9, 0.7, 0.5])
    assert places.tolist() == [2, 3, 1]


def test_faces_of_one_look_stay_two_however_much_of_one_the_other_hides():
    found, _ = apart([faces((0, 0, 50, 50, 0.6), (10, 0, 50, 50, 0.9)), Detections.empty()])
    assert len(found) == 2
