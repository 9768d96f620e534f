"""Options that more than one command has."""

from __future__ import annotations

import argparse
import datetime
import time
from typing import Any

from edge_runtime.errors import UsageError

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


def expiry(day: str) -> dict[str, Any]:
    """What ``people.note`` is asked: the end of a day in seconds since the Unix epoch, "never", or "" for no change.

    Raises:
        UsageError: no day as YYYY-MM-DD.
    """
    if not day:
        return {}
    if day == "never":
        return {"for_good": True}
    try:
        end = datetime.datetime.strptime(day, "%Y-%m-%d") + datetime.timedelta(days=1)
        until_s = end.timestamp()
    except (ValueError, OverflowError) as error:
        raise UsageError(f"--expires: expected a day as 2027-01-31, received {day!r}") from error
    if until_s <= time.time():
        raise UsageError(f"--expires: expected a day to come, received {day!r}, which is past; nothing was changed")
    return {"expires": until_s}
