from edge_runtime.tracking.occlusion import Occlusions
from edge_runtime.tracking.tracker import Tracker
from tests.builders import make_detections


def touching(*rows, step_s=0.1):
    """For each frame, given as its faces (x, y, w, h), how many pairs touch."""
    tracker, contacts, counts = Tracker("front", 5.0), Occlusions(), []
    for index, faces in enumerate(rows):
        tracker.update(make_detections(*faces), index * step_s, 0.0)
        counts.append(len(contacts.update(tracker.tracks, index * step_s)))
    return counts


def test_nobody_and_somebody_alone_touch_nobody():
    assert touching([], [(10, 10, 40, 40)], [(12, 10, 40, 40)]) == [0, 0, 0]


def test_two_side_by_side_at_a_distance_do_not_touch():
    assert touching(*[[(10, 10, 40, 40), (90, 10, 40, 40)]] * 5) == [0] * 5


def test_two_who_walk_through_each_other_touch_in_between():
    counts = touching(*[[(10 + 12 * i, 20, 40, 40), (250 - 12 * i, 40, 40, 40)] for i in range(20)])
    assert counts[0] == counts[-1] == 0
    assert max(counts) == 1


def test_two_who_pass_between_two_looks_have_touched():
    tracker, contacts = Tracker("front", 5.0), Occlusions()
    left, right = tracker.update(make_detections((10, 10, 40, 40), (110, 10, 40, 40)), 0.0, 0.0)
    assert contacts.update(tracker.tracks, 0.0) == []
    tracker.exchange(left, right)
    assert contacts.update(tracker.tracks, 0.5) == [(left, right)]


def test_two_who_stay_beside_each_other_are_two_people_after_a_while():
    counts = touching(*[[(10, 10, 40, 40), (48, 10, 40, 40)]] * 30)
    assert counts[0] == 1
    assert counts[-1] == 0
