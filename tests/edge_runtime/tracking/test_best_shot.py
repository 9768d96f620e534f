import numpy as np

from edge_runtime.tracking.best_shot import BestShot, View

CHIP = np.zeros((1, 8, 8, 3), np.uint8)


def offer(choice, weight, at_s, decided=False):
    """The weight of the view to encode now, or None."""
    chosen = choice.offer(weight, at_s, decided, lambda: View(CHIP, weight, {}))
    return chosen and chosen.weight


def test_the_best_view_of_a_moment_is_taken():
    choice = BestShot()
    assert [offer(choice, weight, at / 10) for at, weight in enumerate([5.0, 2.0, 3.0])] == [None, None, 5.0]


def test_a_face_that_stays_as_it_is_is_not_waited_for():
    choice = BestShot()
    assert [offer(choice, weight, at / 20) for at, weight in enumerate([3.0, 3.1, 2.9, 3.2])] == [None, 3.1, 2.9, 3.2]


def test_a_view_that_cannot_be_better_is_not_waited_over():
    assert offer(BestShot(), 9.0, 0.0) == 9.0


def test_where_views_are_rare_none_is_waited_for():
    choice = BestShot()
    assert [offer(choice, 2.0, at / 2) for at in range(4)] == [None, 2.0, 2.0, 2.0]


def test_a_view_is_cut_only_if_it_is_better():
    choice, cuts = BestShot(), []
    for at, weight in enumerate([3.0, 2.0, 1.0]):
        choice.offer(weight, at / 20, False, lambda w=weight: cuts.append(w) or View(CHIP, w, {}))
    assert cuts == [3.0]


def test_a_decided_face_is_looked_at_again_rarely_and_only_in_a_good_view():
    choice = BestShot()
    for at in range(6):
        offer(choice, 6.0, at / 10)
    choice.checked(1.0, 1.0, agreed=True)
    assert not choice.wants(1.9)
    assert choice.wants(2.0)
    assert offer(choice, 2.0, 2.0, decided=True) is None
    assert offer(choice, 5.0, 3.0, decided=True) == 5.0


def test_re_checks_that_agree_become_rarer_up_to_a_limit_and_doubt_brings_them_back():
    choice, at_s, gaps = BestShot(), 0.0, []
    for _ in range(6):
        choice.checked(at_s, 1.0, agreed=True)
        gaps.append(next(s for s in range(1, 100) if choice.wants(at_s + s)))
        at_s += gaps[-1]
    assert gaps == [1, 2, 4, 8, 8, 8]
    choice.checked(at_s, 1.0, agreed=False)
    assert choice.wants(at_s + 1.0)
    choice.hurry()
    assert choice.wants(at_s)


def test_what_waits_is_forgotten_when_it_may_be_somebody_else():
    choice = BestShot()
    offer(choice, 8.0, 0.0)
    choice.forget()
    assert offer(choice, 2.0, 0.1) is None
    assert offer(choice, 3.0, 0.25) == 3.0
