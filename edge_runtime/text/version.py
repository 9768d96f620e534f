"""Which version of this program runs."""

from __future__ import annotations


def program_version() -> str:
    """As its wheel says; ``unknown`` where it was never installed."""
    from importlib.metadata import PackageNotFoundError, version  # loads a hundred files nobody else needs

    try:
        return version("familiar-edge")
    except PackageNotFoundError:
        return "unknown"
