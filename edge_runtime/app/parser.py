"""The parser of every command line: of a word that is not known, it names the nearest one that is."""

from __future__ import annotations

import argparse
import difflib
from typing import Any

_ELSEWHERE = {
    **{word: f"people {word}" for word in ("list", "show", "rename", "note", "check", "drop", "forget", "reembed")},
    **dict.fromkeys(("delete", "remove"), "people forget"),
    **dict.fromkeys(("add", "register"), "enroll"),
    **dict.fromkeys(("log", "logs", "history", "who"), "events"),
    **dict.fromkeys(("recognize", "recognise", "name"), "identify"),
    **dict.fromkeys(("start", "watch"), "run"),
    **dict.fromkeys(("export", "import", "backup", "rekey"), "gallery"),
}
"""What people type for something that is called otherwise, or is an action of another command."""


class Parser(argparse.ArgumentParser):
    """See the module."""

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is None or value in action.choices:
            return
        known = [str(choice) for choice in action.choices]
        near = difflib.get_close_matches(str(value).lower(), known, 1, 0.6)
        other = _ELSEWHERE.get(str(value).lower(), "")
        meant = near[0] if near else other if other.partition(" ")[0] in known else None
        hint = f"did you mean {meant!r}?" if meant else f"choose from {', '.join(known)}"
        raise argparse.ArgumentError(action, f"{value!r} is not known; {hint}")
