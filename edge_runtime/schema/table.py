"""TOML tables into frozen dataclasses: unknown keys are errors that name the nearest known one.

The configuration and the recipes of training and conversion are read by these few functions.
"""

from __future__ import annotations

import dataclasses
import difflib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from edge_runtime.errors import ConfigError

Settings = TypeVar("Settings")


def key(
    default: Any = dataclasses.MISSING,
    help: str = "",
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
    secret: bool = False,
) -> Any:
    """One key of a settings dataclass.

    Args:
        default: taken where the table lacks the key; without a default the key is required.
        help: its meaning, for people.
        low, high: the range of a number, inclusive; both or neither.
        choices: the texts allowed.
        secret: never shown.
    """
    metadata = {"help": help, "low": low, "high": high, "choices": choices, "secret": secret}
    if default is dataclasses.MISSING:
        return dataclasses.field(metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def read_toml(path: Path, expected: str) -> tuple[dict[str, Any], str]:
    """A TOML file's document and its text.

    Args:
        path: of the file.
        expected: what should have been there, for the error line.

    Raises:
        ConfigError: it cannot be read, or is not TOML.
    """
    try:
        text = path.read_text(encoding="utf-8")
        return tomllib.loads(text), text
    except OSError as error:
        raise ConfigError(f"{path}: expected {expected}, cannot read it ({error.strerror or error})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from error


def section(kind: type[Settings], table: Any, where: str) -> Settings:
    """A dataclass made of ``key`` fields from one table.

    Raises:
        ConfigError: no table, an unknown or missing key, a wrong type, or a value out of range.
    """
    if not isinstance(table, dict):
        raise ConfigError(f"{where}: expected a table, found {table!r}")
    fields = {item.name: item for item in dataclasses.fields(kind)}  # type: ignore[arg-type]
    hints = get_type_hints(kind)
    for name in table:
        check_known(name, fields, where, "key")
    for name, item in fields.items():
        if name not in table and item.default is dataclasses.MISSING:
            raise ConfigError(f"{where}: expected the key {name!r}, found none")
    return kind(**{n: _checked(v, hints[n], fields[n].metadata, f"{where} {n}") for n, v in table.items()})


def check_known(name: str, known: Mapping[str, Any], where: str, what: str) -> None:
    """See that ``name`` is one of ``known``.

    Raises:
        ConfigError: it is not; the nearest known name is suggested.
    """
    if name not in known:
        near = difflib.get_close_matches(name, known, 1, 0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
        raise ConfigError(f"{where}: unknown {what} {name!r}; {hint}")


def _checked(value: Any, kind: Any, limits: Mapping[str, Any], where: str) -> Any:
    if get_origin(kind) is tuple:
        if not isinstance(value, list | tuple):
            raise ConfigError(f"{where}: expected a list, found {value!r}")
        return tuple(_checked(item, get_args(kind)[0], {}, where) for item in value)
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        raise ConfigError(f"{where}: expected {kind.__name__}, found {value!r}")
    if limits.get("low") is not None and not limits["low"] <= value <= limits["high"]:
        raise ConfigError(f"{where}: expected {limits['low']:g} to {limits['high']:g}, found {value!r}")
    if limits.get("choices") and value not in limits["choices"]:
        raise ConfigError(f"{where}: expected {' or '.join(limits['choices'])}, found {value!r}")
    return value
