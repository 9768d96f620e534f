from __future__ import annotations

import dataclasses

import numpy as np
import pytest

pytest.importorskip("tensorflow")
from keras import ops

from train.encoder.losses import (
    WeightedLoss,
    cross_entropy,
    dissimilarity,
    distillation,
    divergence,
    margin_softmax,
    mean_squared_error,
    relations,
)
from train.encoder.recipe import LossPart
from train.evaluation.reconstruction import ssim


def rows(count: int, size: int, seed: int = 0) -> np.ndarray:
    values = np.random.default_rng(seed).normal(size=(count, size)).astype(np.float32)
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def test_reconstruction_against_numbers_by_hand():
    target, picture = np.array([[0.0, 1.0]], np.float32), np.array([[0.5, 0.75]], np.float32)
    assert float(mean_squared_error(target, picture)) == pytest.approx((0.25 + 0.0625) / 2)
    assert float(cross_entropy(target, picture)) == pytest.approx(-(np.log(0.5) + np.log(0.75)) / 2, rel=1e-5)
    assert np.isfinite(float(cross_entropy(target, 1 - target)))


def test_who_is_nearer_to_their_own_direction_by_the_margin_alone_is_a_coin_toss():
    margin, person = 0.2, np.array([0], np.int32)

    def loss(own: float, other: float, margin: float) -> float:
        cosine = ops.convert_to_tensor(np.array([[own, other]], np.float32))
        return float(margin_softmax(cosine, person, margin, 10))

    assert loss(0.5, 0.5, 0.0) == pytest.approx(np.log(2), rel=1e-5)
    assert loss(0.6, 0.4, margin) == pytest.approx(np.log(2), rel=1e-5)
    assert loss(0.7, 0.4, margin) < np.log(2) < loss(0.5, 0.4, margin)
    assert loss(0.9, -0.9, margin) < 1e-5 and loss(-0.9, 0.9, margin) > 15


def test_a_face_without_a_name_counts_for_nothing():
    cosine = ops.convert_to_tensor(np.array([[0.9, 0.1], [0.2, 0.4]], np.float32))
    alone = margin_softmax(cosine[:1], np.array([0], np.int32), 0.2, 10)
    both = margin_softmax(cosine, np.array([0, -1], np.int32), 0.2, 10)
    assert float(both) == pytest.approx(float(alone))
    assert float(margin_softmax(cosine, np.array([-1, -1], np.int32), 0.2, 10)) == 0


def test_distillation_is_zero_at_the_teacher_and_relations_need_no_common_axes():
    teacher = rows(6, 8)
    assert float(distillation(teacher, teacher)) == pytest.approx(0, abs=1e-6)
    assert float(distillation(-teacher, teacher)) == pytest.approx(2)
    turned = teacher @ np.linalg.qr(np.random.default_rng(1).normal(size=(8, 8)))[0].astype(np.float32)
    assert float(distillation(turned, teacher)) > 0.1
    assert float(relations(turned, teacher)) == pytest.approx(0, abs=1e-6)
    assert float(relations(rows(6, 4, 2), teacher)) > 0.01


def test_terms_are_weighted_and_absent_targets_left_out():
    part = LossPart(reconstruction=2.0, identity=0.5, distil=4.0)
    loss = WeightedLoss(part, identity=True)
    assert loss.terms == ["reconstruction", "identity", "distil"]
    outputs = {
        "picture": ops.zeros((2, 1, 1, 1)),
        "cosine": ops.convert_to_tensor(rows(2, 3)),
        "direction": ops.convert_to_tensor(rows(2, 4)),
        "taught0": ops.convert_to_tensor(rows(2, 4)),
    }
    targets = {"clean": np.ones((2, 1, 1, 1), np.float32), "teacher0": rows(2, 4)}
    values = loss(targets, outputs)
    assert set(values) == {"reconstruction", "distil"}
    assert float(values["reconstruction"]) == pytest.approx(2.0)
    assert set(loss({**targets, "person": np.array([0, 1], np.int32)}, outputs)) == set(loss.terms)
    assert WeightedLoss(dataclasses.replace(part, reconstruction=0.0), identity=False).terms == ["distil"]


def test_dissimilarity_is_what_evaluation_measures():
    rng = np.random.default_rng(0)
    smooth = np.cumsum(rng.normal(0, 0.05, (3, 24, 20, 3)), 1)
    target = np.clip(0.5 + smooth, 0, 1).astype(np.float32)
    picture = np.clip(target + rng.normal(0, 0.1, target.shape), 0, 1).astype(np.float32)
    assert float(dissimilarity(target, picture)) == pytest.approx(1 - ssim(target, picture).mean(), abs=1e-3)
    assert float(dissimilarity(target, target)) == pytest.approx(0, abs=1e-4)


def test_divergence_is_that_of_two_normal_distributions():
    assert float(divergence(np.zeros((2, 3), np.float32), np.zeros((2, 3), np.float32))) == 0
    mean, deviation = 1.5, 0.5
    x = np.linspace(-8, 8, 20_001)
    code, standard = (
        np.exp(-0.5 * ((x - m) / d) ** 2) / (d * np.sqrt(2 * np.pi)) for m, d in ((mean, deviation), (0.0, 1.0))
    )
    inside = code > 1e-30
    relative_entropy = float((code[inside] * np.log(code[inside] / standard[inside])).sum() * (x[1] - x[0]))
    spread = np.full((2, 3), np.log(deviation**2), np.float32)
    found = float(divergence(np.full((2, 3), mean, np.float32), spread))
    assert found == pytest.approx(relative_entropy, rel=1e-3)


def test_what_the_second_teacher_asks_for_counts_half_where_it_is_given_half():
    loss = WeightedLoss(LossPart(reconstruction=0, distil=2.0), False, [1.0, 0.5])
    told = {f"teacher{k}": rows(4, 3 + k, k) for k in range(2)}
    learned = {f"taught{k}": told[f"teacher{k}"] for k in range(2)}

    def unlearned(*teachers: int) -> float:
        outputs = learned | {f"taught{k}": -learned[f"taught{k}"] for k in teachers}
        return float(loss(told, outputs)["distil"])

    assert unlearned() == pytest.approx(0, abs=1e-6)
    assert unlearned(0) == pytest.approx(2 * unlearned(1)) and unlearned(1) > 0
    assert unlearned(0, 1) == pytest.approx(unlearned(0) + unlearned(1))
