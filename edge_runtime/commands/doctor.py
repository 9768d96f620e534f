"""Check this device: what works, what does not, and the command that fixes it.

The exit code is 0 if nothing fails, otherwise 1. Warnings, and values that a device does not report, are not failures.
"""

from __future__ import annotations

import argparse
import dataclasses
import json

from edge_runtime.config import Config, config_file, load_config, socket_path
from edge_runtime.control.client import ControlClient
from edge_runtime.errors import FamiliarError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="machine-readable output")


def run(args: argparse.Namespace) -> int:
    from edge_runtime.doctor import Examination, examine

    examination = Examination(Config(), str(config_file(args.config)))
    try:
        examination.config = load_config(args.config, args.set)
    except FamiliarError as error:
        examination.config_error = error
    try:
        client = ControlClient.connect(socket_path(examination.config))
        examination.status = client.call("status", {}) if client else None
    except FamiliarError as error:
        examination.daemon_error = error
    rows = []
    for row in examine(examination):
        rows.append(row)
        if not args.json:
            print(f"{row.check:<16} {row.state:<8} {row.found}", flush=True)
            if row.command:
                print(f"{'':<25} fix: {row.command}", flush=True)
    failed = sum(row.state == "fail" for row in rows)
    if args.json:
        print(json.dumps({"ok": not failed, "rows": [dataclasses.asdict(row) for row in rows]}, indent=2))
    return 1 if failed else 0
