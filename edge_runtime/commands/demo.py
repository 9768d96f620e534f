"""See it work without a camera: two people who do not exist are enrolled, and the daemon watches them and strangers."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from edge_runtime.config import load_config
from edge_runtime.demo.demo import run_demo, table
from edge_runtime.sources.synthetic import SceneOptions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", default="demo-out", metavar="DIR", help="where the contact sheet goes")
    parser.add_argument("--seed", type=int, default=SceneOptions.seed, help="another order, other paths, other light")


def run(args: argparse.Namespace) -> int:
    started = time.monotonic()
    config = load_config(args.config, args.set)
    result = run_demo(config, SceneOptions(seed=args.seed), Path(args.out))
    print()
    print("\n".join(table(result)))
    print()
    print(f"contact sheet: {result.sheet.resolve()}  ({time.monotonic() - started:.0f} s in all)")
    return 0
