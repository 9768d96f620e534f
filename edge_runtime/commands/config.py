"""Check the configuration, show it, or list every key."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from typing import Any

from edge_runtime.config import describe, load_config
from edge_runtime.errors import ConfigError
from edge_runtime.schema.table import collected
from edge_runtime.text.masking import masked
from edge_runtime.text.plain import printable


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
    if args.action == "check":
        return _check(args)
    config = load_config(args.config, args.set, strict=True)
    document = {**dataclasses.asdict(config), "sink": [sink.as_table(show_secrets=False) for sink in config.sink]}
    if config.sink:
        del document["events"]["path"]  # refused beside [[sink]], and what is shown can be used as a file
    print(json.dumps(document, indent=2, default=str) if args.json else "\n".join(_toml(document)))
    return 0


def _check(args: argparse.Namespace) -> int:
    """Every mistake, one line each; whatever ``run`` would open is tried as far as that needs no device."""
    # Whoever looks at the configuration alone waits for none of these.
    from edge_runtime.detectors import check_detector
    from edge_runtime.interpreters import check_interpreter
    from edge_runtime.sources import check_source

    faults: list[ConfigError] = []
    config = load_config(args.config, args.set, faults=faults)
    for name, camera in config.camera.items():
        with collected(faults):
            check_source(camera.source, name)
    with collected(faults):
        check_detector(config.detect.detector)
    with collected(faults):
        check_interpreter(config.runtime.interpreter)
    lines = list(dict.fromkeys(str(fault) for fault in faults))
    if args.json:
        print(json.dumps({"ok": not lines, "faults": lines}, indent=2))
    elif not lines:
        print("the configuration is sound")
    for line in lines:
        print(f"familiar: {printable(line)}", file=sys.stderr)
    return ConfigError.exit_code if lines else 0


def _toml(document: dict[str, Any]) -> list[str]:
    lines = []
    for section, table in document.items():
        for values in table if section == "sink" else []:
            lines += ["[[sink]]", *(f"{key} = {_value(value)}" for key, value in values.items()), ""]
        if section == "sink":
            continue
        nested = section == "camera"
        for name, values in table.items() if nested else [("", table)]:
            lines.append(f"[{section}.{json.dumps(name)}]" if nested else f"[{section}]")
            lines += [f"{key} = {_value(value)}" for key, value in values.items()]
            lines.append("")
    return lines


def _value(value: Any) -> str:
    return masked(json.dumps(value, default=str))
