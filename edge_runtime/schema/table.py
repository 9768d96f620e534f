"""TOML tables into frozen dataclasses: unknown keys are errors that name the nearest known one.

The configuration and the recipes of training and conversion are read by these few functions.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from edge_runtime.errors import ConfigError
from edge_runtime.schema.given_file import read_given
from edge_runtime.text.address import Address
from edge_runtime.text.masking import remember

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
        text = read_given(path, _LARGEST_BYTES).decode("utf-8").replace("\r\n", "\n")
        document = tomllib.loads(text)
        _remember_addresses(document)
        return document, text
    except OSError as error:
        raise ConfigError(f"{path}: expected {expected}, cannot read it ({error.strerror or error})") from error
    except (ValueError, RecursionError) as error:  # of TOML, UTF-8, a number or a path
        raise ConfigError(f"{path}: not valid TOML: {error}") from error


_LARGEST_BYTES = 1 << 20


def _remember_addresses(document: Any) -> None:
    """Know every address in a document as what it is, before a mistake in it, or beside it, is told."""
    waiting = [document]
    while waiting:
        item = waiting.pop()
        waiting += item.values() if isinstance(item, dict) else item if isinstance(item, list) else []
        if isinstance(item, str):
            remember_address(item)


def remember_address(text: str) -> None:
    """Know a text as an address if it may be one."""
    if "://" in text or "@" in text:
        Address(text)


def section(kind: type[Settings], table: Any, where: str, faults: list[ConfigError] | None = None) -> Settings:
    """A dataclass made of ``key`` fields from one table.

    Args:
        kind: the dataclass.
        table: of the document.
        where: for the error lines.
        faults: gets every mistake, and the key's default is taken instead; None: the first one is raised.

    Raises:
        ConfigError: no table, an unknown or missing key, a wrong type, or a value out of range.
    """
    if not isinstance(table, dict):
        raise ConfigError(f"{where}: expected a table, found {described(table)}")
    found = [] if faults is None else faults
    fields = {item.name: item for item in dataclasses.fields(kind)}  # type: ignore[arg-type]
    hints = get_type_hints(kind)
    values: dict[str, Any] = {}
    for name, value in table.items():
        with collected(found, faults is None):
            check_known(name, fields, where, "key")
            values[name] = _checked(value, hints[name], fields[name].metadata, f"{where} {name}")
    for name, item in fields.items():
        if name not in table and item.default is dataclasses.MISSING:
            raise ConfigError(f"{where}: expected the key {name!r}, found none")
    return kind(**values)


@contextmanager
def collected(faults: list[ConfigError], at_once: bool = False) -> Iterator[None]:
    """Put a ``ConfigError`` among ``faults`` instead of raising it, unless it is to be raised ``at_once``."""
    try:
        yield
    except ConfigError as error:
        if at_once:
            raise
        faults.append(error)


def check_known(name: str, known: Mapping[str, Any], where: str, what: str) -> None:
    """See that ``name`` is one of ``known``.

    Raises:
        ConfigError: it is not; the nearest known name is suggested.
    """
    if name not in known:
        near = difflib.get_close_matches(name[:_LONGEST_NAME], known, 1, 0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
        raise ConfigError(f"{where}: unknown {what} {described(name)}; {hint}")


def described(value: Any) -> str:
    """A value from outside, for an error line: short ones as they are, others by what they are.

    A text in the wrong place may be an address with a password in it, so only a word is repeated.
    """
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, str) and not _WORD.fullmatch(value):
        return f"a text of {len(value)} characters"
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10**_LONGEST_NUMBER:
        return "an integer that is far too large"
    return repr(value)


_LONGEST_NAME = 60
_LONGEST_NUMBER = 18
_WORD = re.compile(rf"[\w .,+=-]{{0,{_LONGEST_NAME}}}")
_TEXTS = (str, Address)


def _checked(value: Any, kind: Any, limits: Mapping[str, Any], where: str) -> Any:
    if get_origin(kind) is tuple:
        if not isinstance(value, list | tuple):
            raise ConfigError(f"{where}: expected a list, found {described(value)}")
        return tuple(_checked(item, get_args(kind)[0], {}, where) for item in value)
    if kind is float and type(value) is int and abs(value) < 10**_LONGEST_NUMBER:
        value = float(value)
    if type(value) is not (str if kind in _TEXTS else kind):
        raise ConfigError(f"{where}: expected {type_name(kind)}, found {described(value)}")
    if limits.get("low") is not None and not limits["low"] <= value <= limits["high"]:
        raise ConfigError(f"{where}: expected {limits['low']:g} to {limits['high']:g}, found {described(value)}")
    if limits.get("choices") and value not in limits["choices"]:
        raise ConfigError(f"{where}: expected {' or '.join(limits['choices'])}, found {described(value)}")
    if limits.get("secret") and isinstance(value, str):
        remember([value])
    return Address(value) if kind is Address else value


def type_name(kind: Any) -> str:
    """A key's type, as a file's author knows it."""
    return "str" if kind in (*_TEXTS, "Address") else getattr(kind, "__name__", str(kind))
