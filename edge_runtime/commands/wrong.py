"""Say that an event named the wrong person; whoever looks like that view does not get the name again.

familiar events lists the events. --was enrols the view for who it was. --undo takes it back. familiar people show
lists what was marked for a person. It needs [events] keep_embeddings, which is true by itself.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

from edge_runtime.app.people import open_people
from edge_runtime.commands._photos import note
from edge_runtime.config import Config, gallery_path, load_config
from edge_runtime.errors import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("event", type=int, metavar="EVENT", help="number of an event that named somebody")
    parser.add_argument("--was", default="", metavar="NAME", help="who it was; they are enrolled from this view")
    parser.add_argument("--force", action="store_true", help="enrol for --was although it looks like somebody else")
    parser.add_argument("--undo", action="store_true", help="take back what was said of this event")
    parser.add_argument("--json", action="store_true", help="machine-readable output")


def run(args: argparse.Namespace) -> int:
    """Correct an event; returns the exit code.

    Raises:
        UsageError: ``--undo`` together with ``--was``.
        EventLogError: no such event, or the log cannot be read.
        InputError: it named nobody, its embedding is not kept, or there is nothing to undo.
        FamiliarError: gallery or daemon cannot be used.
    """
    if args.undo and (args.was or args.force):
        raise UsageError("--undo: expected without --was and --force; correct the event again after it")
    config = load_config(args.config, args.set)
    return _undo(config, args) if args.undo else _correct(config, args)


def _correct(config: Config, args: argparse.Namespace) -> int:
    arguments = {"event_id": args.event, "was": args.was, "force": args.force}
    with open_people(config, enrolling=gallery_path(config).exists()) as people:
        answer = people.call("events.wrong", arguments)
    print(json.dumps(answer, indent=2) if args.json else "\n".join(_lines(args.event, args.was, answer)))
    return 0


def _lines(event_id: int, was: str, answer: dict[str, Any]) -> list[str]:
    effect, name = answer["effect"], answer["name"]
    lines = [
        f"event {event_id} was not {name} (score {effect['score']:.2f}): from now on a view needs to be "
        f"{effect['lead']:.2f} nearer to {name} than to this one"
    ]
    if effect["lost"]:
        lines.append(
            f"{effect['lost']} of {name}'s {effect['photos']} photos would not get the name any more; check that the "
            f"event was not {name}, or take it back: familiar wrong {event_id} --undo"
        )
    else:
        lines.append(f"all of {name}'s photos ({effect['photos']}) would still get the name")
    if (enrolled := effect["enrolled"]) is not None:
        taken = "enrolled" if enrolled["accepted"] else f"not enrolled: {enrolled['reason']}"
        lines.append(f"{was}: the view is {taken}")
    return lines


def _undo(config: Config, args: argparse.Namespace) -> int:
    with open_people(config) as people:
        answer = people.call("events.take_back", {"event_id": args.event})
    names = ", ".join(answer["people"])
    print(json.dumps(answer, indent=2) if args.json else f"event {args.event}: taken back for {names}")
    for name in answer["only"]:
        note(f"{name} has no other photo than this view and keeps it; familiar people forget {name!r}")
    return 0
