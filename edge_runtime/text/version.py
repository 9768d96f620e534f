"""Which version of this program, and of a package that it uses, runs."""

from __future__ import annotations


def program_version() -> str:
    """As its wheel says; ``unknown`` where it was never installed."""
    return package_version("familiar-edge")


def package_version(name: str) -> str:
    """As the package's own description says; ``unknown`` where there is none."""
    from importlib.metadata import PackageNotFoundError, version  # loads a hundred files nobody else needs

    try:
        return version(name)
    except PackageNotFoundError:
        return "unknown"
