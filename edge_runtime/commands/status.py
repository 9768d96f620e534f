"""Show what the running daemon sees and matches against."""

from __future__ import annotations

import argparse
import json
from typing import Any

from edge_runtime.config import load_config, socket_path
from edge_runtime.control import ControlClient
from edge_runtime.errors import ControlError
from edge_runtime.summary import gallery_line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="machine-readable output")


def run(args: argparse.Namespace) -> int:
    path = socket_path(load_config(args.config, args.set))
    client = ControlClient.connect(path)
    if client is None:
        raise ControlError(
            f"{path}: expected a running daemon, found none; start it with familiar run, or systemctl start familiar"
        )
    document = client.call("status", {})
    print(json.dumps(document, indent=2) if args.json else "\n".join(_lines(document)))
    return 0


def _lines(document: dict[str, Any]) -> list[str]:
    bundle, gallery, events = document["bundle"], document["gallery"], document["events"]
    lines = [
        f"running: process {document['pid']}, for {document['uptime_s']:.0f} s",
        f"bundle:  {bundle['name']} {bundle['hash'][:12]}",
        f"gallery: {gallery_line(gallery)}",
        f"events:  {events['stored']} stored, {events['waiting']} waiting, {events['lost']} lost",
    ]
    if events["trouble"]:
        lines.append(f"  error: {events['trouble']}")
    for name, sink in events["sinks"].items():
        lines.append(
            f"  {name}: {sink['delivered']} delivered, {sink['behind']} behind, {sink['skipped']} skipped"
            + (f"; error: {sink['error']}" if sink["error"] else "")
        )
    if gallery["note"]:
        lines.append(f"note:    {gallery['note']}")
    for name, camera in document["cameras"].items():
        lines.append(
            f"camera {name}: {camera['state']}, {camera['source']}, {camera['frames']} frames "
            f"({camera['frames_per_s']:.1f} a second), {camera['dropped']} dropped, lost {camera['losses']} times"
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
