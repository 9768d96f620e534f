"""Backends by name: one file in a folder is one backend, imported when it is first asked for."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

from edge_runtime.errors import ConfigError


def backend_names(package: str) -> list[str]:
    """The names of a package's backends, sorted: its public modules."""
    paths = importlib.import_module(package).__path__
    return sorted(m.name for m in pkgutil.iter_modules(paths) if not m.name.startswith("_"))


def load_backend(package: str, name: str, kind: str) -> Any:
    """Import the module of backend ``name``.

    Args:
        package: the folder's dotted name, as ``edge_runtime.sources``.
        name: from a user; any text.
        kind: what the backend is, for the error line.

    Raises:
        ConfigError: no such backend.
    """
    names = backend_names(package)
    if name not in names:
        raise ConfigError(f"{kind} {name!r}: expected one of {', '.join(names)}; check the spelling")
    return importlib.import_module(f"{package}.{name}")
