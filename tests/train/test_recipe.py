from __future__ import annotations

import pytest

from edge_runtime.errors import ConfigError, InputError
from train.recipe import Recipe, load_recipe, parse_recipe, recipe_names


def test_an_empty_recipe_is_the_defaults():
    assert parse_recipe({}, "empty") == Recipe("empty", "")


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_that_comes_along_reads(name):
    recipe = load_recipe(name)
    assert recipe.name == name and "[fit]" in recipe.text
    assert recipe.preprocessing().template.size_wh == (recipe.input.size, recipe.input.size)


def test_dense_is_the_classic_one():
    recipe = load_recipe("dense")
    assert (recipe.input.size, recipe.input.colour) == (28, "grey")
    assert (*recipe.encoder.widths, recipe.encoder.code_size) == (128, 64, 32)
    assert recipe.decoder.widths == (64, 128)
    assert (recipe.optimiser.kind, recipe.fit.epochs, recipe.fit.batch) == ("adam", 50, 256)


def test_set_changes_a_key_in_its_own_type():
    recipe = load_recipe("dense", ["fit.epochs=3", "loss.reconstruction_kind=cross_entropy", "input.mean=[1]"])
    assert recipe.fit.epochs == 3
    assert recipe.loss.reconstruction_kind == "cross_entropy"
    assert recipe.input.mean == (1.0,)


@pytest.mark.parametrize(
    "override, message",
    [
        ("fit.epoch=3", "did you mean 'epochs'"),
        ("fitt.epochs=3", "did you mean 'fit'"),
        ("fit.epochs=0", "expected 1 to"),
        ("fit.epochs=many", "expected int, found 'many'"),
        ("encoder.kind=lstm", "expected dense or conv"),
        ("encoder.widths=3", "expected a list"),
        ("loss.reconstruction=0", "at least one weight"),
        ("epochs=3", "expected section.key=value"),
    ],
)
def test_what_is_wrong_is_named(override, message):
    with pytest.raises(ConfigError, match=message):
        load_recipe("dense", [override])


def test_colours_and_their_normalisation_go_together():
    with pytest.raises(InputError, match="expected 3 means"):
        load_recipe("dense", ["input.colour=rgb"])


def test_an_unknown_recipe_names_those_there_are():
    with pytest.raises(ConfigError, match="conv, conv_distil, dense, portrait"):
        load_recipe("nosuch")


def test_a_file_of_ones_own(tmp_path):
    (tmp_path / "mine.toml").write_text("[fit]\nepochs = 7\n")
    assert load_recipe(str(tmp_path / "mine.toml")).fit.epochs == 7
    (tmp_path / "mine.toml").write_text("[fit\n")
    with pytest.raises(ConfigError, match="not valid TOML"):
        load_recipe(str(tmp_path / "mine.toml"))
