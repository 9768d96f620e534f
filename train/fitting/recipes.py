"""The recipes of training that come with the project, read as ``edge_runtime.schema.recipe_file`` does."""

from __future__ import annotations

import functools
from pathlib import Path

from edge_runtime.schema import recipe_file

_FOLDER = Path(__file__).parent.parent / "recipes"

recipe_names = functools.partial(recipe_file.recipe_names, _FOLDER)
read_recipe = functools.partial(recipe_file.read_recipe, _FOLDER)
