"""A recipe's file: TOML, perhaps on the base of another one, with keys changed from the command line."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edge_runtime.errors import ConfigError
from edge_runtime.schema.table import read_toml


def recipe_names(folder: Path) -> list[str]:
    """The recipes in a folder, sorted."""
    return sorted(path.stem for path in folder.glob("*.toml"))


def read_recipe(folder: Path, name_or_path: str, overrides: Sequence[str] = ()) -> tuple[dict[str, Any], Path, str]:
    """A recipe's document with ``overrides`` in it, its file, and the file's text; nothing is checked yet.

    Args:
        folder: of the recipes that come with the project.
        name_or_path: one of them by name, or a .toml file.
        overrides: ``section.key=value``, the value as TOML writes it (a string may go without quotes).

    Raises:
        ConfigError: no such recipe, or not TOML.
    """
    path = Path(name_or_path) if name_or_path.endswith(".toml") else folder / f"{name_or_path}.toml"
    document, text = _read(folder, path)
    for override in overrides:
        _override(document, override)
    return document, path, text


def _read(folder: Path, path: Path) -> tuple[dict[str, Any], str]:
    """A recipe's document and text; what it leaves out is as in the recipe it names as ``base``."""
    document, text = read_toml(path, f"a recipe, one of {', '.join(recipe_names(folder))}, or a .toml file")
    if "base" not in document:
        return document, text
    base = folder / f"{document.pop('base')}.toml"
    if base == path:
        raise ConfigError(f"{path}: base: expected another recipe, found itself")
    whole, base_text = _read(folder, base)
    for name, table in document.items():
        both = isinstance(table, dict) and isinstance(whole.get(name), dict)
        whole[name] = whole[name] | table if both else table
    return whole, f"{text}\n# base: {base.stem}\n{base_text}"


def _override(document: dict[str, Any], override: str) -> None:
    dotted, equals, text = override.partition("=")
    section, dot, key = dotted.partition(".")
    if not equals or not dot:
        raise ConfigError(f"--set {override!r}: expected section.key=value")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    table = document.setdefault(section, {})
    if isinstance(table, list):
        number, _, key = key.partition(".")
        if not number.isdecimal() or int(number) >= len(table):
            raise ConfigError(f"--set {override!r}: expected {section}.NUMBER.key below {len(table)}")
        table = table[int(number)]
    if isinstance(table, dict):
        table[key] = value
