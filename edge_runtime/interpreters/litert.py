"""ai-edge-litert: 64-bit devices and desktops, Python 3.11 to 3.13, numpy 1 and 2."""

from __future__ import annotations

from typing import Any

PACKAGE = "ai-edge-litert"
MODULE = "ai_edge_litert"


def interpreter_class() -> Any:
    """The Interpreter class; the newer CompiledModel aborts on the cores of a Pi 3 and 4.

    Raises:
        ImportError: not installed.
    """
    from ai_edge_litert.interpreter import Interpreter

    return Interpreter


def delegate_loader() -> Any:
    """The function that loads an accelerator's library.

    Raises:
        ImportError: not installed.
    """
    from ai_edge_litert.interpreter import load_delegate

    return load_delegate
