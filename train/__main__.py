"""``python -m train``: photos in, Keras models out; one error line, a traceback only with ``--debug``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from edge_runtime.app.command_line import tool_main

COMMANDS = {
    "prepare": ("data.prepare", "find, align and crop the faces of a folder of photos into one chips file"),
    "fit": ("fit", "train an autoencoder by a recipe"),
    "evaluate": ("evaluation.evaluate", "measure codes: pairs, open-set identification, reconstruction"),
    "compare": ("evaluation.compare", "one table over several measured runs"),
    "report": ("evaluation.report", "one self-contained HTML page about a run"),
    "label": ("data.label", "find the faces of whole photos, for training a detector"),
    "pack": ("data.pack", "chips in files small enough to be carried to another machine"),
    "slim": ("encoder.slim", "a run's float encoder in half the bytes, to tune from"),
    "cluster": ("codes.cluster", "who appears on the photos of an album, and how often"),
    "invert": ("codes.invert", "what somebody sees who has a code and its encoder"),
    "map": ("codes.map", "what a run's codes hold: their directions, and how short they may be"),
    "restore": ("codes.restore", "draw damaged faces anew, beside what classic filters make of them"),
    "compress": ("codes.compress", "bytes a face as a code, beside JPEG and WebP"),
    "views": ("codes.views", "whether made-up views help people who are enrolled with one photo"),
    "doubt": ("codes.doubt", "how well a run's autoencoder tells what is no face, or a bad one"),
    "generate": ("encoder.generate", "draw faces of people who do not exist"),
}
"""A verb: its module, with ``add_arguments(parser)`` and ``run(args) -> int``, and what it does."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    return tool_main("train", "Photos in, Keras models out.", COMMANDS, argv)


if __name__ == "__main__":
    sys.exit(main())
