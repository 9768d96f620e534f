"""Options that more than one command has."""

from __future__ import annotations

import argparse
from typing import Any


def add_common_again(parser: argparse.ArgumentParser) -> None:
    """The options of every command, after its action too; without a default, or it would undo one before it."""
    for option in ("--config", "--set"):
        extra: dict[str, Any] = {"action": "append"} if option == "--set" else {}
        parser.add_argument(option, default=argparse.SUPPRESS, help=argparse.SUPPRESS, **extra)
    parser.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
