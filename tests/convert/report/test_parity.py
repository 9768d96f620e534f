"""What int8 costs is told as it is, and the recipe's floors hold."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from convert.recipe import load_recipe
from convert.report.parity import compare
from edge_runtime.errors import ConfigError
from edge_runtime.geometry.embeddings import normalise

NAMES = [f"p{i // 3}" for i in range(60)]


def codes(noise: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(0)
    people = np.repeat(rng.normal(size=(20, 32)), 3, 0) + 0.3 * rng.normal(size=(60, 32))
    return (people + noise * rng.normal(size=people.shape)).astype(np.float32)


def test_the_same_codes_lose_nothing() -> None:
    parity = compare(codes(), *normalise(codes()), NAMES)
    assert parity.cosine["min"] == pytest.approx(1, abs=1e-6) and parity.norm_ratio["mean"] == pytest.approx(1)
    assert parity.pair_accuracy["float"] == parity.pair_accuracy["int8"] > 0.9
    assert (parity.chips, parity.people, parity.rejected) == (60, 20, {"float": 0, "int8": 0})
    assert parity.faults(load_recipe("int8")) == {}


def test_noise_shows_in_cosine_length_and_pairs() -> None:
    parity = compare(codes(), *normalise(1.5 * codes(2.0)), NAMES)
    assert parity.cosine["mean"] < 0.8 and parity.norm_ratio["mean"] > 1.5
    assert parity.pair_accuracy["int8"] < parity.pair_accuracy["float"]
    assert {"cosine_mean", "cosine_p1", "tmr_loss"} <= set(parity.faults(load_recipe("int8")))
    assert parity.separation["int8"] < parity.separation["float"]


def test_what_chance_may_do_to_few_pairs_is_no_loss() -> None:
    parity = compare(codes(), *normalise(codes()), NAMES)
    shares = {"float": 0.9, "int8": 0.88}
    recipe = load_recipe("int8")
    for error, faults in ((0.005, ["pair_accuracy_loss"]), (0.015, [])):
        assert (
            list(dataclasses.replace(parity, pair_accuracy=shares, pair_accuracy_error=error).faults(recipe)) == faults
        )


def test_a_few_lost_chips_show_at_the_first_percentile() -> None:
    lossy = codes()
    lossy[:2] = codes()[10:12]
    parity = compare(codes(), *normalise(lossy), NAMES)
    recipe = dataclasses.replace(load_recipe("int8"), cosine_mean=0.9)
    assert "cosine_p1" in parity.faults(recipe) and "cosine_mean" not in parity.faults(recipe)


def test_a_chip_that_only_int8_rejects_agrees_not_at_all() -> None:
    rejected = codes()
    rejected[5] = 0
    parity = compare(codes(), *normalise(rejected), NAMES)
    assert parity.cosine["min"] == 0 and parity.rejected == {"float": 0, "int8": 1}


def test_open_set_figures_need_people_with_photos_to_spare() -> None:
    names = [f"p{i // 6}" for i in range(60)]
    rng = np.random.default_rng(1)
    known = (np.repeat(rng.normal(size=(10, 32)), 6, 0) + 0.1 * rng.normal(size=(60, 32))).astype(np.float32)
    noisy = known + 2 * rng.normal(size=known.shape).astype(np.float32)
    found = compare(known, *normalise(noisy), names).identification
    assert found is not None and (found["people"], found["photos"]) == (5, 3)
    rate = found["rates"]["0.01"]
    assert rate["float"]["mean"] == 1.0 > rate["int8"]["mean"]
    assert compare(codes(), *normalise(codes()), NAMES).identification is None


def test_without_names_or_pairs_there_are_no_pair_figures() -> None:
    for names in ([""] * 60, [f"p{i}" for i in range(60)]):
        parity = compare(codes(), *normalise(codes()), names)
        assert parity.pairs == 0 and parity.pair_accuracy is None and parity.tmr_at_fmr_1e_3 is None


def test_dead_encoders_have_no_length() -> None:
    parity = compare(np.zeros((4, 8), np.float32), *normalise(np.zeros((4, 8), np.float32)), NAMES[:4])
    assert parity.norm_ratio is None and parity.rejected == {"float": 4, "int8": 4}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("seed = 0", "sead = 0"), "did you mean 'seed'"),
        (("seed = 0", ""), "seed"),
        (("seed = 0", 'seed = "0"'), "expected int"),
        (("cosine_mean = 0.99", "cosine_mean = 2"), "expected -1 to 1"),
        (("per_tensor_dense = true", "per_tensor_dense = 1"), "expected bool"),
        (("seed = 0", "seed = "), "TOML"),
    ],
)
def test_a_recipe_is_checked(change: tuple[str, str], said: str, tmp_path: object) -> None:
    from pathlib import Path

    from convert.recipe import RECIPES

    path = Path(str(tmp_path)) / "r.toml"
    path.write_text((RECIPES / "int8.toml").read_text().replace(*change))
    with pytest.raises(ConfigError, match=said):
        load_recipe(str(path))


def test_an_unknown_recipe_lists_the_known() -> None:
    with pytest.raises(ConfigError, match="one of as_is, dynamic, float16, int8, int8_qat"):
        load_recipe("int4")
