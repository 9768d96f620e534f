import numpy as np
import pytest


def test_a_perfect_answer_costs_nothing_but_the_distance_to_certainty():
    from train.detector.losses import box_loss, landmark_loss, score_loss

    shape = np.array([[[1, 2, 3, 4]]], np.float32)
    one, size = np.ones((1, 1), np.float32), np.full((1, 1), 4.0, np.float32)
    points = np.zeros((1, 1, 10), np.float32)
    assert float(box_loss(shape, one, shape, size)) == pytest.approx(0, abs=1e-5)
    assert float(landmark_loss(points, one, points, size)) == 0
    assert float(score_loss(one, one, 30 * one)) < 1e-6
    assert float(score_loss(one, one, -30 * one)) > 20
    assert float(score_loss(one, 0 * one, -30 * one)) == 0, "what has no weight costs nothing"


def test_errors_count_in_shares_of_the_face():
    from train.detector.losses import landmark_loss

    zero = np.zeros((1, 1, 10), np.float32)
    one = np.ones((1, 1), np.float32)
    small = float(landmark_loss(zero, one, zero + 0.2, 2 * one))
    large = float(landmark_loss(zero, one, zero + 0.4, 4 * one))
    assert small == pytest.approx(large) == pytest.approx(0.1, abs=0.006)


def test_boxes_far_apart_still_pull():
    from train.detector.losses import box_loss

    one = np.ones((1, 1), np.float32)
    target = np.full((1, 1, 4), 2.0, np.float32)
    near, far = (float(box_loss(target, one, target + off, 4 * one)) for off in (1.0, 6.0))
    assert 0 < near < far
