"""TFLite interpreters: one file a package, opened by name; with a Coral Edge TPU where there is one.

Each module has ``PACKAGE`` (what to install, as an extra of familiar-edge), ``MODULE`` (what it is imported as),
``interpreter_class()`` and ``delegate_loader()``.
"""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

from edge_runtime.errors import ConfigError, InterpreterError
from edge_runtime.interpreters._edgetpu import EdgeTpuInterpreter, open_delegate
from edge_runtime.interpreters._edgetpu import compiled_file as compiled_file
from edge_runtime.interpreters._edgetpu import tpu_library as tpu_library
from edge_runtime.interpreters._flatbuffer import FlatbufferInterpreter
from edge_runtime.interpreters._trial import try_in_child
from edge_runtime.protocols import Interpreter
from edge_runtime.schema.backends import backend_names, load_backend

_HERE = __name__
_TPU = "edgetpu"
_TPU_NAME = re.compile(rf"{_TPU}(?::((?:usb|pci)(?::\d+)?|:\d+))?")
_CHOICES = ("auto", "cpu", _TPU, f"{_TPU}:usb:0", f"{_TPU}:pci:0")


def installed_interpreters() -> list[str]:
    """Names of the backends whose package is installed, in the order they are tried."""
    names = backend_names(_HERE)
    return [n for n in names if importlib.util.find_spec(load_backend(_HERE, n, "interpreter").MODULE)]


def on_cpu(name: str) -> str:
    """What a second user of the models takes, so that the accelerator stays the first one's: the same without it."""
    return "cpu" if name.partition(":")[0] in ("auto", _TPU) else name


def check_interpreter(name: str) -> None:
    """See that ``name`` is an interpreter or accelerator, without opening it.

    Raises:
        ConfigError: it is not.
    """
    if name not in ("auto", "cpu", *backend_names(_HERE)) and not _TPU_NAME.fullmatch(name):
        known = ", ".join((*_CHOICES, *backend_names(_HERE)))
        raise ConfigError(f"interpreter {name!r}: expected one of {known}; check the spelling")


def open_interpreter(name: str, model: str | Path, threads: int = 1) -> Interpreter:
    """Open a .tflite file.

    Args:
        name: ``auto`` (an Edge TPU if one answers and the model's compiled file lies beside it, else the CPU), ``cpu``
            (the first package installed), ``edgetpu`` or ``edgetpu:usb:0`` (that accelerator), or a package's name.
            An explicit name is never replaced by another.
        model: path of the ordinary .tflite file.
        threads: how many CPU threads one run may use.

    Raises:
        ConfigError: no such interpreter or accelerator.
        InterpreterError: it is not there, or does not take the model.
    """
    check_interpreter(name)
    model = Path(model)
    tpu = _TPU_NAME.fullmatch(name)
    if tpu is not None:
        if not compiled_file(model).is_file():
            raise InterpreterError(
                f"{compiled_file(model)}: expected the model compiled for the Edge TPU, the bundle has none; "
                "run python -m convert compile BUNDLE on the desktop and deploy it, "
                'or set [runtime] interpreter = "cpu"'
            )
        return _open_tpu(_first_installed(), tpu[1] or "", model, threads)
    if name == "auto" and compiled_file(model).is_file():
        try:
            return _open_tpu(_first_installed(), "", model, threads)
        except InterpreterError:
            pass  # no Edge TPU here: what `auto` is for; the status and `familiar doctor` say which is in use
    if name in ("auto", "cpu"):
        name = _first_installed()
    return FlatbufferInterpreter(_loaded(name, "interpreter_class"), model, threads, _package(name))


def _open_tpu(name: str, device: str, model: Path, threads: int) -> EdgeTpuInterpreter:
    """The TPU through package ``name``, with its CPU behind it."""
    interpreter_class, load_delegate = _loaded(name, "interpreter_class"), _loaded(name, "delegate_loader")

    def tpu() -> FlatbufferInterpreter:
        delegate = open_delegate(load_delegate, device)
        return FlatbufferInterpreter(interpreter_class, compiled_file(model), threads, _package(name), delegate)

    def cpu() -> FlatbufferInterpreter:
        return FlatbufferInterpreter(interpreter_class, model, threads, _package(name))

    return EdgeTpuInterpreter(tpu, cpu)


def _first_installed() -> str:
    found = installed_interpreters()
    if not found:
        raise InterpreterError(
            "interpreter: expected ai-edge-litert or tflite-runtime, found neither; "
            "pip install 'familiar-edge[litert]' (64-bit) or 'familiar-edge[tflite]' (32-bit, Python 3.11)"
        )
    return found[0]


def _package(name: str) -> str:
    return str(load_backend(_HERE, name, "interpreter").PACKAGE)


def _loaded(name: str, what: str) -> Any:
    """What a package has by that name."""
    try:
        return getattr(load_backend(_HERE, name, "interpreter"), what)()
    except ImportError as error:
        raise InterpreterError(
            f"interpreter {name!r}: expected the package {_package(name)}, which does not import ({error}); "
            f"pip install 'familiar-edge[{name}]'"
        ) from error


def try_model(model: str | Path, interpreter: str = "auto") -> None:
    """Open and run a model of unknown origin in a child process, so that it can crash nothing else.

    Raises:
        InterpreterError: the interpreter refuses the model, dies of it, or gives no answer.
    """
    fault = try_in_child(Path(model), interpreter)
    if fault is not None:
        raise InterpreterError(fault)
