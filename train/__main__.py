"""``python -m train``: photos in, Keras models out; one error line, a traceback only with ``--debug``."""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType

from edge_runtime.cli import guarded

COMMANDS = {
    "prepare": "find, align and crop the faces of a folder of photos into one chips file",
    "fit": "train an autoencoder by a recipe",
    "evaluate": "measure codes: pairs, open-set identification, reconstruction",
    "report": "one self-contained HTML page about a run",
    "generate": "draw faces of people who do not exist",
}
"""Each is the module of its name, with ``add_arguments(parser)`` and ``run(args) -> int``."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    # TensorFlow's start-up notes would bury our own lines; an explicit setting of the user wins.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    parser = argparse.ArgumentParser(prog="python -m train", description="Photos in, Keras models out.")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, summary in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=summary)
        command.add_argument("--debug", action="store_true", help="show a traceback when something goes wrong")
        # Only the wanted command is imported: prepare needs no TensorFlow.
        if arguments[:1] == [name]:
            module = importlib.import_module(f"train.{name}")
            module.add_arguments(command)
            command.set_defaults(run=module.run)
    args = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, _terminate)
    return guarded(lambda: int(args.run(args)), args.debug, f"train {args.command}")


def _terminate(signum: int, frame: FrameType | None) -> None:
    """Leave through the ``finally`` blocks, so that nothing half-written stays behind."""
    raise SystemExit(128 + signum)


if __name__ == "__main__":
    sys.exit(main())
