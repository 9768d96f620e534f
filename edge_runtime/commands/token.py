"""Tokens for the API and the page: make one for each program or person, and remove it when it is no longer needed.

A token is shown once, when it is made. Scopes: read (look), name (also enrol, name and forget), admin (everything).
"""

from __future__ import annotations

import argparse
import json
import time

from edge_runtime.commands._options import expiry
from edge_runtime.config import load_config, tokens_path
from edge_runtime.errors import InputError
from edge_runtime.web.tokens import SCOPES, Tokens


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("add", "list", "remove"), help="what to do")
    parser.add_argument("name", nargs="?", metavar="NAME", help="what the token is called: for whom it is")
    parser.add_argument("--scope", choices=SCOPES, default="read", help="what it may do (default: read)")
    parser.add_argument("--camera", action="append", metavar="NAME", help="only this camera's pictures and events")
    parser.add_argument("--expires", default="", metavar="YYYY-MM-DD", help="its last day (default: until removed)")
    parser.add_argument("--json", action="store_true", help="machine-readable output")


def run(args: argparse.Namespace) -> int:
    """Do it; returns the exit code.

    Raises:
        InputError: no name, a taken one, or one that is not there.
        ConfigError: the file of tokens is damaged.
    """
    until = expiry(args.expires)
    config = load_config(args.config, args.set)
    tokens = Tokens(tokens_path(config))
    if args.action == "list":
        rows: list[dict[str, object]] = [
            {"name": one.name, "scope": one.scope, "cameras": one.cameras, "made": one.made, "expires": one.expires}
            for one in tokens.all()
        ]
        print(json.dumps(rows, indent=2) if args.json else "\n".join(map(_line, rows)) or "no token was made yet")
        return 0
    if args.name is None:
        raise InputError(f"token {args.action}: expected a NAME, received none")
    if args.action == "remove":
        tokens.remove(args.name)
        print(json.dumps({"removed": args.name}) if args.json else f"{args.name}: the token is of no use any more")
        return 0
    unknown = [name for name in args.camera or [] if name not in config.camera]
    if unknown:
        raise InputError(f"--camera {unknown[0]}: expected one of {', '.join(config.camera) or 'no camera'}")
    text = tokens.add(args.name, args.scope, args.camera, until.get("expires"))
    print(json.dumps({"name": args.name, "token": text}) if args.json else text)
    return 0


def _line(row: dict[str, object]) -> str:
    cameras = row["cameras"]
    seen = ", ".join(map(str, cameras)) if isinstance(cameras, tuple) else "all cameras"
    ends = "" if row["expires"] is None else f", until {_day(float(str(row['expires'])) - 1)}"
    return f"{row['name']}: {row['scope']}, {seen}, made {_day(row['made'])}{ends}"


def _day(seconds: object) -> str:
    return time.strftime("%Y-%m-%d", time.localtime(float(str(seconds))))
