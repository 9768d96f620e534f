"""``python -m convert``: model in, bundle out; one error line, a traceback only with ``--debug``."""

from __future__ import annotations

import argparse
import importlib
import signal
import sys
from collections.abc import Sequence
from types import FrameType

from edge_runtime.cli import guarded
from edge_runtime.errors import InterpreterError

COMMANDS = {"model": "turn a trained Keras encoder into a full-int8 bundle"}
"""Each is the module of its name, with ``add_arguments(parser)`` and ``run(args) -> int``."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(prog="python -m convert", description="Model in, bundle out.")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, summary in COMMANDS.items():
        try:
            module = importlib.import_module(f"convert.{name}")
        except ModuleNotFoundError as error:
            print(f"convert: {error.name} is not installed; pip install -e '.[desktop]'", file=sys.stderr)
            return InterpreterError.exit_code
        command = commands.add_parser(name, help=summary, description=module.__doc__)
        command.add_argument("--debug", action="store_true", help="show a traceback when something goes wrong")
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    args = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, _terminate)
    return guarded(lambda: int(args.run(args)), args.debug, f"convert {args.command}")


def _terminate(signum: int, frame: FrameType | None) -> None:
    """Leave through the ``finally`` blocks, so that nothing half-written stays behind."""
    raise SystemExit(128 + signum)


if __name__ == "__main__":
    sys.exit(main())
