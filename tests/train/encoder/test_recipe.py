from __future__ import annotations

import pytest

from edge_runtime.errors import ConfigError, InputError
from train.encoder.recipe import Recipe, load_recipe, parse_recipe
from train.fitting.recipes import read_recipe, recipe_names


def test_an_empty_recipe_is_the_defaults():
    assert parse_recipe({}, "empty") == Recipe("empty", "")


@pytest.mark.parametrize(
    "name", [name for name in recipe_names() if not {"detector", "refiner"} & set(read_recipe(name)[0])]
)
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
    with pytest.raises(ConfigError, match=r"conv, conv_distil, deeper, denoising, dense, .*, portrait, "):
        load_recipe("nosuch")


def test_what_a_recipe_leaves_out_is_as_in_its_base(tmp_path):
    base, one = load_recipe("portrait"), load_recipe("denoising")
    assert one.encoder == base.encoder and one.loss == base.loss and one.augment.noise > base.augment.noise
    assert one.augment.rotate_deg == base.augment.rotate_deg
    assert "# base: portrait" in one.text and one.text.startswith("# The network of portrait.toml, which")
    (tmp_path / "mine.toml").write_text('base = "nosuch"\n')
    with pytest.raises(ConfigError, match="one of conv"):
        load_recipe(str(tmp_path / "mine.toml"))


def test_further_teachers_have_sections_of_their_own(tmp_path):
    path = tmp_path / "two.toml"
    path.write_text('base = "conv_distil"\n[[teachers]]\nsize = 96\nweight = 0.5\n')
    recipe = load_recipe(str(path), ["teachers.0.path=/home/somebody/second.onnx"])
    (second,) = recipe.teachers
    assert (second.size, second.weight, second.path) == (96, 0.5, "/home/somebody/second.onnx")
    assert recipe.values()["teachers"][0]["path"] == "second.onnx"
    with pytest.raises(ConfigError, match="below 1"):
        load_recipe(str(path), ["teachers.1.path=third.onnx"])


def test_a_file_of_ones_own(tmp_path):
    (tmp_path / "mine.toml").write_text("[fit]\nepochs = 7\n")
    assert load_recipe(str(tmp_path / "mine.toml")).fit.epochs == 7
    (tmp_path / "mine.toml").write_text("[fit\n")
    with pytest.raises(ConfigError, match="not valid TOML"):
        load_recipe(str(tmp_path / "mine.toml"))
