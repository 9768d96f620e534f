"""Measures against cases worked by hand and against slow definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edge_runtime.errors import InputError
from edge_runtime.metrics.biometrics import (
    cosine_summary,
    dir_at_fpir,
    pair_accuracy,
    pair_similarity,
    roc,
    rule_of_three,
    tmr_at_fmr,
    wilson_interval,
)


def turned(*degrees: float) -> np.ndarray:
    """Unit codes in the plane at these angles, float32 (N, 2)."""
    angle = np.radians(degrees)
    return np.stack([np.cos(angle), np.sin(angle)], 1).astype(np.float32)


def crowd(people: int, photos: int, noise: float, seed: int = 0, size: int = 32) -> tuple[np.ndarray, list[str]]:
    """Codes of people around random centres, and their names."""
    rng = np.random.default_rng(seed)
    centres = np.repeat(rng.normal(size=(people, size)), photos, 0)
    codes = centres + noise * rng.normal(size=centres.shape)
    return codes.astype(np.float32), [f"person {i // photos:03d}" for i in range(people * photos)]


class TestPairs:
    def test_similarity_is_the_cosine_and_a_zero_code_never_matches(self):
        left = np.array([[2, 0], [1, 1], [0, 0], [1, 0]], np.float32)
        right = np.array([[5, 0], [1, -1], [1, 0], [0, 0]], np.float32)
        assert pair_similarity(left, right).tolist() == pytest.approx([1, 0, -1, -1])

    def test_no_pairs(self):
        assert pair_similarity(np.zeros((0, 4), np.float32), np.zeros((0, 4), np.float32)).shape == (0,)
        with pytest.raises(InputError, match="of same and of different pairs"):
            roc([], [])

    def test_two_shapes(self):
        with pytest.raises(InputError, match="one shape"):
            pair_similarity(np.ones((2, 4), np.float32), np.ones((3, 4), np.float32))

    def test_accuracy_by_hand(self):
        # Fold 1 alone would cut between 0.3 and 0.6 (middle 0.45), fold 2 between 0.5 and 0.7 (middle 0.6).
        similarity = [0.6, 0.9, 0.3, 0.1, 0.7, 0.8, 0.5, 0.2]
        same = [True, True, False, False] * 2
        found = pair_accuracy(similarity, same, [1] * 4 + [2] * 4)
        assert found.folds == (1, 2)
        assert found.threshold == pytest.approx((0.6, 0.45))
        # 0.6 does not exceed 0.6, and 0.5 does exceed 0.45.
        assert found.accuracy == (0.75, 0.75)
        assert (found.mean, found.standard_error) == (0.75, 0)

    def test_standard_error_is_of_the_mean_over_folds(self):
        similarity = [0.9, 0.1, 0.9, 0.1, 0.9, 0.1, 0.4, 0.6]
        found = pair_accuracy(similarity, [True, False] * 4, [1, 1, 2, 2, 3, 3, 4, 4])
        assert found.accuracy == (1, 1, 1, 0)
        assert found.mean == 0.75
        assert found.standard_error == pytest.approx(np.std([1, 1, 1, 0], ddof=1) / 2)

    def test_threshold_is_not_fitted_to_the_fold_it_judges(self):
        noise = np.random.default_rng(0).normal(size=40)
        found = pair_accuracy(noise, [True, False] * 20, np.arange(40) // 2)
        assert found.mean < 0.65  # each fold by its own best threshold would reach 0.75 on noise

    def test_one_fold_cannot_set_its_own_threshold(self):
        with pytest.raises(InputError, match="at least two folds"):
            pair_accuracy([0.1, 0.9], [False, True], [1, 1])


class TestRoc:
    def test_by_hand(self):
        curve = roc([0.9, 0.8, 0.7, 0.6], [True, False, True, False])
        assert curve.fmr.tolist() == [0, 0, 0.5, 0.5, 1]
        assert curve.tmr.tolist() == [0, 0.5, 0.5, 1, 1]
        assert curve.threshold.tolist() == [0.9, 0.8, 0.7, 0.6, -np.inf]
        assert curve.auc == 0.75
        assert curve.eer == 0.5

    def test_perfect_and_useless(self):
        assert (roc([1, 0], [True, False]).auc, roc([1, 0], [True, False]).eer) == (1, 0)
        assert (roc([0, 1], [True, False]).auc, roc([0, 1], [True, False]).eer) == (0, 1)
        # Equal scores are one point, so a constant is worth exactly a coin.
        assert (roc([5, 5, 5], [True, False, True]).auc, roc([5, 5, 5], [True, False, True]).eer) == (0.5, 0.5)

    def test_auc_is_the_chance_of_the_right_order(self):
        rng = np.random.default_rng(1)
        scores, same = rng.integers(0, 8, 60).astype(float), rng.random(60) < 0.4
        a, b = scores[same][:, None], scores[~same]
        assert roc(scores, same).auc == pytest.approx(np.mean((a > b) + 0.5 * (a == b)))

    def test_one_kind_of_pair_or_nan(self):
        for scores, same in (([1.0, 2.0], [True, True]), ([1.0, np.nan], [True, False])):
            with pytest.raises(InputError):
                roc(scores, same)


class TestTmrAtFmr:
    def test_by_hand_everybody_weighs_the_same(self):
        # Pairs of people: a-b 8 photo pairs weighing 1/8 each, a-c 4 of 1/4, b-c 2 of 1/2: 3 together.
        codes = turned(0, 1, 2, 3, 20, 60, 180)
        found = tmr_at_fmr(codes, ["a"] * 4 + ["b"] * 2 + ["c"], 0.2)
        # 0.6 of 3 may pass: a's four photos with b's first one weigh 4/8, the next (57 degrees) would make 5/8.
        assert found.threshold == pytest.approx(math.cos(math.radians(57)))
        assert found.people == 2
        assert found.tmr == 1
        # 0.3 of 3 is less than three of those: 17, 18 degrees pass, 19 is the threshold; b's pair at 40 fails.
        found = tmr_at_fmr(codes, ["a"] * 4 + ["b"] * 2 + ["c"], 0.1)
        assert found.threshold == pytest.approx(math.cos(math.radians(19)))
        assert found.tmr == 0.5

    @pytest.mark.parametrize("fmr", [1e-3, 0.05, 0.5])
    def test_blocks_give_what_the_definition_gives(self, fmr):
        codes, names = crowd(180, 7, 1.0, size=8)
        keep = np.random.default_rng(3).random(len(codes)) < 0.6
        codes, names = codes[keep], [n for n, k in zip(names, keep, strict=True) if k]
        person = np.unique(names, return_inverse=True)[1]
        unit = codes / np.linalg.norm(codes, axis=1, keepdims=True)
        scores, size = unit @ unit.T, np.bincount(person)
        i, j = np.triu_indices(len(codes), 1)
        other = person[i] != person[j]
        weight = (1 / size[person[i]] / size[person[j]])[other]
        order = np.argsort(-scores[i, j][other])
        total = len(size) * (len(size) - 1) / 2
        at = int(np.searchsorted(np.cumsum(weight[order]), fmr * total, side="right"))
        threshold = scores[i, j][other][order][at]
        mine = [np.mean(scores[i, j][~other & (person[i] == p)] > threshold) for p in range(len(size)) if size[p] > 1]
        found = tmr_at_fmr(codes, names, fmr)
        assert found.threshold == pytest.approx(threshold, abs=1e-6)
        assert found.tmr == pytest.approx(np.mean(mine), abs=2e-3)

    def test_a_photo_without_a_face_is_a_miss(self):
        codes = np.concatenate([turned(0, 0), np.zeros((1, 2), np.float32), turned(90)])
        assert tmr_at_fmr(codes, ["a", "a", "a", "b"], 0.01).tmr == pytest.approx(1 / 3)

    @pytest.mark.parametrize("names", [["a", "a"], ["a", "b"]])
    def test_one_person_or_one_photo_each(self, names):
        with pytest.raises(InputError, match="two people and one of them with two photos"):
            tmr_at_fmr(turned(0, 10), names)

    def test_nothing(self):
        with pytest.raises(InputError, match="at least one code"):
            tmr_at_fmr(np.zeros((0, 2), np.float32), [])


class TestOpenSet:
    def test_by_hand(self):
        # One may be enrolled ("a", photos at 0 degrees); its searches lie at 5 and 50, strangers at 10, 40 and 180.
        codes = turned(0, 0, 0, 5, 50, 10, 40, 180)
        names = ["a"] * 5 + ["b", "c", "d"]
        enrollable = np.array([True] * 3 + [False] * 5)
        rates = dir_at_fpir(codes, names, (0, 1 / 3, 2 / 3, 1), people=1, draws=2, enrollable=enrollable)
        assert [r.dir_mean for r in rates] == [0.5, 0.5, 1, 1]
        cosines = [math.cos(math.radians(x)) for x in (10, 40, 180)]
        assert [r.threshold_mean for r in rates][:3] == pytest.approx(cosines)
        assert {(r.searches, r.strangers, r.dir_std) for r in rates} == {(2, 3, 0)}

    def test_the_wrong_name_is_a_miss_even_without_a_threshold(self):
        codes, names = turned(0, 90, 90, 10, 180), ["a", "a", "b", "b", "c"]
        enrollable = np.array([True, False, True, False, False])
        (closed,) = dir_at_fpir(codes, names, (1,), people=2, photos=1, draws=2, enrollable=enrollable)
        assert closed.dir_mean == 0  # a's search looks like b, and b's like a

    def test_best_of_and_mean_differ_where_a_person_has_two_looks(self):
        codes = turned(0, 120, 60, 55, 180)
        names = ["a"] * 3 + ["s", "t"]
        enrollable = np.array([True, True, False, False, False])

        def rate(template):
            found = dir_at_fpir(
                codes, names, (0,), people=1, photos=2, draws=2, template=template, enrollable=enrollable
            )
            return found[0]

        assert rate("mean").threshold_mean == pytest.approx(math.cos(math.radians(5)))
        assert rate("best").threshold_mean == pytest.approx(math.cos(math.radians(55)))
        assert rate("mean").dir_mean == 1  # 60 degrees is the middle of the two looks
        assert rate("best").dir_mean == 0

    def test_a_search_without_a_face_is_a_miss_and_no_enrolment(self):
        codes, names = crowd(12, 5, 0.01)
        codes[4::5] = 0
        (rate,) = dir_at_fpir(codes, names, (1,), people=6, draws=3)
        assert rate.searches == 12
        assert rate.dir_mean == 0.5

    def test_draws_are_seeded_and_spread(self):
        codes, names = crowd(60, 5, 1.1)
        first, again, other = (
            dir_at_fpir(codes, names, (0.01,), people=20, draws=5, seed=seed)[0] for seed in (0, 0, 1)
        )
        assert first == again
        assert first.dir_mean != other.dir_mean
        assert 0 < first.dir_mean < 1
        assert first.dir_std > 0
        assert (first.searches, first.strangers) == (40, 200)

    def test_a_lower_fpir_never_finds_more(self):
        codes, names = crowd(80, 5, 1.3)
        rates = [r.dir_mean for r in dir_at_fpir(codes, names, (0.001, 0.01, 0.1, 1), people=20)]
        assert rates == sorted(rates)
        assert rates[0] < rates[-1]

    def test_too_few_people(self):
        codes, names = crowd(5, 5, 0.1)
        with pytest.raises(InputError, match="expected 40 people with more than 3 photos"):
            dir_at_fpir(codes, names)
        with pytest.raises(InputError, match="strangers"):
            dir_at_fpir(codes, names, people=5)
        with pytest.raises(InputError, match="at least one code"):
            dir_at_fpir(codes[:0], [])
        with pytest.raises(InputError, match="2 draws"):
            dir_at_fpir(codes, names, people=2, draws=1)


class TestCosineSummary:
    def test_by_hand(self):
        a = np.array([[2, 0], [1, 0], [0, 0], [1, 1]], np.float32)
        b = np.array([[1, 0], [0, 3], [0, 0], [2, 2]], np.float32)
        found = cosine_summary(a, b)
        assert found["mean"] == pytest.approx(0.75)
        assert found["min"] == 0
        assert found["p1"] == pytest.approx(0.03)

    def test_one_sided_rejection_is_no_agreement(self):
        assert cosine_summary(turned(0), np.zeros((1, 2), np.float32))["min"] == 0

    @pytest.mark.parametrize("a, b", [(np.zeros((0, 3)), np.zeros((0, 3))), (np.ones((2, 3)), np.ones((2, 4)))])
    def test_nothing_or_two_shapes(self, a, b):
        with pytest.raises(InputError, match="one shape"):
            cosine_summary(a, b)


class TestProportions:
    def test_wilson_against_the_published_example(self):
        # Newcombe (1998), table I: 81 of 263 gives 0.2553 to 0.3662; 0 of 20 gives 0 to 0.1611.
        assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
        assert wilson_interval(0, 20) == pytest.approx((0, 0.1611), abs=5e-5)
        assert wilson_interval(20, 20) == pytest.approx((0.8389, 1), abs=5e-5)

    def test_rule_of_three(self):
        assert rule_of_three(1000) == 0.003
        assert rule_of_three(2) == 1

    def test_no_trials(self):
        with pytest.raises(InputError):
            wilson_interval(0, 0)
        with pytest.raises(InputError):
            wilson_interval(3, 2)
        with pytest.raises(InputError):
            rule_of_three(0)
