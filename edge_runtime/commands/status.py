"""Show what the running daemon sees, what it compares with, and its state.

The exit code is 0 if the state is ok, 20 if degraded, 21 if failing, and 11 without a daemon.
"""

from __future__ import annotations

import argparse
import base64
import json
import sys
from pathlib import Path
from typing import Any

from edge_runtime.config import check_output, load_config, socket_path
from edge_runtime.control.client import ControlClient
from edge_runtime.control.state import EXIT_CODES
from edge_runtime.daemon.summary import gallery_line
from edge_runtime.drawing.picture_file import encode_picture, picture_format
from edge_runtime.errors import ControlError, UsageError
from edge_runtime.storage.files import write_whole


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="machine-readable output")
    parser.add_argument("--camera", metavar="NAME", help="camera for --snapshot; not needed if there is only one")
    parser.add_argument(
        "--snapshot",
        type=Path,
        metavar="OUT.jpg",
        help="write the latest picture with boxes and names, mode 0600; .png and others work too",
    )


def run(args: argparse.Namespace) -> int:
    config = load_config(args.config, args.set)
    if args.snapshot:
        picture_format(check_output(config, args.snapshot))
    path = socket_path(config)
    client = ControlClient.connect(path)
    if client is None:
        raise ControlError(
            f"{path}: expected a running daemon, found none; start it with familiar run, or systemctl start familiar"
        )
    document = client.call("status", {})
    if args.snapshot:
        _snapshot(client, args.camera or _only(document["cameras"]), args.snapshot)
    print(json.dumps(document, indent=2) if args.json else "\n".join(_lines(document)))
    if args.snapshot:
        print(f"familiar: the picture is written: {args.snapshot}", file=sys.stderr)
    return EXIT_CODES.get(document["state"], 1)


def _only(cameras: dict[str, Any]) -> str:
    if len(cameras) != 1:
        raise UsageError(f"--snapshot: expected --camera NAME, one of {', '.join(cameras)}")
    return next(iter(cameras))


def _snapshot(client: ControlClient, camera: str, path: Path) -> None:
    answer = client.call("live", {"camera": camera})
    # It shows a person and says a name: for nobody else to read.
    from edge_runtime.pictures.reader import decode_image  # status alone computes nothing

    write_whole(path, encode_picture(decode_image(base64.b64decode(answer["jpeg"])), path), 0o600)


def _lines(document: dict[str, Any]) -> list[str]:
    bundle, gallery, events = document["bundle"], document["gallery"], document["events"]
    lines = [
        f"state:   {document['state']}",
        *(f"  {one['part']}: {one['reason']}" for one in document["troubles"]),
        f"running: process {document['pid']}, for {document['uptime_s']:.0f} s",
        f"bundle:  {bundle['name']} {bundle['hash'][:12]} on "
        + ", ".join(f"{where} ({part})" for part, where in document["accelerators"].items()),
        f"gallery: {gallery_line(gallery)}",
        f"events:  {events['stored']} stored, {events['waiting']} waiting, {events['lost']} lost",
    ]
    if events["trouble"]:
        lines.append(f"  error: {events['trouble']}")
    for name, sink in events["sinks"].items():
        lines.append(
            f"  {name}: {sink['delivered']} delivered, {sink['behind']} behind, {sink['skipped']} skipped"
            + (f", {sink['refused']} passed over" if sink["refused"] else "")
            + (f"; {'set aside' if sink['aside'] else 'error'}: {sink['error']}" if sink["error"] else "")
        )
    if gallery["note"]:
        lines.append(f"note:    {gallery['note']}")
    for name, camera in document["cameras"].items():
        lines.append(
            f"camera {name}: {camera['state']}, {camera['source']}, {camera['frames']} frames "
            f"({camera['frames_per_s']:.1f} a second), {camera['dropped']} dropped, "
            f"{camera['unusable']} unusable, lost {camera['losses']} times"
        )
        if camera["error"]:
            lines.append(f"  error: {camera['error']}")
        seen = ", ".join(camera["in_view"]) or "nobody"
        lines.append(
            f"  in view: {seen}; so far {camera['tracks']} tracks: {camera['identified']} identified, "
            f"{camera['unknown']} unknown, {camera['rejected']} rejected"
        )
        if camera["stage_ms"]:
            lines.append("  ms a run: " + ", ".join(f"{stage} {ms:.1f}" for stage, ms in camera["stage_ms"].items()))
    return lines
