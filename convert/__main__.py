"""``python -m convert``: model in, bundle out; one error line, a traceback only with ``--debug``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from edge_runtime.app.command_line import tool_main

COMMANDS = {
    "model": ("model.conversion", "turn a trained Keras encoder into a bundle, full int8 by default"),
    "wrap": ("model.wrap", "make a bundle from somebody's .tflite face encoder"),
    "detector": ("model.detector", "turn a trained face detector into int8, for bundles to take along"),
    "gate": ("edgetpu.gate", "say of any .tflite file whether it maps to the Edge TPU, and why not"),
    "compile": ("model.compile", "compile a bundle's models for the Edge TPU, where its compiler is"),
    "looks": ("model.looks", "tell a bundle of strangers who look alike, from chips of many people"),
    "sign": ("model.sign", "sign a bundle, or make a key to sign with"),
}
"""A verb: its module, with ``add_arguments(parser)`` and ``run(args) -> int``, and what it does."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    return tool_main("convert", "Model in, bundle out.", COMMANDS, argv)


if __name__ == "__main__":
    sys.exit(main())
