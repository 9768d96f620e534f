"""Options that more than one command has."""

from __future__ import annotations

import argparse
from typing import Any

ALIASES = {"delete": "forget", "remove": "forget"}
"""Other words for an action; they are not listed, and there for those who try them."""


def add_action(actions: Any, written: str, action: str, summary: str) -> argparse.ArgumentParser:
    """The parser of an action, or of another word for it."""
    told = {"help": summary} if written == action else {}
    parser: argparse.ArgumentParser = actions.add_parser(written, description=summary, **told)
    parser.set_defaults(action=action)
    return parser


def add_common_again(parser: argparse.ArgumentParser) -> None:
    """The options of every command, after its action too; without a default, or it would undo one before it."""
    for option in ("--config", "--set"):
        extra: dict[str, Any] = {"action": "append"} if option == "--set" else {}
        parser.add_argument(option, default=argparse.SUPPRESS, help=argparse.SUPPRESS, **extra)
    parser.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
