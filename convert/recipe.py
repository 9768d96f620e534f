"""A recipe of conversion: one way of making an int8 model, as a TOML file; unknown keys are errors."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge_runtime.settings import key, read_toml, section

RECIPES = Path(__file__).parent / "recipes"


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

    name: str = key()
    calibration_chips: int = key(low=1, high=10_000)
    per_tensor_dense: bool = key(low=0, high=1)
    seed: int = key(low=0, high=2**32 - 1)
    cosine_mean: float = key(low=-1, high=1)
    cosine_p1: float = key(low=-1, high=1)
    cohort_codes: int = key(low=1, high=1_000_000)
    golden_chips: int = key(low=1, high=1000)


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
    document, _ = read_toml(path, f"a recipe, one of {', '.join(recipe_names())}, or a .toml file")
    return section(Recipe, {"name": path.stem, **document}, str(path))
