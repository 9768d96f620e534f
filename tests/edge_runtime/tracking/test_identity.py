"""Whose face a track holds after a contact: by codes made up so that similarity is known."""

import numpy as np
import pytest

from edge_runtime.decision.likeness import Likeness
from edge_runtime.tracking.identity import Average, Doubt, Identity, exchange, lost_near, verdict
from edge_runtime.tracking.tracker import Tracker
from tests.builders import make_detections

LIKENESS = Likeness(same=0.4, clear=0.3)
ADA, BEN = np.eye(2, 8, dtype=np.float32)


def of(*codes):
    average = Average()
    for code in codes:
        average.add(np.asarray(code, np.float32), 1.0)
    return average


def pair(now_s=1.0, other_seen=True):
    """Ada's and Ben's subjects, who have just touched, and their tracker."""
    tracker = Tracker("front", 1.5)
    tracks = tracker.update(make_detections((10, 10, 40, 40), (200, 10, 40, 40)), 0.0, 0.0)
    seen = [(10, 10, 40, 40), (200, 10, 40, 40)] if other_seen else [(10, 10, 40, 40)]
    tracker.update(make_detections(*seen), now_s, 0.0)
    ada, ben = (
        Identity(track, 0.0, embedding=of(code, code), appeared=True)
        for track, code in zip(tracks, (ADA, BEN), strict=True)
    )
    ada.touch(ben, now_s)
    ben.touch(ada, now_s)
    return ada, ben, tracker


def judged(identity, now_s=1.0):
    return verdict(identity, identity.doubt, LIKENESS, now_s)


def test_averages_forget_slowly_and_point_to_both():
    both = of(ADA, ADA, BEN)
    assert both.views == 3
    assert 0 < both.embedding @ BEN < both.embedding @ ADA
    assert both.similarity(of(ADA)) == pytest.approx(both.embedding @ ADA)
    np.testing.assert_array_equal(both.latest, BEN)


def test_one_view_is_not_enough_to_tell():
    ada, _, _ = pair()
    ada.doubt.after = of(ADA)
    assert judged(ada) == ("wait", None)


def test_who_is_clearly_herself_needs_nobody_elses_views():
    ada, _, _ = pair()
    ada.doubt.after = of(ADA, ADA)
    assert judged(ada) == ("keep", None)


def test_an_exchange_takes_both_where_both_are_in_sight():
    ada, ben, tracker = pair()
    ada.doubt.after = of(BEN, BEN)
    assert judged(ada) == ("wait", None)
    ben.doubt.after = of(ADA, ADA)
    assert judged(ada) == ("exchange", ben)
    exchange(tracker, ada, ben, 1.0)
    assert ada.track.xyxy[0] == 200 and ben.track.xyxy[0] == 10
    assert ada.embedding.embedding @ ADA > 0.99


def test_who_is_out_of_sight_may_have_lost_the_face_to_another():
    ada, ben, tracker = pair(other_seen=False)
    ada.doubt.after = of(BEN, BEN)
    assert judged(ada) == ("exchange", ben)
    exchange(tracker, ada, ben, 1.0)
    assert not ben.lost(1.0)
    assert ada.lost(1.0)


def test_what_lies_between_stays_unclear():
    ada, ben, _ = pair()
    between = (ADA + BEN) / np.sqrt(np.float32(2))
    ada.doubt.after = ben.doubt.after = of(between, between)
    assert judged(ada) == ("wait", None)
    ada.doubt.after = ben.doubt.after = of(*[between] * 6)
    assert judged(ada) == ("unclear", None)


def test_who_is_in_sight_and_in_no_doubt_loses_no_face_to_a_newcomer_who_looks_alike():
    newcomer, ben, _ = pair()
    newcomer.embedding, ben.doubt = Average(), None
    newcomer.doubt.after = of(BEN, BEN)
    assert judged(newcomer) == ("alike", None)


def test_a_stranger_from_nowhere_is_not_like_herself():
    ada, _, _ = pair()
    ada.doubt = Doubt(1.0, {}, of(*[BEN] * 6))
    assert judged(ada) == ("unclear", None)


def test_only_somebody_lost_near_by_may_come_back():
    ada, ben, _ = pair(other_seen=False)
    assert lost_near(ada, [ada, ben], 1.0) == [ben]
    ben.track.xyxy = ben.track.xyxy + np.float32(2000)
    assert lost_near(ada, [ada, ben], 1.0) == []


@pytest.mark.parametrize("count", [0, 1])
def test_without_strangers_nobody_is_the_same(count):
    likeness = Likeness.of(np.eye(1, 8, dtype=np.float32)[:count])
    assert likeness.same == likeness.clear == float("inf")


def test_likeness_follows_the_strangers():
    rng = np.random.default_rng(0)

    def strangers(shift):
        codes = rng.normal(size=(300, 64)) + shift
        return (codes / np.linalg.norm(codes, axis=1, keepdims=True)).astype(np.float32)

    far, near = Likeness.of(strangers(0.0)), Likeness.of(strangers(1.0))
    assert 0.2 < far.same < 0.4
    assert near.same > far.same + 0.2
