"""The people this device knows: list, show, rename, merge, check, forget; make embeddings again for a new encoder.

Without an action it lists them.
merge takes FROM for the same person as INTO, who keeps name, note and expiry; unmerge takes that back, with exactly
the photos, name, note and expiry that there were.
forget (also: delete, remove) deletes a person with everything kept of them, and of those merged into them; it cannot be
undone.
reembed needs the photos that people were enrolled with, unless [gallery] keep_crops kept a picture of each face. It
says who has neither. The old gallery stays beside the new one.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from collections.abc import Callable
from pathlib import Path

from edge_runtime.app.people import open_people
from edge_runtime.commands._options import ALIASES, add_action, add_common_again, expiry
from edge_runtime.config import Config, events_path, gallery_path, load_config
from edge_runtime.errors import EventLogError, InputError, UsageError
from edge_runtime.requests.access import PeopleAccess

_ACTIONS = {
    "list": ("everybody, in the order they were added", ()),
    "show": ("what is kept of one person", ("name",)),
    "rename": ("give a person another name", ("old", "new")),
    "merge": ("make one of two people who are the same", ("from", "into")),
    "unmerge": ("take a merge back, by the name that was merged", ("name",)),
    "note": ("keep what a person agreed to, and until when", ("name",)),
    "check": ("find photos of somebody else, people who look alike, and what was forced", ()),
    "drop": ("delete one photo of a person", ("name", "number")),
    "forget": ("delete a person with everything kept of them", ("name",)),
    "reembed": ("make all embeddings again for another bundle, from kept pictures or from the photos", ()),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="machine-readable output")
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    for written in (*_ACTIONS, *ALIASES):
        action = ALIASES.get(written, written)
        summary, names = _ACTIONS[action]
        sub = add_action(actions, written, action, summary)
        for name in names:
            sub.add_argument(name, metavar=name.upper())
        sub.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="machine-readable output")
        if action == "reembed":
            sub.add_argument(
                "--photos", action="append", default=[], type=Path, metavar="DIR",
                help="folder with the photos of people enrolled, searched with all below it; may be given again",
            )  # fmt: skip
            sub.add_argument("--yes", action="store_true", help="continue although somebody must be enrolled again")
        if action == "forget":
            sub.add_argument("--yes", action="store_true", help="do not ask")
        if action == "note":
            sub.add_argument("--consent", default="", metavar="NOTE", help="what they agreed to; - deletes the note")
            sub.add_argument("--expires", default="", metavar="YYYY-MM-DD|never", help="forget them after that day")
        add_common_again(sub)


def run(args: argparse.Namespace) -> int:
    """Run one action; returns the exit code.

    Raises:
        UsageError: forget without ``--yes`` where nobody can be asked.
        InputError: nobody of that name, or an unusable new one.
        FamiliarError: gallery or daemon cannot be used.
    """
    action = args.action or "list"
    if action == "reembed":
        return _reembed(args)
    actions: dict[str, Callable[[PeopleAccess, argparse.Namespace], int]] = {
        "list": _list,
        "show": _show,
        "rename": _rename,
        "merge": _merge,
        "unmerge": _unmerge,
        "note": _note,
        "check": _check,
        "drop": _drop,
        "forget": _forget,
    }
    config = load_config(args.config, args.set)
    with open_people(config, enrolling=action == "check" and gallery_path(config).exists()) as people:
        return actions[action](people, args)


def _list(people: PeopleAccess, args: argparse.Namespace) -> int:
    found = people.call("people.list", {})["people"]
    seen = _last_seen(load_config(args.config, args.set))
    for person in found:
        ids = [person["person_id"], *(part["person_id"] for part in person["merged"])]
        person["last_seen"] = max((seen[one] for one in ids if one in seen), default=None)
    if args.json:
        print(json.dumps(found, indent=2))
    elif not found:
        print("nobody is enrolled yet; familiar enroll NAME PHOTO...")
    width = max((len(person["name"]) for person in found), default=0)
    for person in [] if args.json else found:
        until = f", until {_day(person['expires'] - 1)}" if person["expires"] is not None else ""
        last = "" if person["last_seen"] is None else f", last seen {_minute(person['last_seen'])}"
        print(
            f"{person['name']:<{width}}  {_photos(person['templates']):>11}  since {_day(person['added'])}{until}{last}"
        )
    return 0


def _last_seen(config: Config) -> dict[str, float]:
    """When each person was last named, by opaque id; nothing where there is no log of events, or it is not ours."""
    path = events_path(config)
    try:
        if not path.exists():
            return {}
        from edge_runtime.events.reader import EventReader  # of a command that starts quickly

        with EventReader(path) as reader:
            return reader.last_seen()
    except (EventLogError, OSError):  # the list of people must not depend on it
        return {}


def _show(people: PeopleAccess, args: argparse.Namespace) -> int:
    person = people.call("people.show", {"name": args.name})
    if args.json:
        print(json.dumps(person, indent=2))
        return 0
    print(f"{person['name']}: {_photos(person['templates'])}, since {_day(person['added'])}")
    if person["consent"]:
        print(f"  agreed to: {person['consent']}")
    if person["expires"] is not None:
        print(f"  forgotten after {_day(person['expires'] - 1)}")
    for part in person["merged"]:
        until = "" if part["expires"] is None else f", forgotten after {_day(part['expires'] - 1)}"
        print(f"  merged into them: {part['name']} with {_photos(part['templates'])}{until}")
    for record in person["records"]:
        kept = "  (picture kept)" if record.get("crop") else ""
        forced = f"  (forced: {record['forced']})" if record["forced"] else ""
        print(
            f"  {record['template_id']:>6}  weight {record['weight']:5.2f}  {_day(record['added'])}  "
            f"{record['source']}{kept}{forced}"
        )
    for negative in person["negatives"]:
        print(f"  not {person['name']}: {negative['source']}, marked {_day(negative['added'])}")
    return 0


def _note(people: PeopleAccess, args: argparse.Namespace) -> int:
    if not args.consent and not args.expires:
        raise UsageError("people note: expected --consent or --expires, received neither")
    person = people.call("people.note", {"name": args.name, "consent": args.consent, **expiry(args.expires)})
    until = "for good" if person["expires"] is None else f"until {_day(person['expires'] - 1)}"
    told = f"{person['name']}: {person['consent'] or 'no consent noted'}; {until}"
    print(json.dumps(person, indent=2) if args.json else told)
    return 0


def _check(people: PeopleAccess, args: argparse.Namespace) -> int:
    findings = people.call("people.check", {})["findings"]
    if args.json:
        print(json.dumps(findings, indent=2))
    else:
        print("\n".join(finding["text"] for finding in findings) or "nothing to look at")
    return 0


def _drop(people: PeopleAccess, args: argparse.Namespace) -> int:
    person = people.call("people.drop", {"name": args.name, "template_id": _number(args.number)})
    told = f"{person['name']}: photo {args.number} is deleted; {_photos(person['templates'])} left"
    print(json.dumps(person, indent=2) if args.json else told)
    return 0


def _rename(people: PeopleAccess, args: argparse.Namespace) -> int:
    person = people.call("people.rename", {"old": args.old, "new": args.new})
    print(json.dumps(person, indent=2) if args.json else f"{args.old} is now {person['name']}")
    return 0


def _merge(people: PeopleAccess, args: argparse.Namespace) -> int:
    name = vars(args)["from"]
    person = people.call("people.merge", {"name": name, "into": args.into})
    told = (
        f"{name} is {person['name']} now, with {_photos(person['templates'])}; "
        f"familiar people unmerge {shlex.quote(name)} takes it back"
    )
    print(json.dumps(person, indent=2) if args.json else told)
    return 0


def _unmerge(people: PeopleAccess, args: argparse.Namespace) -> int:
    person = people.call("people.unmerge", {"name": args.name})
    told = f"{person['name']} is somebody of their own again, with {_photos(person['templates'])}"
    print(json.dumps(person, indent=2) if args.json else told)
    return 0


def _forget(people: PeopleAccess, args: argparse.Namespace) -> int:
    if not args.yes:
        if not sys.stdin.isatty():
            raise UsageError("people forget: expected --yes where nobody can be asked; add it if you are sure")
        person = people.call("people.show", {"name": args.name})
        who = ", also enrolled as ".join([person["name"], *(part["name"] for part in person["merged"])])
        print(f"Forget {who} and {_photos(person['templates'])}, for good? [y/N] ", end="", flush=True)
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            print("nothing was changed")
            return 1
    person = people.call("people.forget", {"name": args.name})
    print(json.dumps(person, indent=2) if args.json else f"{person['name']} is forgotten")
    if person["remains"]:
        print(
            "familiar: note: another program reads the gallery or the log of events, or the disk fails, so what was "
            "deleted is still on the disk; the daemon deletes it when that is over, or at its next start",
            file=sys.stderr,
        )
    return 0


def _reembed(args: argparse.Namespace) -> int:
    """1 where nothing was changed because somebody would have been lost."""
    # It alone of these computes; the others ask, and start quickly on a slow machine.
    from tqdm import tqdm

    from edge_runtime.app.reembedding import reembed
    from edge_runtime.commands._photos import list_photos

    photos = list_photos(args.photos)
    shown = tqdm(photos, "looking at photos", disable=None, delay=2, unit="photo", leave=False)
    result = reembed(load_config(args.config, args.set), shown, lambda _: bool(args.yes))
    if args.json:
        print(json.dumps(result and result.as_json(), indent=2))
    elif result is None:
        print("all embeddings are of this bundle and detector already; nothing was changed")
    else:
        for name, count in result.made.items():
            left = len(result.missing.get(name, []))
            print(f"{name}: {_photos(count)} encoded again{f', {left} not' if left else ''}")
        for photo, reason in result.unusable.items():
            print(f"{photo}: {reason}")
        for name in result.to_enrol_again:
            print(
                f"{name} has no kept picture and no photo among those shown, and must be enrolled again: "
                f"familiar enroll {name!r} PHOTO..."
            )
        if result.kept:
            print(f"the old gallery is kept as {result.kept} until somebody is forgotten, or you delete it")
    if result is not None and not result.kept:
        print("familiar: nothing was changed; give more --photos, or --yes to continue without them", file=sys.stderr)
        return 1
    return 0


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise InputError(f"{text!r}: expected the number of a photo; familiar people show NAME lists them") from error


def _photos(count: int) -> str:
    return f"{count} photo" if count == 1 else f"{count} photos"


def _minute(epoch_s: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(epoch_s))


def _day(epoch_s: float | None) -> str:
    return "(unreadable date)" if epoch_s is None else time.strftime("%Y-%m-%d", time.localtime(epoch_s))
