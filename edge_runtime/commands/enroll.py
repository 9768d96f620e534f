"""Enrol a person, from photos or from a camera.

It looks at all photos first and finds those of somebody else. Then it enrols the others, and prints the result of
each photo once it is stored. A photo that is enrolled already changes nothing, so an interrupted enrolment can be run
again. Three to five photos in different light are best. Of several faces in a photo it takes the one that looks like
the person's other photos, and says which; --face names one.
With --camera it says what to do until there are enough good views, and stores them together. Ctrl-C before that
stores nothing.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from tqdm import tqdm

from edge_runtime.app.people import open_people
from edge_runtime.commands._options import expiry
from edge_runtime.commands._photos import list_photos, note
from edge_runtime.config import check_output, load_config
from edge_runtime.control.client import ControlClient
from edge_runtime.control.protocol import MAX_PAYLOAD
from edge_runtime.drawing.picture_file import picture_format
from edge_runtime.enrolment.photo import NOT_LOOKED_AT, EnrolmentResult
from edge_runtime.enrolment.refused_sheet import draw_refused
from edge_runtime.errors import EnrolmentError, ImageError, UsageError
from edge_runtime.gallery.names import clean_name
from edge_runtime.gallery.store import MAX_CONSENT
from edge_runtime.pictures.reader import read_photo
from edge_runtime.requests.access import PeopleAccess
from edge_runtime.system.priority import step_back

_GOOD_NUMBER = 3
_WHY = ", the one like the other photos"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="the person; in any case of letters, it is the same person")
    parser.add_argument("photos", nargs="*", type=Path, metavar="PHOTO", help="photo, or folder of photos")
    parser.add_argument("--camera", metavar="NAME", help="instead of photos: a camera of the configuration")
    parser.add_argument("--views", type=int, default=5, metavar="N", help="how many views --camera gathers (default 5)")
    parser.add_argument(
        "--force", action="store_true", help="take photos that are poor or look like somebody else; it is recorded"
    )
    parser.add_argument(
        "--face",
        type=int,
        default=0,
        metavar="N",
        help="of several faces in a photo the one that is meant, from the left",
    )
    parser.add_argument("--consent", default="", metavar="NOTE", help="what the person agreed to; kept with them")
    parser.add_argument("--expires", default="", metavar="YYYY-MM-DD", help="forget them after that day")
    parser.add_argument(
        "--refused", type=Path, metavar="FILE.png", help="draw the refused photos, with reasons and what would help"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a photo, and one at the end")


def run(args: argparse.Namespace) -> int:
    """Enrol the photos; returns the exit code.

    Raises:
        EnrolmentError: not one photo could be used.
        InputError: a photo or folder is missing, a folder holds no photo, or the name is unusable.
        FamiliarError: bundle, gallery or daemon cannot be used.
    """
    name = clean_name(args.name)
    expires = expiry(args.expires)
    _check_choice(args)
    photos = list_photos(args.photos)
    config = load_config(args.config, args.set)
    if args.refused:
        picture_format(check_output(config, args.refused))
    with open_people(config, enrolling=True) as people:
        if isinstance(people, ControlClient):
            step_back()
        results = _from_camera(people, name, args) if args.camera else _from_photos(people, name, photos, args)
        if args.refused:
            draw_refused(args.refused, list(zip(photos, results, strict=True)), config.images.max_megapixels)
        accepted = [result for result in results if result.accepted]
        if not accepted:
            raise EnrolmentError(_why_nobody(name, results))
        if args.consent or expires:
            people.call("people.note", {"name": name, "consent": args.consent, **expires})
        person = people.call("people.show", {"name": name})
        if not args.json:
            _warn(person["name"], people.call("people.check", {"name": name})["findings"])
    known = sum(result.known for result in accepted)
    summary = {
        "name": person["name"],
        "enrolled": len(accepted) - known,
        "known": known,
        "refused": len(results) - len(accepted),
        "templates": person["templates"],
    }
    print(json.dumps(summary) if args.json else _summary(**summary))
    return 0


def _check_choice(args: argparse.Namespace) -> None:
    """Photos or a camera, and what goes with it.

    Raises:
        UsageError: both, neither, or an option of the other.
    """
    if bool(args.photos) == bool(args.camera):
        raise UsageError(f"enroll {args.name}: expected photos or --camera NAME, and not both")
    if args.camera and (args.force or args.refused or args.face):
        raise UsageError("--camera: expected without --force, --refused and --face, which are for photos")
    if args.face < 0 or (args.face and (len(args.photos) > 1 or args.photos[0].is_dir())):
        raise UsageError("--face: expected a number from 1 and one photo, as --face 2 party.jpg")
    if len(args.consent) > MAX_CONSENT:
        raise UsageError(f"--consent: expected at most {MAX_CONSENT} characters, received {len(args.consent)}")
    if not 1 <= args.views <= 20:
        raise UsageError(f"--views: expected 1 to 20, received {args.views}")


def _from_photos(
    people: PeopleAccess, name: str, photos: list[Path], args: argparse.Namespace
) -> list[EnrolmentResult]:
    results: list[EnrolmentResult] = []
    seen: list[tuple[EnrolmentResult, str]] = []
    with tqdm(total=2 * len(photos), desc="enrolling", disable=None, delay=2, unit="step") as bar:
        for photo in photos:
            seen.append(_look(people, name, photo, args.face))
            bar.update()
        for photo, (result, fingerprint) in zip(photos, seen, strict=True):
            if fingerprint and not result.known and (result.accepted or result.boxes or args.force):
                result = _enrol(people, name, photo, fingerprint, args)
            results.append(result)
            bar.write(_line(name, photo, result, args.json), file=sys.stdout)
            sys.stdout.flush()
            bar.update()
    return results


def _from_camera(people: PeopleAccess, name: str, args: argparse.Namespace) -> list[EnrolmentResult]:
    from edge_runtime.requests.live_enrolment import enroll_views, gather_views

    told = ""
    with tqdm(
        total=args.views, desc=name, unit="view", disable=None, bar_format="{desc}: {n}/{total} views  {postfix}"
    ) as bar:

        def say(guidance: str, views: int) -> None:
            nonlocal told
            if guidance != told and not sys.stderr.isatty():
                print(f"{name}: {views}/{args.views} views; {guidance}", file=sys.stderr, flush=True)
            told = guidance
            bar.n = views
            bar.set_postfix_str(guidance)

        views = gather_views(people, name, args.camera, args.views, say)
    results = [EnrolmentResult(**one) for one in enroll_views(people, name, f"camera {args.camera}", views)]
    for number, result in enumerate(results, 1):
        print(_line(name, Path(f"view {number}"), result, args.json))
    return results


def _why_nobody(name: str, results: list[EnrolmentResult]) -> str:
    """The reasons that the pictures were refused for, the most frequent first."""
    heads = Counter((result.reason or "").partition(" (")[0].partition(";")[0] for result in results)
    reasons = [f"{count} x {reason}" if len(results) > 1 else reason for reason, count in heads.most_common(3)]
    return f"{name}: expected at least one picture to enrol, found none among {len(results)}: {', '.join(reasons)}"


def _warn(name: str, findings: list[dict[str, Any]]) -> None:
    """Say on standard error what is odd about the person who was just enrolled."""
    for finding in findings:
        if finding["kind"] in ("lookalike", "outlier", "collision") and name in (finding["name"], finding["other"]):
            note(finding["text"])


def _look(people: PeopleAccess, name: str, photo: Path, face: int) -> tuple[EnrolmentResult, str]:
    """What is seen in a photo, and its fingerprint; "" where the file cannot be sent."""
    try:
        data = read_photo(photo, MAX_PAYLOAD)
    except ImageError as error:
        return EnrolmentResult(False, str(error).removeprefix(f"{photo}: ")), ""
    answer = people.call("enroll.look", {"name": name, "source": photo.name, "face": face}, data)
    fingerprint = answer.pop("photo")
    return EnrolmentResult(**answer), fingerprint


def _enrol(people: PeopleAccess, name: str, photo: Path, fingerprint: str, args: argparse.Namespace) -> EnrolmentResult:
    """Enrol a photo that was looked at; its file goes a second time only where what was seen is forgotten."""
    arguments = {"name": name, "source": photo.name, "force": args.force, "face": args.face}
    answer = people.call("enroll", arguments | {"photo": fingerprint})
    if answer["reason"] == NOT_LOOKED_AT:
        answer = people.call("enroll", arguments, read_photo(photo))
    return EnrolmentResult(**answer)


def _line(name: str, photo: Path, result: EnrolmentResult, as_json: bool) -> str:
    if as_json:
        return json.dumps({"photo": str(photo), "name": name, **result.as_json()})
    if not result.accepted:
        return f"{photo}: refused: {result.reason}"
    taken = "" if result.face is None else f" (face {result.face} from the left{_WHY if result.boxes else ''})"
    if result.forced is not None:
        return f"{photo}: enrolled by force{taken}: {result.forced}"
    return f"{photo}: {'already enrolled' if result.known else 'enrolled'}{taken}"


def _summary(name: str, enrolled: int, known: int, refused: int, templates: Any) -> str:
    parts = [f"{enrolled} enrolled"]
    parts += [f"{known} already enrolled"] if known else []
    parts += [f"{refused} refused"] if refused else []
    hint = "" if templates >= _GOOD_NUMBER else "; 3 to 5 photos in different light recognise better"
    return f"{name}: {', '.join(parts)}; {templates} {'photo' if templates == 1 else 'photos'} known{hint}"
