"""Save what is good of a damaged gallery, log of events or file of strangers. Stop the daemon first.

Damaged rows are deleted and counted. A gallery that is damaged is made again of its good rows, and the damaged file
stays beside it until somebody is forgotten. What is good of logs and files of strangers that the daemon has set aside
is taken back. What is sound stays as it is.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from contextlib import ExitStack

from edge_runtime.config import Config, events_path, gallery_path, load_config, socket_path, unknowns_path
from edge_runtime.control.client import ControlClient
from edge_runtime.errors import ControlError
from edge_runtime.events.repair import repair as repair_events
from edge_runtime.gallery.directory import Directory
from edge_runtime.gallery.opening import key_source, open_directory
from edge_runtime.gallery.repair import repair as repair_gallery
from edge_runtime.storage.database import asides, is_there
from edge_runtime.storage.exclusive_lock import exclusive_lock
from edge_runtime.storage.salvage import Repaired
from edge_runtime.unknowns.repair import repair as repair_unknowns


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="machine-readable output")


def run(args: argparse.Namespace) -> int:
    """Repair; returns the exit code.

    Raises:
        ControlError: a daemon runs.
        BusyError: another program uses one of the files.
        FamiliarError: a file cannot be read or written, or nothing of a gallery can be saved.
    """
    config = load_config(args.config, args.set)
    if ControlClient.connect(socket_path(config)) is not None:
        raise ControlError(
            f"{gallery_path(config)}: expected nobody to use it while it is repaired, a daemon does; stop it first "
            "(systemctl stop familiar)"
        )
    results = repair(config)
    if args.json:
        print(json.dumps([_as_json(result) for result in results], indent=2))
        return 0
    for result in results:
        print(_told(result))
        for line in result.lines:
            print(f"  {line}")
    if not results:
        print("there is nothing yet that could be damaged")
    return 0


def repair(config: Config) -> list[Repaired]:
    """Repair what is there of the gallery, the log of events and the file of strangers, in this order.

    Raises:
        FamiliarError: see :func:`run`.
    """
    gallery, events, unknowns = gallery_path(config), events_path(config), unknowns_path(config)
    results = []
    with ExitStack() as locks:
        for path, what in ((gallery, "gallery"), (events, "log of events"), (unknowns, "file of strangers")):
            if is_there(path) or asides(path):
                locks.enter_context(exclusive_lock(path, "repair", what))
        if is_there(gallery):
            results.append(repair_gallery(gallery, key_source(config)))
        if events.exists() or asides(events):
            directory = open_directory(config) if gallery.exists() else Directory()
            results.append(repair_events(events, directory))
        if unknowns.exists() or asides(unknowns):
            results.append(repair_unknowns(unknowns, key_source(config).load()))
    return results


def _told(result: Repaired) -> str:
    if result.fault is None:
        return f"{result.path}: sound"
    aside = f"; the damaged file is kept as {result.aside.name}" if result.aside is not None else ""
    kept, lost = _counts(result.kept) or "nothing", _counts(result.lost) or "nothing"
    return f"{result.path}: repaired ({result.fault}); kept {kept}; lost {lost}{aside}"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {what}" for what, count in counts.items() if count)


def _as_json(result: Repaired) -> dict[str, object]:
    return {
        "path": str(result.path),
        "fault": result.fault,
        "kept": dict(result.kept),
        "lost": dict(result.lost),
        "lines": list(result.lines),
        "aside": None if result.aside is None else str(result.aside),
    }
