import numpy as np
import pytest

from edge_runtime.geometry.boxes import iou


def test_of_nothing_is_empty():
    none = np.zeros((0, 4), np.float32)
    assert iou(none, none).shape == (0, 0)
    assert iou(np.zeros((2, 4), np.float32), none).shape == (2, 0)


def test_iou_of_known_boxes():
    a = np.array([[0, 0, 10, 10]], np.float32)
    b = np.array([[5, 0, 15, 10], [0, 0, 10, 10], [20, 20, 30, 30]], np.float32)
    assert iou(a, b)[0] == pytest.approx([1 / 3, 1, 0])
