"""List the events that are kept, all or those you ask for; with --follow also those still to come.

A person is shown with the name that the gallery has now.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from edge_runtime.config import events_path, load_config
from edge_runtime.decision.explanation import when, who
from edge_runtime.errors import UsageError
from edge_runtime.events.reader import EventReader
from edge_runtime.events.record import Record
from edge_runtime.gallery.opening import open_directory
from edge_runtime.text.moments import UNDERSTOOD, past_moment
from edge_runtime.types import Event, EventKind

_BATCH = 500
_POLL_S = 0.3
_TAIL = 10
"""How many of the latest events --follow begins with."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--since", metavar="TIME", help=UNDERSTOOD)
    parser.add_argument("--camera", metavar="NAME", help="only of this camera")
    parser.add_argument("--kind", choices=get_args(EventKind), help="only of this kind")
    parser.add_argument("--follow", action="store_true", help="also print new events as they happen, until Ctrl-C")
    parser.add_argument("--json", action="store_true", help="machine-readable output: one object a line")


def run(args: argparse.Namespace) -> int:
    """Print events, oldest first; returns the exit code.

    Raises:
        UsageError: text that is not a time.
        EventLogError: no log, or one that cannot be read.
        GalleryError: the gallery, which knows the names, cannot be read.
    """
    config = load_config(args.config, args.set)
    since_s = None if args.since is None else since(args.since, time.time())
    for records in _batches(events_path(config), args, since_s):
        directory = open_directory(config)
        for record in records:
            event = record.event(directory)
            if event is not None:
                print(json.dumps(event.as_json(), ensure_ascii=False) if args.json else _line(event, record))
        sys.stdout.flush()
    return 0


def since(text: str, now_s: float) -> float:
    """Seconds since the Unix epoch that ``--since`` means.

    Raises:
        UsageError: neither a length of time nor a day.
    """
    if (found := past_moment(text, now_s)) is None:
        raise UsageError(f"--since {text!r}: expected {UNDERSTOOD}, found none of them")
    return found


def _batches(path: Path, args: argparse.Namespace, since_s: float | None) -> Iterator[list[Record]]:
    wanted = {"since_s": since_s, "camera": args.camera, "kind": args.kind}
    with EventReader(path) as reader:
        last = max(reader.newest - _TAIL, 0) if args.follow and since_s is None else 0
    while True:
        # Opened each time: it may have been set aside, and a new one begun.
        with EventReader(path) as reader:
            while records := reader.after(last, _BATCH, **wanted):
                yield records
                last = records[-1].event_id
        if not args.follow:
            return
        time.sleep(_POLL_S)


def _line(event: Event, record: Record) -> str:
    name = who(event, record, "person")
    detail = name or event.reason or ""
    if event.score is not None and event.threshold is not None and event.kind in ("identified", "unknown"):
        detail += f"{'  ' if detail else ''}score {event.score:.3f} of {event.threshold:.3f}"
    if event.stranger is not None:
        detail += f"{'  ' if detail else ''}stranger {event.stranger}, visit {event.visits}"
    if event.ignored:
        detail += f"{'  ' if detail else ''}(ignored)"
    words = (f"{event.event_id:>7}", when(event), event.camera, f"{event.kind:<11}", detail)
    return "  ".join(words).rstrip()
