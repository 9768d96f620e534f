"""tflite-runtime 2.14, its last release: 32-bit devices and Python 3.11, with numpy < 2."""

from __future__ import annotations

from typing import Any

PACKAGE = "tflite-runtime"
MODULE = "tflite_runtime"


def interpreter_class() -> Any:
    """The Interpreter class.

    Raises:
        ImportError: not installed.
    """
    from tflite_runtime.interpreter import Interpreter

    return Interpreter


def delegate_loader() -> Any:
    """The function that loads an accelerator's library.

    Raises:
        ImportError: not installed.
    """
    from tflite_runtime.interpreter import load_delegate

    return load_delegate
