"""Who is taken for whom, how visits are counted, and who has to go."""

from __future__ import annotations

import numpy as np
import pytest

from edge_runtime.bundle.folder import Bundle
from edge_runtime.errors import InputError
from edge_runtime.gallery.templates import Templates
from edge_runtime.types import Floats
from edge_runtime.unknowns.crowd import MOST_VIEWS, Crowd
from edge_runtime.unknowns.linkage import Linkage
from tests.builders import RELEASED
from tests.edge_runtime.unknowns.made import ALIKE, code, sighting


def crowd(most: int = 10) -> Crowd:
    return Crowd(ALIKE, most, visit_s=300.0)


def test_nobody_is_remembered_at_first() -> None:
    empty = crowd()
    assert empty.strangers() == [] and not empty.ignoring
    seen = empty.recognise(code(0), 0.0)
    assert (seen.visits, seen.ignored, len(seen.stranger_id)) == (1, False, 6)
    assert empty.strangers() == []
    with pytest.raises(InputError, match="familiar strangers"):
        empty.find(seen.stranger_id)


def test_alike_is_the_same_stranger_and_another_is_not() -> None:
    known = crowd()
    first = known.take(sighting(code(0)), 0.0)
    again = known.take(sighting(code(0, 0.7), 1000.0), 1.0)
    other = known.take(sighting(code(1), 1000.0), 1.0)
    assert again.stranger_id == first.stranger_id != other.stranger_id
    assert (again.visits, other.visits) == (2, 1)
    assert (again.first_s, again.last_s) == (0.0, 1010.0)


def test_ten_tracks_in_a_minute_are_one_visit_of_one_view() -> None:
    known = crowd()
    for number in range(10):
        stranger = known.take(sighting(code(0, 0.01 * number), 6.0 * number, 1 + number % 4), 0.0)
    assert stranger.visits == 1 and [view.weight for view in stranger.views] == [4]
    assert known.recognise(code(0), 64.0 + 300.0).visits == 1
    assert known.recognise(code(0), 65.0 + 300.0).visits == 2


def test_a_wall_clock_that_goes_back_makes_no_visit() -> None:
    known = crowd()
    known.take(sighting(code(0), 1e6), 0.0)
    stranger = known.take(sighting(code(0), 10.0), 1.0)
    assert (stranger.visits, stranger.last_s) == (1, 1e6 + 10)


def test_of_many_visits_the_best_views_are_kept() -> None:
    known = crowd()
    for number, weight in enumerate((5, 1, 4, 6, 2, 7, 3, 8)):
        stranger = known.take(sighting(code(0), 1000.0 * number, weight), 0.0)
    assert stranger.visits == 8
    assert [view.weight for view in stranger.views] == [5, 4, 6, 7, 3, 8][-MOST_VIEWS:]


def test_two_that_grow_together_become_the_older_one() -> None:
    known = crowd()
    first = known.take(sighting(code(0)), 0.0)
    second = known.take(sighting(code(0, 1.0), 1000.0), 1.0)
    assert first.stranger_id != second.stranger_id
    both = known.take(sighting(code(0, 0.45), 2000.0), 2.0)
    assert [one.stranger_id for one in known.strangers()] == [both.stranger_id] == [first.stranger_id]
    assert both.visits == 3 and len(both.views) == 3


def test_an_ignored_stranger_is_not_made_one_with_another() -> None:
    known = crowd()
    first = known.take(sighting(code(0)), 0.0)
    known.take(sighting(code(0, 1.0), 1000.0), 1.0)
    known.ignore(first.stranger_id, True)
    known.take(sighting(code(0, 0.45), 2000.0), 2.0)
    assert len(known) == 2 and known.ignoring
    assert known.recognise(code(0), 3000.0).ignored
    assert not known.recognise(code(0, 1.2), 3000.0).ignored


def test_who_it_seemed_to_be_is_who_it_is_while_that_may_be_true() -> None:
    known = crowd()
    one, other = (known.take(sighting(code(n)), 0.0) for n in (0, 1))
    between = code(0, np.pi / 4, towards=1)
    assert known.recognise(between, 0.0, other.stranger_id).stranger_id == other.stranger_id
    assert known.recognise(code(0), 0.0, other.stranger_id).stranger_id == one.stranger_id
    fresh = known.recognise(code(5), 0.0).stranger_id
    assert known.take(sighting(code(5)), 0.0, fresh).stranger_id == fresh


def test_who_was_dismissed_in_view_is_not_remembered_when_they_leave() -> None:
    known = crowd()
    stranger = known.take(sighting(code(0)), 0.0)
    seen = known.recognise(code(0), 1000.0)
    known.dismiss(stranger.stranger_id)
    assert known.take(sighting(code(0), 1000.0), 1.0, seen.stranger_id) is None
    assert known.strangers() == []
    assert known.take(sighting(code(0), 2000.0), 2.0) is not None


def test_too_many_push_out_who_was_longest_unseen_and_ignored_ones_last() -> None:
    known = crowd(most=3)
    ids = [known.take(sighting(code(n)), float(n)).stranger_id for n in range(3)]
    known.ignore(ids[0], True)
    newest = known.take(sighting(code(3)), 3.0).stranger_id
    assert {one.stranger_id for one in known.strangers()} == {ids[0], ids[2], newest}


def test_whose_time_is_up_goes_and_ignored_ones_have_longer() -> None:
    known = crowd()
    ids = [known.take(sighting(code(n)), float(n)).stranger_id for n in range(4)]
    known.ignore(ids[0], True)
    known.expire(2.0, 0.0)
    assert {one.stranger_id for one in known.strangers()} == {ids[0], ids[2], ids[3]}
    known.expire(2.0, 1.0)
    assert {one.stranger_id for one in known.strangers()} == set(ids[2:])


def people(codes: Floats) -> Templates:
    """Everybody with one view, as a crowd hands them to its linkage."""
    rows = np.arange(len(codes))
    return Templates(tuple(map(str, rows)), rows, codes, np.ones(len(codes), np.float32), rows)


def test_the_more_are_remembered_the_more_alike_one_must_be() -> None:
    bundle = Bundle(RELEASED)
    codes = bundle.strangers()
    for linkage in (Linkage.of(codes, bundle.manifest.realism, 200), Linkage.of_bundle(bundle, 200)):
        least = [linkage.least(people(codes[:count]))[0] for count in (1, 20, 200)]
        assert least[0] < least[1] < least[2]
    assert Linkage.of(codes[:1], bundle.manifest.realism, 200).least(people(codes[:5])).min() == np.inf


def test_drawn_strangers_are_taken_for_each_other_as_rarely_as_asked() -> None:
    bundle = Bundle(RELEASED)
    codes = np.random.default_rng(0).permutation(bundle.strangers())
    linkage = Linkage.of(codes, bundle.manifest.realism, 200, chance=0.05)
    remembered, others = codes[:100], codes[100:]
    taken = ((others @ remembered.T) >= linkage.least(people(remembered))).any(1).mean()
    assert 0.01 < taken < 0.06


def test_among_strangers_of_one_look_it_takes_more_to_be_the_same() -> None:
    bundle = Bundle(RELEASED)
    linkage, codes = Linkage.of_bundle(bundle, 200), bundle.strangers()
    assert bundle.looks is not None
    look = bundle.looks.parts(codes).argmax(1)
    alike = codes[look == np.bincount(look).argmax()][:50]
    among_alike, among_all = linkage.least(people(alike)), linkage.least(people(codes[:50]))
    assert len(alike) == 50 and among_alike.mean() > among_all.mean() + 0.02


def test_a_crowd_keeps_the_threshold_of_each_one() -> None:
    class Strict(Linkage):
        """One remembered who is hard to be."""

        def least(self, unknowns: Templates) -> Floats:
            return np.where(unknowns.person_embeddings() @ code(0) > 0.9, 0.99, 0.7).astype(np.float32)

    known = Crowd(Strict(np.array([np.inf], np.float32)), 10, 0.0)
    strict, mild = (known.take(sighting(code(n), 100.0 * n), float(n)) for n in (0, 1))
    assert strict is not None and mild is not None
    assert known.recognise(code(0, 0.3), 500.0).stranger_id != strict.stranger_id
    assert known.recognise(code(1, 0.3), 500.0).stranger_id == mild.stranger_id
