"""Figures of a detector: on a detector whose behaviour is known."""

from __future__ import annotations

import numpy as np
import pytest

from edge_runtime.types import Detections
from tests.builders import make_pixels
from tests.train.labelled_photos import write_drawn
from train.detector.evaluate import BINS_PX, Hits, landmark_error, matched, measure_photos
from train.detector.targets import SceneFaces


def boxes(*rows, score=0.9):
    xyxy = np.array(rows, np.float32).reshape(-1, 4)
    points = np.repeat((xyxy[:, None, :2] + xyxy[:, None, 2:]) / 2, 5, 1)
    return Detections(xyxy, np.full(len(xyxy), score, np.float32), points.astype(np.float32))


class Told:
    """A detector that finds what it is told."""

    name = "told"

    def __init__(self, *answers: Detections) -> None:
        self._answers = iter(answers)

    def detect(self, pixels):
        return next(self._answers)

    def close(self) -> None:
        pass


def test_nothing_found_in_nothing():
    hit, alarms = matched(Detections.empty(), SceneFaces.empty())
    assert not len(hit) and not len(alarms)


def test_a_face_is_found_by_overlap_and_doubtful_ones_count_for_nothing():
    truth = SceneFaces(boxes((0, 0, 20, 20), (50, 50, 80, 80), (100, 0, 120, 20)), np.array([False, False, True]))
    found = boxes((1, 1, 21, 21), (101, 1, 121, 21), (200, 200, 220, 220))
    hit, alarms = matched(found, truth)
    assert hit.tolist() == pytest.approx([0.9, 0, 0.9]) and alarms.tolist() == pytest.approx([0.9])
    hits = Hits.of(Told(found), [(make_pixels(), truth)])
    assert len(hits.size) == 2, "the doubtful face is not to be found"
    assert hits.recall_at(1)["recall"][BINS_PX.index(16.0)] == 1.0
    assert hits.recall_at(1)["recall"][BINS_PX.index(24.0)] == 0.0


def test_recall_is_read_where_the_false_alarms_are_as_many_as_allowed():
    size = np.full(4, 20.0, np.float32)
    hits = Hits(size, np.array([0.9, 0.7, 0.5, 0], np.float32), np.array([0.8, 0.6], np.float32))
    shares = [hits.recall_at(alarms)["recall"][1] for alarms in (0, 1, 2)]
    assert shares == [0.25, 0.5, 0.75]


def test_photos(tmp_path):
    photos = write_drawn(tmp_path / "l.npz", ("final", "final"))
    good, true = photos.faces(0), photos.faces(1)
    off = Detections(true.xyxy, true.score, true.landmarks + np.float32([1.8, 0]))
    extra = boxes((0, 0, 12, 12))
    both = Detections(*(np.concatenate([getattr(off, k), getattr(extra, k)]) for k in ("xyxy", "score", "landmarks")))
    figures = measure_photos(Told(good, both), photos, np.arange(2))
    assert figures["central_found"] == 1.0 and figures["unconfirmed_a_photo"] == 0.5
    assert figures["landmark_error_mean"] == pytest.approx(0.5 * 1.8 / 36, rel=1e-3)


def test_landmark_errors_are_shares_of_the_eyes_distance():
    true = np.array([[0, 0], [40, 0], [20, 20], [5, 40], [35, 40]], np.float32)
    assert landmark_error(true, true) == 0
    assert landmark_error(true + np.float32([0, 4]), true) == pytest.approx(0.1)
