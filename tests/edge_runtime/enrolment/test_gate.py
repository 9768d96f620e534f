"""What keeps a photo out: the majority of a person's photos, other people, the same photo twice."""

from __future__ import annotations

import numpy as np
import pytest

from edge_runtime.bundle.cohort_correction import CohortCorrection
from edge_runtime.decision.lookalikes import find_lookalikes
from edge_runtime.decision.matcher import Matcher
from edge_runtime.enrolment.gate import Enrolled, Strangers, check, collision, inconsistency
from edge_runtime.enrolment.outliers import consistency
from edge_runtime.gallery.store import Gallery
from edge_runtime.gallery.templates import Templates
from edge_runtime.geometry.embeddings import normalise
from edge_runtime.types import Floats
from tests.edge_runtime.decision.test_matcher import make_calibration

SIZE = 48


def units(rows: np.ndarray) -> Floats:
    return normalise(np.asarray(rows, np.float32))[0]


def person(seed: int, photos: int, spread: float = 0.08) -> Floats:
    rng = np.random.default_rng(seed)
    centre = rng.normal(size=SIZE) / np.sqrt(SIZE)
    return units(centre + spread * rng.normal(size=(photos, SIZE)))


def gallery(people: dict[str, Floats]) -> Templates:
    codes = np.concatenate(list(people.values()))
    index = np.repeat(np.arange(len(people)), [len(rows) for rows in people.values()])
    count = len(codes)
    return Templates(tuple(people), index, codes, np.ones(count, np.float32), 100 + np.arange(count))


STRANGERS = Strangers(units(np.random.default_rng(99).normal(size=(2000, SIZE))), 2000, CohortCorrection())
ONES = np.ones(20, np.float32)


def test_no_photo_and_one_photo_fit() -> None:
    for count in (0, 1):
        found = consistency(person(0, count), ONES[:count], STRANGERS.embeddings)
        assert not found.outlier.any() and len(found.score) == count


@pytest.mark.parametrize("counts", [(2, 2), (3, 2), (2, 3), (4, 4)])
def test_photos_of_two_people_are_not_taken_for_one(counts: tuple[int, int]) -> None:
    for seed in range(20):
        codes = np.concatenate([person(1000 + seed, counts[0]), person(2000 + seed, counts[1])])
        outlier = consistency(codes, ONES[: len(codes)], STRANGERS.embeddings).outlier.tolist()
        first_stays = [False] * counts[0] + [True] * counts[1]
        second_stays = [True] * counts[0] + [False] * counts[1]
        # The larger group stays; of two equal ones either.
        expected = [first_stays] * (counts[0] >= counts[1]) + [second_stays] * (counts[0] <= counts[1])
        assert outlier in expected


@pytest.mark.parametrize("place", [0, 2, 4])
def test_one_wrong_photo_is_found_wherever_it_stands(place: int) -> None:
    codes = np.insert(person(1, 4), place, person(2, 1)[0], axis=0)
    found = consistency(codes, ONES[:5], STRANGERS.embeddings)
    assert np.flatnonzero(found.outlier).tolist() == [place]
    assert found.score[place] < found.needed[place]


def test_good_photos_fit_each_other() -> None:
    assert not any(consistency(person(seed, 5), ONES[:5], STRANGERS.embeddings).outlier.any() for seed in range(30))


def test_of_two_that_differ_the_later_goes() -> None:
    codes = np.concatenate([person(1, 1), -person(1, 1)])
    assert consistency(codes, ONES[:2], STRANGERS.embeddings).outlier.tolist() == [False, True]


def test_a_photo_of_somebody_enrolled_collides_unless_it_is_nearer_to_its_own() -> None:
    people = gallery({"Anna": person(1, 3), "Bob": person(2, 3)})
    assert collision(Enrolled(people, STRANGERS), "Carla", person(3, 1)[0]) is None
    assert "looks like Anna" in str(collision(Enrolled(people, STRANGERS), "Bob", person(1, 4)[3]))
    assert "looks like Anna" in str(collision(Enrolled(people, STRANGERS), "Carla", person(1, 4)[3]))
    assert collision(Enrolled(people, STRANGERS), "ANNA", person(1, 4)[3]) is None
    assert collision(Enrolled(Templates.empty(SIZE), STRANGERS), "Anna", person(1, 1)[0]) is None


def test_the_same_photo_under_two_names_is_refused() -> None:
    codes = person(1, 3)
    assert "the same photo is enrolled as Anna" in str(
        collision(Enrolled(gallery({"Anna": codes}), STRANGERS), "Bob", codes[1])
    )


def test_inconsistency_speaks_of_the_last_photo_alone() -> None:
    good, wrong = person(1, 4), person(2, 1)
    assert inconsistency(good, ONES[:4], STRANGERS) is None
    assert "does not look like the other 4 photos" in str(
        inconsistency(np.concatenate([good, wrong]), ONES[:5], STRANGERS)
    )
    assert inconsistency(np.concatenate([wrong, good]), ONES[:5], STRANGERS) is None


def test_siblings_are_found_and_need_a_larger_margin() -> None:
    rng = np.random.default_rng(5)
    sister = person(1, 5)
    brother = units(sister.mean(0) + 0.03 * rng.normal(size=SIZE) + 0.08 * rng.normal(size=(5, SIZE)))
    people = gallery({"Anna": sister, "Ben": brother, "Carla": person(7, 5)})
    lookalikes = find_lookalikes(people, STRANGERS.embeddings, 0.02)
    (pair,) = lookalikes.pairs
    assert {people.names[pair.first], people.names[pair.second]} == {"Anna", "Ben"} and pair.margin > 0.03
    averages = people.person_embeddings()
    between = units((averages[0] * 0.52 + averages[1] * 0.48)[None])
    plain, careful = (Matcher(people, make_calibration(0.3), 0.0, kind) for kind in (None, lookalikes))
    assert plain.match(between)[0].person == "Anna" and careful.match(between)[0].person is None
    assert careful.match(averages[2:])[0].person == "Carla"
    assert find_lookalikes(gallery({"Anna": sister}), STRANGERS.embeddings, 0.02).pairs == ()


def test_check_finds_what_is_in_an_old_gallery() -> None:
    anna = np.concatenate([person(1, 4), person(2, 1)])
    people = gallery({"Anna": anna, "Bob": person(3, 1), "Carla": person(4, 3)})
    findings = check(Enrolled(people, STRANGERS), 0.02, forced=[106])
    kinds = {(finding.kind, finding.name, finding.template_id) for finding in findings}
    assert kinds == {("outlier", "Anna", 104), ("single", "Bob", None), ("forced", "Carla", 106)}
    assert check(Enrolled(Templates.empty(SIZE), STRANGERS), 0.02) == []


def test_the_check_of_one_person_says_what_the_whole_one_says_of_them() -> None:
    anna, twin = np.concatenate([person(1, 4), person(2, 1)]), person(3, 3)
    people = gallery(
        {"Anna": anna, "Bob": twin, "Bobby": units(twin + 0.02), "Carla": np.concatenate([twin[:1], anna])}
    )
    enrolled = Enrolled(people, STRANGERS)
    whole = check(enrolled, 0.02, forced=[106])
    assert {finding.kind for finding in whole} >= {"outlier", "collision", "lookalike", "forced"}
    for name in people.names:
        of_one = check(enrolled, 0.02, forced=[106], name=name.upper())
        assert sorted(map(repr, of_one)) == sorted(
            repr(finding)
            for finding in whole
            if finding.name == name or (finding.kind == "lookalike" and finding.other == name)
        )
    assert check(enrolled, 0.02, name="nobody here") == []


def test_photos_enrolled_one_after_the_other_leave_what_a_fresh_reading_finds(tmp_path) -> None:
    with Gallery.open(tmp_path / "g" / "gallery.db", tmp_path / "key", "e", "p", SIZE, "made") as opened:
        kept = opened.templates()
        for name, row in [("Anna", 0), ("Bob", 1), ("anna", 2), ("Carla", 3), ("BOB", 4)]:
            embedding = person(row, 1)[0]
            number = opened.add(name, embedding, 1.0 + row, f"{row}.jpg")
            known = next((other for other in kept.names if other.lower() == name.lower()), name)
            kept = kept.plus(known, embedding, 1.0 + row, number)
        fresh = opened.templates()
    assert fresh.names == kept.names == ("Anna", "Bob", "Carla")
    order = np.argsort(kept.person_index, kind="stable")
    np.testing.assert_array_equal(fresh.ids, kept.ids[order])
    np.testing.assert_allclose(fresh.embeddings, kept.embeddings[order], atol=1e-5)
    np.testing.assert_allclose(fresh.person_embeddings(), kept.person_embeddings(), atol=1e-5)
