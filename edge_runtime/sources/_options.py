"""What may stand behind a source's argument: ``?size=1280x720&fps=15``, ``?realtime&loop``."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from edge_runtime.errors import ConfigError
from edge_runtime.schema.table import described


@dataclass(frozen=True)
class Mode:
    """What a camera is asked for; None: what it gives by itself.

    Attributes:
        size: width and height, px.
        fps: frames a second.
    """

    size: tuple[int, int] | None = None
    fps: float | None = None


def split_mode(argument: str, where: str) -> tuple[str, Mode]:
    """A camera's argument, and the size and rate asked for behind it.

    Raises:
        ConfigError: an unknown option, or one that cannot be read; it begins with ``where``.
    """
    argument, values = split_options(argument, {"size": _size, "fps": _fps}, where)
    return argument, Mode(**values)


def split_options(argument: str, known: Mapping[str, Callable[[str], Any]], where: str) -> tuple[str, dict[str, Any]]:
    """An argument, and the options behind its last question mark, each read by the function ``known`` has for it.

    Raises:
        ConfigError: an unknown option, or one that cannot be read; it begins with ``where``.
    """
    before, mark, query = argument.rpartition("?")
    if not mark:
        return argument, {}
    values = {}
    for part in query.split("&"):
        name, _, text = part.partition("=")
        try:
            values[name] = known[name](text)
        except KeyError:
            raise ConfigError(f"{where}: expected ?{' or ?'.join(known)}, found {described(part)}") from None
        except ValueError as error:
            raise ConfigError(f"{where}: {name}: expected {error}, found {described(text)}") from None
    return before, values


def flag(text: str) -> bool:
    """An option that is there or not."""
    if text:
        raise ValueError("nothing behind the word")
    return True


def _size(text: str) -> tuple[int, int]:
    if not re.fullmatch(r"[1-9]\d{1,4}x[1-9]\d{1,4}", text):
        raise ValueError("WIDTHxHEIGHT in px, as 1280x720")
    width, height = text.split("x")
    return int(width), int(height)


def _fps(text: str) -> float:
    try:
        fps = float(text)
    except ValueError:
        fps = math.nan
    if not 0.1 <= fps <= 240:
        raise ValueError("frames a second, 0.1 to 240")
    return fps
