"""Show who came and went: a line a visit, with the number of the event that decided it.

A person is shown with the name that the gallery has now. --present says who is here now and who came first today.
--raw lists single events; so do --kind, --follow and --json.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from edge_runtime.app.people import open_people
from edge_runtime.config import Config, events_path, load_config, socket_path
from edge_runtime.control.client import ControlClient
from edge_runtime.control.protocol import Answer
from edge_runtime.decision.explanation import when, who
from edge_runtime.errors import UsageError
from edge_runtime.events.reader import EventReader
from edge_runtime.events.record import Record
from edge_runtime.gallery.opening import open_directory
from edge_runtime.text.moments import UNDERSTOOD, past_moment
from edge_runtime.types import Event, EventKind

_BATCH = 500
_PAGE = 1000
_POLL_S = 0.3
_TAIL = 10
"""How many of the latest events --follow begins with."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--since", metavar="TIME", help=UNDERSTOOD)
    parser.add_argument("--camera", metavar="NAME", help="only of this camera")
    parser.add_argument("--person", metavar="NAME", help="only of this person")
    parser.add_argument("--unknown", action="store_true", help="only of people who got no name")
    parser.add_argument("--present", action="store_true", help="who is here now, and who came first today")
    parser.add_argument("--raw", action="store_true", help="single events, not visits")
    parser.add_argument("--kind", choices=get_args(EventKind), help="only events of this kind")
    parser.add_argument("--follow", action="store_true", help="also print new events as they happen, until Ctrl-C")
    parser.add_argument("--json", action="store_true", help="machine-readable output: one object an event and line")


def run(args: argparse.Namespace) -> int:
    """Print visits or events, oldest first; returns the exit code.

    Raises:
        UsageError: text that is not a time, or options that exclude each other.
        InputError: nobody of that name.
        EventLogError: no log, or one that cannot be read.
        GalleryError: the gallery, which knows the names, cannot be read.
    """
    if args.person and args.unknown:
        raise UsageError("--person and --unknown: expected one of them")
    config = load_config(args.config, args.set)
    now_s = time.time()
    since_s = None if args.since is None else since(args.since, now_s)
    if args.present:
        return _present(config, args.json, now_s)
    if args.raw or args.json or args.follow or args.kind:
        return _events(config, args, since_s)
    return _visits(config, args, since_s)


def since(text: str, now_s: float) -> float:
    """Seconds since the Unix epoch that ``--since`` means.

    Raises:
        UsageError: neither a length of time nor a day.
    """
    if (found := past_moment(text, now_s)) is None:
        raise UsageError(f"--since {text!r}: expected {UNDERSTOOD}, found none of them")
    return found


def _events(config: Config, args: argparse.Namespace, since_s: float | None) -> int:
    person_id = None if args.person is None else open_directory(config).named(args.person)
    for records in _batches(events_path(config), args, since_s):
        directory = open_directory(config)
        for record in records:
            event = record.event(directory)
            if event is None or (
                person_id is not None and directory.listed(record.whose("person")) != directory.listed(person_id)
            ):
                continue
            if args.unknown and event.kind != "unknown":
                continue
            print(json.dumps(event.as_json(), ensure_ascii=False) if args.json else _line(event, record))
        sys.stdout.flush()
    return 0


def _visits(config: Config, args: argparse.Namespace, since_s: float | None) -> int:
    wanted = {"camera": args.camera or "", "person": args.person or "", "unknown": args.unknown}
    entries = _entries(config, since_s, **wanted)
    width = max((len(_who(one)) for one in entries if "first_s" in one), default=0)
    for one in entries:
        print(_visit_line(one, width) if "first_s" in one else f"{one['event_id']:>7}  {_plain_line(one)}")
    return 0


def _entries(config: Config, since_s: float | None, **wanted: Any) -> list[Answer]:
    """Visits and events of no track, by their beginning; see ``requests.visits``."""
    found: list[Answer] = []
    before_s, more = 0.0, True
    with open_people(config) as people:
        while more:
            answer = people.call(
                "events.visits", {"limit": _PAGE, "since": max(since_s or 0.0, 0.0), "before": before_s, **wanted}
            )
            page = sorted([*answer["visits"], *answer["events"]], key=_begin)
            found, more = page + found, answer["more"] and bool(page)
            before_s = _begin(page[0]) if page else 0.0
    return found


def _begin(entry: Answer) -> float:
    return float(entry["first_s"] if "first_s" in entry else entry["wall_time"])


def _who(visit: Answer) -> str:
    """The name, or what is known instead."""
    if visit["state"] == "identified":
        return visit["person"] or "somebody"
    return {"unknown": "unknown", "rejected": "not judged"}.get(visit["state"], "undecided")


def _visit_line(visit: Answer, width: int) -> str:
    begin, end = time.localtime(visit["first_s"]), time.localtime(visit["last_s"])
    same_day = begin[:3] == end[:3]
    until = "" if not visit["left"] else time.strftime("%H:%M:%S" if same_day else "%Y-%m-%d %H:%M:%S", end)
    decision = visit["decision"] or {}
    notes = [f"{score:.2f}"] if (score := decision.get("score")) is not None else []
    notes += [reason] if (reason := decision.get("reason")) else []
    notes += ["(marked as wrong)"] if decision.get("corrected") else []
    notes += [f"before: {', '.join(visit['earlier'])}"] if visit["earlier"] else []
    notes += [f"stranger {visit['stranger']}, visit {visit['visits']}"] if visit["stranger"] else []
    notes += ["(ignored)"] if visit["ignored"] else []
    span = f"{time.strftime('%Y-%m-%d %H:%M:%S', begin)}–{until:<8}"
    return "  ".join((f"{visit['event_id']:>7}", f"{_who(visit):<{width}}", span, visit["camera"], *notes)).rstrip()


def _plain_line(event: Answer) -> str:
    """An event of a camera or of the daemon."""
    at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(event["wall_time"]))
    return "  ".join(word for word in (at, event["camera"], event["kind"].replace("_", " "), event["reason"]) if word)


def _present(config: Config, as_json: bool, now_s: float) -> int:
    """Who is here now, by the daemon, and who came today, the first one first."""
    here = _here(config)
    today: dict[str, list[Answer]] = {}
    for one in _entries(config, since("today", now_s)):
        if "first_s" in one and one["person"] is not None:
            today.setdefault(one["person"], []).append(one)
    came = [
        {"person": name, "first_seen": found[0]["first_s"], "last_seen": found[-1]["last_s"], "visits": len(found)}
        for name, found in today.items()
    ]
    if as_json:
        print(json.dumps({"here": here, "today": came}, ensure_ascii=False))
        return 0
    if here is None:
        print("here now: not known, as no daemon runs")
    else:
        print("here now: " + (", ".join(f"{one['who']} ({one['camera']})" for one in here) or "nobody"))
    if not came:
        print("today: nobody came who has a name")
    for number, (name, found) in enumerate(today.items()):
        times = f"{len(found)} visits" if len(found) != 1 else "1 visit"
        first = "first today" if number == 0 else "then"
        print(f"{first}: {name}, {_clock(found[0]['first_s'])}, last seen {_clock(found[-1]['last_s'])}, {times}")
    return 0


def _here(config: Config) -> list[dict[str, Any]] | None:
    """Everybody in view, ``who`` by name or state and ``camera`` each; None: no daemon runs."""
    client = ControlClient.connect(socket_path(config))
    if client is None:
        return None
    with client:
        cameras = client.call("status", {})["cameras"]
    return [{"who": who, "camera": name} for name, camera in cameras.items() for who in camera["in_view"]]


def _clock(epoch_s: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(epoch_s))


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
