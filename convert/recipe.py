"""A recipe of conversion: one way of making an int8 model, as a TOML file; unknown keys are errors."""

from __future__ import annotations

import dataclasses
import difflib
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge_runtime.errors import ConfigError

RECIPES = Path(__file__).parent / "recipes"


def _key(low: float, high: float) -> Any:
    return field(metadata={"low": low, "high": high})


@dataclass(frozen=True)
class Recipe:
    """Every key is required.

    Attributes:
        name: of the file.
        calibration_chips: how many real chips set the ranges of the tensors.
        per_tensor_dense: one scale for the weights of a dense layer.
        seed: of every draw.
        cosine_mean: the least mean cosine of float and int8 codes of held-out chips.
        cosine_p1: the same at the first percentile.
        cohort_codes: how many strangers' codes a bundle carries.
        golden_chips: how many pictures the self-test has.
    """

    name: str
    calibration_chips: int = _key(1, 10_000)
    per_tensor_dense: bool = _key(0, 1)
    seed: int = _key(0, 2**32 - 1)
    cosine_mean: float = _key(-1, 1)
    cosine_p1: float = _key(-1, 1)
    cohort_codes: int = _key(1, 1_000_000)
    golden_chips: int = _key(1, 1000)


def recipe_names() -> list[str]:
    """The recipes that come with the project, sorted."""
    return sorted(path.stem for path in RECIPES.glob("*.toml"))


def load_recipe(name_or_path: str) -> Recipe:
    """Read a recipe.

    Args:
        name_or_path: one of ``recipe_names()``, or a .toml file.

    Raises:
        ConfigError: no such recipe, not TOML, an unknown or missing key, a wrong type or a value out of range.
    """
    path = Path(name_or_path) if name_or_path.endswith(".toml") else RECIPES / f"{name_or_path}.toml"
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"recipe {name_or_path!r}: expected one of {', '.join(recipe_names())}, or a .toml file "
            f"({error.strerror or error})"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from error
    fields = {item.name: item for item in dataclasses.fields(Recipe) if item.metadata}
    for key in document.keys() - fields.keys():
        near = difflib.get_close_matches(key, fields, 1, 0.5)
        raise ConfigError(f"{path}: unknown key {key!r}; " + (f"did you mean {near[0]!r}?" if near else "remove it"))
    for key, item in fields.items():
        if key not in document:
            raise ConfigError(f"{path}: expected the key {key}, found none; see {RECIPES / 'int8.toml'}")
        value = document[key] = (
            float(document[key]) if item.type == "float" and type(document[key]) is int else document[key]
        )
        if type(value).__name__ != item.type:
            raise ConfigError(f"{path}: {key}: expected {item.type}, found {value!r}")
        if not item.metadata["low"] <= value <= item.metadata["high"]:
            raise ConfigError(
                f"{path}: {key}: expected {item.metadata['low']:g} to {item.metadata['high']:g}, found {value!r}"
            )
    return Recipe(path.stem, **document)
