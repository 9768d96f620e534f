"""Strangers that are drawn set the same threshold as real ones, and none of them is one."""

from __future__ import annotations

import numpy as np
import pytest

from convert.cohort.draw import Gaussian, make_cohort, person_means
from edge_runtime.errors import InputError


def clustered(people: int, seed: int, dims: int = 24) -> np.ndarray:
    """Codes of people who come in kinds, so that strangers have look-alikes: what a plain Gaussian misses."""
    kinds = np.random.default_rng(99).normal(size=(300, dims)) * np.linspace(1.5, 0.3, dims)
    rng = np.random.default_rng(seed)
    return kinds[rng.integers(0, 300, people)] + 0.8 * rng.normal(size=(people, dims)) + 0.3


def test_no_codes_have_no_means() -> None:
    assert person_means(np.zeros((0, 4), np.float32), []).shape == (0, 4)
    assert person_means(np.zeros((2, 4), np.float32), ["a", "b"]).shape == (0, 4)


def test_means_are_one_a_person_without_zero_codes_and_nobody_is_everybody() -> None:
    codes = np.array([[1, 0], [3, 0], [0, 0], [0, 5], [7, 7], [8, 8]], np.float32)
    means = person_means(codes, ["a", "a", "a", "b", "", ""])
    assert sorted(means.tolist()) == [[0, 5], [2, 0], [7, 7], [8, 8]]


def test_the_fit_has_the_mean_and_spread_of_its_rows() -> None:
    rng = np.random.default_rng(0)
    truth = np.diag([9.0, 4.0, 1.0, 0.25])
    rows = rng.multivariate_normal([1, 2, 3, 4], truth, 4000)
    drawn = Gaussian.fit(rows).draw(rng.standard_normal((40_000, 4)))
    np.testing.assert_allclose(drawn.mean(0), [1, 2, 3, 4], atol=0.1)
    np.testing.assert_allclose(np.cov(drawn.T), truth, atol=0.4)


def test_few_rows_are_shrunk_and_dead_columns_stay_dead() -> None:
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.normal(size=(12, 30)), np.full((12, 2), 3.0)], 1)
    fitted = Gaussian.fit(rows)
    assert 0.3 < fitted.shrinkage <= 1
    assert Gaussian.fit(rng.normal(size=(5000, 4)) * [1, 2, 3, 4]).shrinkage < 0.01
    np.testing.assert_allclose(fitted.draw(rng.standard_normal((9, 32)))[:, 30:], 3.0, atol=1e-6)
    sharp = fitted.draw(rng.standard_normal((20_000, 32)), 3.0)
    assert sharp.var(0).sum() == pytest.approx(fitted.variances.sum(), rel=0.1)


def test_drawn_strangers_score_like_real_ones_against_people_they_were_not_set_on() -> None:
    cohort = make_cohort(clustered(600, 1), clustered(300, 2), 3000)
    assert cohort.codes.dtype == np.int8 and cohort.codes.shape == (3000, 24) and cohort.people == 600
    assert (np.abs(cohort.codes).max(1) == 127).all()
    quantiles = cohort.quantiles
    assert quantiles["drawn"]["0.99"] == pytest.approx(quantiles["real"]["0.99"], abs=0.005)
    assert cohort.rates is not None
    assert 0.005 < cohort.rates["drawn"]["0.01"] < 1.3 * cohort.rates["real"]["0.01"]
    assert cohort.rates["plain"]["0.01"] > 2 * cohort.rates["drawn"]["0.01"]
    assert cohort.lenient is None


def test_strangers_that_no_gaussian_can_stand_for_are_owned_up_to() -> None:
    kinds = 5 * np.random.default_rng(0).normal(size=(20, 40))
    rng = np.random.default_rng(1)
    strangers, enrolled = (kinds[rng.integers(0, 20, 200)] + rng.normal(size=(200, 40)) for _ in range(2))
    cohort = make_cohort(strangers, enrolled, 1000)
    assert cohort.lenient is not None and "for 1.0%" in cohort.lenient


def test_no_real_code_is_among_them() -> None:
    real = clustered(300, 1)
    cohort = make_cohort(real, clustered(100, 2), 2000)
    unit = real / np.linalg.norm(real, axis=1, keepdims=True)
    codes = cohort.codes / np.linalg.norm(cohort.codes.astype(float), axis=1, keepdims=True)
    assert (codes @ unit.T).max() < 0.97


def test_the_same_seed_draws_the_same() -> None:
    first, again = (make_cohort(clustered(60, 1), None, 100, seed=4) for _ in range(2))
    np.testing.assert_array_equal(first.codes, again.codes)
    assert first.rates is None
    assert not np.array_equal(first.codes, make_cohort(clustered(60, 1), None, 100, seed=5).codes)


def test_too_few_people_are_refused_with_a_way_out() -> None:
    with pytest.raises(InputError, match="--cohort FILE"):
        make_cohort(clustered(9, 1), clustered(50, 2), 100)
