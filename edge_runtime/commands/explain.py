"""Explain one event of familiar events: why this name, why unknown, what was missing."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from edge_runtime.bundle.folder import Bundle
from edge_runtime.config import Config, bundle_path, check_output, events_path, gallery_path, load_config
from edge_runtime.decision.explanation import Standards, explain, top_two, when
from edge_runtime.errors import BundleError, EventLogError, InputError
from edge_runtime.events.footage import Footage, FootageKind
from edge_runtime.events.reader import EventReader
from edge_runtime.events.record import Record
from edge_runtime.faces.quality import QualityLimits
from edge_runtime.gallery.directory import Directory
from edge_runtime.gallery.opening import key_source, open_directory
from edge_runtime.gallery.store import Gallery
from edge_runtime.storage.files import write_whole
from edge_runtime.types import Event

_ENDINGS: dict[FootageKind, str] = {"snapshot": ".jpg", "clip": ".avi"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("event", type=int, metavar="EVENT", help="number of the event; familiar events lists them")
    parser.add_argument("--crop", type=Path, metavar="OUT.jpg", help="write the face, if [events] keep kept it")
    parser.add_argument("--snapshot", type=Path, metavar="OUT.jpg", help="write what the camera saw, if it is kept")
    parser.add_argument("--clip", type=Path, metavar="OUT.avi", help="write the film of it, if it is kept")
    parser.add_argument("--json", action="store_true", help="machine-readable output")


def run(args: argparse.Namespace) -> int:
    """Explain an event; returns the exit code.

    Raises:
        EventLogError: no such event, or the log cannot be read.
        InputError: no such picture to write, or it cannot be written.
        GalleryError: the gallery, which knows the names, cannot be read.
    """
    config = load_config(args.config, args.set)
    directory = open_directory(config)
    with EventReader(events_path(config)) as reader:
        record = reader.find(args.event)
        kept, crop = reader.crop(record, directory)
    event = record.event(directory)
    if event is None:
        raise EventLogError(f"event {args.event}: expected one that is kept, found one of a person who was forgotten")
    if args.crop is not None:
        _write(check_output(config, args.crop), crop, _why_no_crop(kept), args.event)
    footage = Footage(events_path(config))
    for kind in _ENDINGS:
        if (path := getattr(args, kind)) is not None:
            found = footage.beside(kind, record, directory)
            _write(check_output(config, path), found, f'[events] keep = "{kind}s" keeps them', args.event, kind)
    standards = Standards(config.decide.margin, QualityLimits(face_px=config.quality.min_face_px), _by_look(config))
    why, best = explain(event, record, standards), top_two(event, record)
    photo = _photo(config, event)
    if args.json:
        document: dict[str, Any] = {"event": event.as_json(), "why": why, "top_two": best, "photo": photo}
        print(json.dumps(document | {"crop": crop is not None}, ensure_ascii=False, indent=2))
        return 0
    print(f"event {event.event_id}: {event.kind}, camera {event.camera}, {when(event)}")
    rows = [
        *((None, line) for line in why),
        ("best two", best),
        ("confidence", _confidence(event)),
        ("photo", photo),
        ("track", event.track_id),
        ("bundle", event.bundle and event.bundle[:12]),
        ("crop", _crop_line(args, kept, crop)),
        *((kind, _footage_line(args, kind, footage, record, directory)) for kind in _ENDINGS),
    ]
    for name, value in rows:
        if value:
            print(f"  {name}: {value}" if name else f"  {value}")
    return 0


def _confidence(event: Event) -> str | None:
    if event.confidence is None or event.kind not in ("identified", "unknown") or not event.score:
        return None
    whose = event.candidate or event.person or "the nearest person's"
    return f"{event.confidence:.3f}: how likely the face is {whose}, if as many of the enrolled come as strangers"


def _by_look(config: Config) -> bool:
    """Whether thresholds here are set by strangers who look like each person."""
    if config.decide.strangers != "alike":
        return False
    try:
        return Bundle(bundle_path(config)).manifest.looks is not None
    except BundleError:
        return False


def _photo(config: Config, event: Event) -> str | None:
    """Which enrolled photo is most alike."""
    path = gallery_path(config)
    if event.template_id is None or event.candidate is None or not path.exists():
        return None
    with Gallery.open_existing(path, key_source(config)) as gallery:
        sources = {record.template_id: record.source for record in gallery.records(event.candidate)}
    source = sources.get(event.template_id)
    return f"{event.template_id} of {event.candidate}, " + ("deleted since" if source is None else source)


def _crop_line(args: argparse.Namespace, kept: bool, crop: bytes | None) -> str | None:
    if args.crop is not None:
        return f"written to {args.crop}"
    if crop is not None:
        return f"kept; familiar explain {args.event} --crop OUT.jpg writes it"
    return "kept, but its key is gone (familiar gallery rekey, or another gallery)" if kept else None


def _footage_line(
    args: argparse.Namespace, kind: FootageKind, footage: Footage, record: Record, directory: Directory
) -> str | None:
    if (path := getattr(args, kind)) is not None:
        return f"written to {path}"
    if footage.beside(kind, record, directory) is None:
        return None
    return f"kept; familiar explain {args.event} --{kind} OUT{_ENDINGS[kind]} writes it"


def _why_no_crop(kept: bool) -> str:
    return "its key is gone" if kept else 'decisions have one where [events] keep = "crops"'


def _write(path: Path, picture: bytes | None, why: str, event_id: int, kind: str = "crop") -> None:
    if picture is None:
        raise InputError(f"event {event_id}: expected a {kind} beside it, found none that opens; {why}")
    write_whole(path, picture, 0o600)
