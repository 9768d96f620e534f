"""TFLite interpreters: one file a package, opened by name.

Each module has ``PACKAGE`` (what to install, as an extra of familiar-edge) and ``interpreter_class()``.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

from edge_runtime.backends import backend_names, load_backend
from edge_runtime.errors import InterpreterError
from edge_runtime.interpreters._flatbuffer import FlatbufferInterpreter
from edge_runtime.interpreters._trial import try_in_child

_HERE = __name__


def installed_interpreters() -> list[str]:
    """Names of the backends whose package is installed, in the order ``auto`` tries them."""
    names = backend_names(_HERE)
    return [n for n in names if importlib.util.find_spec(load_backend(_HERE, n, "interpreter").MODULE)]


def open_interpreter(name: str, model: str | Path, threads: int = 1) -> FlatbufferInterpreter:
    """Open a .tflite file.

    Args:
        name: ``auto`` (the first installed one), or a backend's name, which is never replaced by another.
        model: path of the .tflite file.
        threads: how many CPU threads one run may use.

    Raises:
        ConfigError: no such backend.
        InterpreterError: it is not installed, or does not take the model.
    """
    if name == "auto":
        found = installed_interpreters()
        if not found:
            raise InterpreterError(
                "interpreter: expected ai-edge-litert or tflite-runtime, found neither; "
                "pip install 'familiar-edge[litert]' (64-bit) or 'familiar-edge[tflite]' (32-bit, Python 3.11)"
            )
        name = found[0]
    module = load_backend(_HERE, name, "interpreter")
    try:
        interpreter_class = module.interpreter_class()
    except ImportError as error:
        raise InterpreterError(
            f"interpreter {name!r}: expected the package {module.PACKAGE}, which does not import ({error}); "
            f"pip install 'familiar-edge[{name}]'"
        ) from error
    return FlatbufferInterpreter(interpreter_class, Path(model), threads, module.PACKAGE)


def try_model(model: str | Path, interpreter: str = "auto") -> None:
    """Open and run a model of unknown origin in a child process, so that it can crash nothing else.

    Raises:
        InterpreterError: the interpreter refuses the model, dies of it, or gives no answer.
    """
    fault = try_in_child(Path(model), interpreter)
    if fault is not None:
        raise InterpreterError(fault)
