"""Check the configuration, show it, or list every key."""

from __future__ import annotations

import argparse
import dataclasses
import json
from typing import Any

from edge_runtime.config import describe, load_config
from edge_runtime.text.masking import masked


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("check", "schema", "show"))
    parser.add_argument("--json", action="store_true", help="machine-readable output")


def run(args: argparse.Namespace) -> int:
    if args.action == "schema":
        rows = [{"key": k, "type": t, "default": d, "meaning": m} for k, t, d, m in describe()]
        if args.json:
            print(json.dumps(rows, indent=2))
        else:
            for row in rows:
                print(f"{row['key']:<45} {row['type']:<6} {row['default']!r:<10} {row['meaning']}")
        return 0
    config = load_config(args.config, args.set)
    document = {**dataclasses.asdict(config), "sink": [sink.as_table(show_secrets=False) for sink in config.sink]}
    if config.sink:
        del document["events"]["path"]  # refused beside [[sink]], and what is shown can be used as a file
    if args.action == "check":
        print(json.dumps({"ok": True}) if args.json else "the configuration is sound")
    elif args.json:
        print(masked(json.dumps(document, indent=2)))
    else:
        print(masked("\n".join(_toml(document))))
    return 0


def _toml(document: dict[str, Any]) -> list[str]:
    lines = []
    for section, table in document.items():
        for values in table if section == "sink" else []:
            lines += ["[[sink]]", *(f"{key} = {masked(json.dumps(value))}" for key, value in values.items()), ""]
        if section == "sink":
            continue
        nested = section == "camera"
        for name, values in table.items() if nested else [("", table)]:
            lines.append(f"[{section}.{json.dumps(name)}]" if nested else f"[{section}]")
            lines += [f"{key} = {masked(json.dumps(value))}" for key, value in values.items()]
            lines.append("")
    return lines
