"""Visitors who were seen and never named: list them, show one, name one, ignore one, forget one or all.

Nobody is remembered unless [strangers] remember is true. To name a stranger is to enrol them: they leave this list.
Events about an ignored stranger go to the log of events only.
"""

from __future__ import annotations

import argparse
import base64
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edge_runtime.app.people import open_people
from edge_runtime.commands._options import ALIASES, add_action, add_common_again
from edge_runtime.config import check_output, load_config
from edge_runtime.drawing.contact_sheet import Tile, draw_sheet, save_sheet
from edge_runtime.drawing.picture_file import picture_format
from edge_runtime.errors import EnrolmentError, UsageError
from edge_runtime.pictures.reader import decode_image
from edge_runtime.requests.access import PeopleAccess

_ACTIONS = {
    "list": ("everybody remembered, the latest seen first", ()),
    "show": ("what is kept of one stranger; --out draws the pictures of their visits", ("stranger",)),
    "name": ("enrol a stranger under a name", ("stranger", "name")),
    "ignore": ("send no more events about a stranger to sinks; they go to the log of events only", ("stranger",)),
    "unignore": ("send events about a stranger to sinks again", ("stranger",)),
    "forget": ("delete a stranger with everything kept of them, or --all", ()),
}
_MAX_MEGAPIXELS = 1.0
"""A crop is far smaller."""
_TILE_PX = 220


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="machine-readable output")
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    for written in (*_ACTIONS, *ALIASES):
        action = ALIASES.get(written, written)
        summary, names = _ACTIONS[action]
        sub = add_action(actions, written, action, summary)
        for name in names:
            sub.add_argument(name, metavar="ID" if name == "stranger" else name.upper())
        sub.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="machine-readable output")
        if action == "show":
            sub.add_argument("--out", type=Path, metavar="PAGE.png", help="draw the pictures kept of their visits")
        if action == "name":
            sub.add_argument("--force", action="store_true", help="enrol although they look like somebody else")
        if action == "forget":
            sub.add_argument("stranger", nargs="?", metavar="ID")
            sub.add_argument("--all", action="store_true", help="everybody, ignored ones too")
        add_common_again(sub)


def run(args: argparse.Namespace) -> int:
    """Run one action; returns the exit code.

    Raises:
        UsageError: forget without an id or ``--all``, or with both.
        InputError: nobody remembered has that id, an unusable name, or a page that cannot be written.
        EnrolmentError: nothing of the stranger could be enrolled.
        FamiliarError: strangers, gallery or daemon cannot be used.
    """
    action = args.action or "list"
    if action == "forget" and (args.stranger is None) != args.all:
        raise UsageError("strangers forget: expected the ID of a stranger, or --all")
    actions: dict[str, Callable[[PeopleAccess, argparse.Namespace], int]] = {
        "list": _list,
        "show": _show,
        "name": _name,
        "forget": _forget,
    }
    config = load_config(args.config, args.set)
    if action == "show" and args.out is not None:
        picture_format(check_output(config, args.out))
    with open_people(config, enrolling=action == "name", strangers=True) as people:
        return actions.get(action, _ignore)(people, args)


def _list(people: PeopleAccess, args: argparse.Namespace) -> int:
    found = people.call("strangers.list", {})["strangers"]
    if args.json:
        print(json.dumps(found, indent=2))
    elif not found:
        print("no stranger is remembered yet; with [strangers] remember = true the daemon remembers who leaves unnamed")
    for one in [] if args.json else found:
        print(_line(one))
    return 0


def _show(people: PeopleAccess, args: argparse.Namespace) -> int:
    stranger = people.call("strangers.show", {"stranger": args.stranger})
    if args.out is not None:
        _draw(stranger, args.out)
    if args.json:
        for record in stranger["records"]:
            record["crop"] = bool(record["crop"])
        print(json.dumps(stranger, indent=2))
        return 0
    print(_line(stranger))
    for record in stranger["records"]:
        print(f"  {_minute(record['at'])}  {record['camera']}  weight {record['weight']:.2f}")
    if args.out is not None:
        print(f"drawn: {args.out}")
    return 0


def _name(people: PeopleAccess, args: argparse.Namespace) -> int:
    arguments = {"stranger": args.stranger, "name": args.name, "force": args.force}
    answer = people.call("strangers.name", arguments)
    taken = sum(result["accepted"] for result in answer["results"])
    refused = dict.fromkeys(result["reason"] for result in answer["results"] if not result["accepted"])
    if args.json:
        print(json.dumps(answer, indent=2))
    else:
        for reason in refused:
            print(f"refused: {reason}")
    if not taken:
        raise EnrolmentError(f"{args.stranger}: nothing of this stranger could be enrolled as {answer['name']}")
    if not args.json:
        visits = f"{taken} of {len(answer['results'])} views"
        print(f"{answer['name']}: {visits} enrolled; {args.stranger} is no longer a stranger")
    return 0


def _ignore(people: PeopleAccess, args: argparse.Namespace) -> int:
    stranger = people.call(f"strangers.{args.action}", {"stranger": args.stranger})
    told = "is ignored" if stranger["ignored"] else "is no longer ignored"
    print(json.dumps(stranger, indent=2) if args.json else f"stranger {stranger['stranger']} {told}")
    return 0


def _forget(people: PeopleAccess, args: argparse.Namespace) -> int:
    if args.all:
        answer = people.call("strangers.clear", {})
        count = answer["forgotten"]
        told = "1 stranger is forgotten" if count == 1 else f"{count} strangers are forgotten"
    else:
        answer = people.call("strangers.forget", {"stranger": args.stranger})
        told = f"stranger {answer['stranger']} is forgotten"
    print(json.dumps(answer, indent=2) if args.json else told)
    return 0


def _draw(stranger: dict[str, Any], path: Path) -> None:
    tiles = [
        Tile(
            decode_image(base64.b64decode(record["crop"]), "crop", _MAX_MEGAPIXELS),
            (),
            _minute(record["at"]),
            f"camera {record['camera']}",
        )
        for record in stranger["records"]
        if record["crop"]
    ]
    sheet = draw_sheet(tiles, f"stranger {stranger['stranger']}", _seen(stranger), 3, _TILE_PX)
    save_sheet(sheet, path, 0o600)


def _line(stranger: dict[str, Any]) -> str:
    ignored = "  (ignored)" if stranger["ignored"] else ""
    return f"{stranger['stranger']}  {_seen(stranger)}  {', '.join(stranger['cameras'])}{ignored}"


def _seen(stranger: dict[str, Any]) -> str:
    times = "seen once" if stranger["visits"] == 1 else f"seen {stranger['visits']} times"
    return f"{times}, {_minute(stranger['first_seen'])} to {_minute(stranger['last_seen'])}"


def _minute(epoch_s: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(epoch_s))
