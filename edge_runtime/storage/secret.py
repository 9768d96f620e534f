"""Secrets of sinks: from a file or from the environment, never from the table itself and never shown."""

from __future__ import annotations

import os
from pathlib import Path

from edge_runtime.errors import ConfigError

_LONGEST = 4096


def read_secret(file: str, variable: str, where: str) -> str | None:
    """The secret that a file or a variable holds, without the line's end; None where neither is named.

    Args:
        file: path, or empty.
        variable: name in the environment, or empty; only one of the two.
        where: for the error line, as ``sink mqtt, password``.

    Raises:
        ConfigError: both are named, the file cannot be read, anybody may read it, or there is nothing in it.
    """
    if file and variable:
        raise ConfigError(f"{where}: expected a file or a variable, found both; delete one of them")
    if file:
        secret = _from_file(Path(file), where)
    elif variable:
        secret = os.environ.get(variable, "")
    else:
        return None
    if not secret or "\n" in secret:
        raise ConfigError(
            f"{where}: expected one line in {file or variable}, found {'several' if secret else 'nothing'}"
        )
    return secret


def _from_file(path: Path, where: str) -> str:
    try:
        if path.stat().st_mode & 0o007:
            raise ConfigError(f"{where}: {path} may be read by everybody; chmod 640 {path}")
        with path.open(encoding="utf-8") as stream:
            return stream.read(_LONGEST).rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{where}: expected a file with the secret, {path} cannot be read ({getattr(error, 'strerror', error)})"
        ) from error
