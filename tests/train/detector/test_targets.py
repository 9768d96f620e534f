import numpy as np
import pytest

from edge_runtime.detectors._cells import STRIDES, Grids, decode
from edge_runtime.types import Detections
from train.detector.targets import COLUMNS, SceneFaces, make_targets

GRIDS = Grids((320, 240))


def scene(*boxes, doubtful=()):
    xyxy = np.array(boxes, np.float32).reshape(-1, 4)
    middle = (xyxy[:, None, :2] + xyxy[:, None, 2:]) / 2
    points = middle + np.array([[-5, -5], [5, -5], [0, 0], [-4, 5], [4, 5]], np.float32)
    marked = np.isin(np.arange(len(xyxy)), doubtful)
    return SceneFaces(Detections(xyxy, np.ones(len(xyxy), np.float32), points.astype(np.float32)), marked)


def all_cells():
    centres = np.concatenate([GRIDS.centres(stride) for stride in STRIDES])
    strides = np.concatenate([np.full(len(GRIDS.centres(stride)), stride, np.float32) for stride in STRIDES])
    return centres, strides


def test_an_empty_scene_is_all_background():
    targets = make_targets(GRIDS, SceneFaces.empty())
    assert targets.shape == (1200 + 300 + 80, COLUMNS)
    assert not targets[:, 0].any() and (targets[:, 1] == 1).all() and not targets[:, 2:].any()


@pytest.mark.parametrize("side", [10, 14, 20, 32, 50, 90, 118, 200, 300])
def test_decoding_what_is_taught_gives_the_faces_back(side):
    truth = scene((160 - side / 2, 120 - side / 2, 160 + side / 2, 120 + side / 2))
    targets = make_targets(GRIDS, truth)
    taught = targets[:, 0] == 1
    assert taught.any(), "somebody has to see every face"
    centres, strides = all_cells()
    found = decode(centres[taught], strides[taught], np.ones(taught.sum(), np.float32), targets[taught, 5:])
    assert len(found) == 1
    np.testing.assert_allclose(found.xyxy, truth.faces.xyxy, atol=1e-3)
    np.testing.assert_allclose(found.landmarks, truth.faces.landmarks, atol=1e-3)


def test_each_of_many_small_faces_is_seen():
    boxes = [(x, y, x + 12, y + 14) for x in range(10, 300, 24) for y in range(10, 220, 24)]
    truth = scene(*boxes)
    targets = make_targets(GRIDS, truth)
    taught = targets[:, 0] == 1
    centres, strides = all_cells()
    found = decode(centres[taught], strides[taught], np.ones(taught.sum(), np.float32), targets[taught, 5:])
    assert len(found) == len(boxes)


def test_a_doubtful_face_is_neither_taught_nor_background():
    targets = make_targets(GRIDS, scene((100, 100, 140, 140), doubtful=[0]))
    assert not targets[:, 0].any()
    centres, _ = all_cells()
    inside = (np.abs(centres - 120) < 18).all(1)
    assert inside.any() and not targets[inside, 1].any()
    assert (targets[(np.abs(centres - 120) > 30).any(1), 1] == 1).all()


def test_unknown_landmarks_are_not_taught():
    truth = scene((100, 100, 140, 140))
    truth.faces.landmarks[:] = np.nan
    targets = make_targets(GRIDS, truth)
    taught = targets[:, 0] == 1
    assert taught.any() and (targets[taught, 2] > 0).all() and not targets[:, 3].any()
    assert np.isfinite(targets).all()
