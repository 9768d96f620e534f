from dataclasses import astuple

import numpy as np

from edge_runtime.tracking.tracker import Tracker
from edge_runtime.types import Detections
from tests.builders import make_detections


def follow(tracker, *rows, step_s=0.1, start_s=0.0):
    """Ids by frame, one row of (x, y, w, h) faces a frame."""
    ids = []
    for index, faces in enumerate(rows):
        now = start_s + index * step_s
        ids.append([t.track_id for t in tracker.update(make_detections(*faces), now, 1e9)])
    return ids


def test_no_faces_make_no_tracks():
    tracker = Tracker("front", 1.0)
    assert tracker.update(Detections.empty(), 0.0, 0.0) == []
    assert tracker.expire(100.0) == []


def test_a_moving_face_keeps_its_track():
    ids = follow(Tracker("front", 1.0), *[[(10 + 15 * i, 20, 50, 50)] for i in range(10)])
    assert len({i for row in ids for i in row}) == 1
    assert ids[0][0].startswith("front-")


def test_a_fast_small_face_keeps_its_track_without_overlap():
    ids = follow(Tracker("front", 1.0), *[[(10 + 22 * i, 20, 30, 30)] for i in range(10)])
    assert len({i for row in ids for i in row}) == 1


def test_two_people_side_by_side_stay_two_whatever_their_order():
    left, right = (10, 10, 40, 40), (100, 10, 40, 40)
    ids = follow(Tracker("front", 1.0), [left, right], [right, left], [left], [left, right])
    assert ids[0] == ids[1][::-1] == ids[3]
    assert ids[2] == ids[0][:1]


def test_two_people_who_pass_each_other_do_not_swap():
    rows = [[(10 + 12 * i, 20, 40, 40), (250 - 12 * i, 60, 40, 40)] for i in range(20)]
    ids = follow(Tracker("front", 1.0), *rows)
    assert all(row == ids[0] for row in ids)


def test_a_gap_shorter_than_the_limit_is_bridged_and_a_longer_one_ends_the_track():
    tracker = Tracker("front", 1.0)
    first = tracker.update(make_detections((10, 10, 40, 40)), 0.0, 0.0)[0]
    assert tracker.expire(0.9) == []
    assert tracker.update(make_detections((12, 10, 40, 40)), 0.9, 0.0)[0] is first
    assert tracker.expire(2.0) == [first]
    assert tracker.update(make_detections((12, 10, 40, 40)), 2.0, 0.0)[0].track_id != first.track_id


def test_a_single_sighting_is_not_confirmed():
    tracker = Tracker("front", 1.0)
    track = tracker.update(make_detections((10, 10, 40, 40)), 0.0, 0.0)[0]
    assert not track.confirmed
    tracker.update(make_detections((10, 10, 40, 40)), 0.1, 0.0)
    assert track.confirmed


def test_a_much_larger_face_nearby_is_somebody_else():
    ids = follow(Tracker("front", 1.0), [(10, 10, 30, 30)], [(0, 0, 200, 200)])
    assert ids[0] != ids[1]


def test_an_unsure_face_keeps_a_track_but_confirms_none():
    tracker = Tracker("front", 1.5)
    for at in range(4):
        (track,) = tracker.update(make_detections((10, 10, 40, 40), score=0.4), at / 10, 0.0, sure=0.6)
    assert not track.confirmed
    for at in (4, 5):
        assert tracker.update(make_detections((10, 10, 40, 40)), at / 10, 0.0, sure=0.6) == [track]
    assert track.confirmed
    assert tracker.update(make_detections((12, 10, 40, 40), score=0.4), 0.6, 0.0, sure=0.6) == [track]
    assert tracker.expire(2.0) == []


def test_a_track_that_never_was_a_sure_face_ends_soon():
    tracker = Tracker("front", 1.5)
    (track,) = tracker.update(make_detections((10, 10, 40, 40), score=0.4), 0.0, 0.0, sure=0.6)
    assert tracker.expire(0.4) == []
    assert tracker.expire(0.7) == [track]


def test_a_sure_face_goes_before_an_unsure_one():
    tracker = Tracker("front", 1.5)
    (track,) = tracker.update(make_detections((10, 10, 40, 40)), 0.0, 0.0, sure=0.6)
    unsure, sure = make_detections((10, 10, 40, 40), score=0.4), make_detections((16, 10, 40, 40))
    both = type(sure)(*(np.concatenate(pair) for pair in zip(astuple(sure), astuple(unsure), strict=True)))
    owners = tracker.update(both, 0.1, 0.0, sure=0.6)
    assert owners[0] is track
    assert owners[1] is not track


def test_tracks_that_took_each_others_face_get_it_back():
    tracker = Tracker("front", 1.5)
    left, right = tracker.update(make_detections((10, 10, 40, 40), (200, 10, 40, 40)), 0.0, 0.0)
    ids = left.track_id, right.track_id
    tracker.exchange(left, right)
    assert (left.track_id, right.track_id) == ids
    assert left.xyxy[0] == 200 and right.xyxy[0] == 10


def test_a_broken_track_goes_on_as_the_old_one():
    tracker = Tracker("front", 1.5)
    (old,) = tracker.update(make_detections((10, 10, 40, 40)), 0.0, 0.0)
    (new,) = tracker.update(make_detections((300, 10, 40, 40)), 1.0, 0.0)
    tracker.join(old, new)
    assert tracker.tracks == [old]
    assert old.xyxy[0] == 300
    assert tracker.expire(2.0) == []
