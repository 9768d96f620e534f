"""A Coral Edge TPU behind an interpreter, and the CPU behind the TPU: one that vanishes costs speed, no frame.

The compiled file and the ordinary one are the same int8 model, so embeddings of both compare and the gallery stays.
"""

from __future__ import annotations

import ctypes
import os
import queue
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import InterpreterError
from edge_runtime.interpreters._flatbuffer import FlatbufferInterpreter

LIBRARY = "libedgetpu.so.1"
LIBRARY_VARIABLE = "FAMILIAR_LIBEDGETPU"
"""Another place of the library, in the environment."""
HANG_S = 5.0
"""A run takes milliseconds; after this long it never ends."""
_MOST_HUNG = 3
"""Runs that never ended, each of which holds a thread and its memory for good."""
_LAST_RETRY_S = 60.0

Open = Callable[[], FlatbufferInterpreter]
Result = TypeVar("Result")


def compiled_file(model: Path) -> Path:
    """Where ``edgetpu_compiler`` puts what it makes of ``model``."""
    return model.with_name(f"{model.stem}_edgetpu.tflite")


def tpu_library() -> str:
    """Name or path of libedgetpu."""
    return os.environ.get(LIBRARY_VARIABLE) or LIBRARY


def open_delegate(load_delegate: Any, device: str) -> Any:
    """The TPU as a delegate of one interpreter.

    Args:
        load_delegate: the interpreter package's own function.
        device: ``usb``, ``usb:0``, ``pci:0`` …; empty: the first one found.

    Raises:
        InterpreterError: no libedgetpu, or no TPU answers.
    """
    name = tpu_library()
    try:
        # First by itself: the packages' own loader complains on standard error where this fails.
        ctypes.CDLL(name)
        return load_delegate(name, {"device": device} if device else {})
    except OSError as error:
        raise InterpreterError(
            f"edgetpu: expected {name}, cannot load it ({error}); install a libedgetpu for this system, "
            f'or set [runtime] interpreter = "cpu"; familiar doctor looks closer'
        ) from error
    except ValueError as error:
        raise InterpreterError(
            f"edgetpu{':' * bool(device)}{device}: expected an Edge TPU, none answers "
            f'({" ".join(str(error).split())}); plug it in, or set [runtime] interpreter = "cpu"; '
            "familiar doctor looks closer"
        ) from error


class EdgeTpuInterpreter:
    """See ``protocols.Interpreter``; runs on the TPU, and on the CPU while no TPU is there.

    Opening again happens on a thread beside, with growing pauses. A run that hangs is abandoned with its thread.
    """

    def __init__(self, open_tpu: Open, open_cpu: Open, hang_s: float = HANG_S) -> None:
        """Open the TPU.

        Args:
            open_tpu: the compiled file with a fresh delegate.
            open_cpu: the ordinary file; called at the first failure.
            hang_s: longest run, seconds.

        Raises:
            InterpreterError: the TPU cannot be opened; from here on that is no error any more.
        """
        self._open_tpu, self._open_cpu, self._hang_s = open_tpu, open_cpu, hang_s
        self._tpu: FlatbufferInterpreter | None = open_tpu()
        self._cpu: FlatbufferInterpreter | None = None
        self._runner: _Runner | None = None
        self._opened: FlatbufferInterpreter | None = None
        self._opening = False
        self._closed = False
        self._attempt = self._hung = 0
        self._retry_at_s = 0.0
        self.degraded: str | None = None
        self.package = self._tpu.package
        self.input_shape, self.input_dtype = self._tpu.input_shape, self._tpu.input_dtype
        self.input_quantization, self.outputs = self._tpu.input_quantization, self._tpu.outputs

    @property
    def accelerator(self) -> str:
        """``edgetpu``, or ``cpu`` while it is away."""
        return "edgetpu" if self._tpu is not None else "cpu"

    def run(self, tensor: NDArray[Any]) -> list[NDArray[Any]]:
        """See ``protocols.Interpreter``.

        Raises:
            InputError: the tensor is not what the model takes.
            InterpreterError: closed, or not even the CPU can run it.
        """
        if self._closed:
            raise InterpreterError("interpreter: closed; open it again")
        self._return_to_tpu()
        if self._tpu is not None:
            try:
                self._runner = self._runner or _Runner()
                return self._runner.call(partial(self._tpu.run, tensor), self._hang_s)
            except TimeoutError:
                self._hung += 1
                self._runner = None
                self._lose(f"a run did not end within {self._hang_s:g} s")
            except InterpreterError as error:
                self._lose(str(error))
        if self._cpu is None:
            self._cpu = self._open_cpu()
        return self._cpu.run(tensor)

    def close(self) -> None:
        """Free both models; may be called again."""
        self._closed = True
        for interpreter in (self._tpu, self._cpu, self._opened):
            if interpreter is not None:
                interpreter.close()
        if self._runner is not None:
            self._runner.end()
            self._runner = None

    def _lose(self, reason: str) -> None:
        self._tpu = None
        self._retry_at_s = time.monotonic()
        final = " and restart the daemon" if self._hung >= _MOST_HUNG else ""
        self.degraded = f"gone, on the CPU ({reason}); check its cable, power and heat{final}: familiar doctor"

    def _return_to_tpu(self) -> None:
        if self._tpu is not None:
            return
        if self._opened is not None:
            self._tpu, self._opened = self._opened, None
            self._attempt, self.degraded = 0, None
        elif not self._opening and self._hung < _MOST_HUNG and time.monotonic() >= self._retry_at_s:
            self._opening = True
            threading.Thread(target=self._try_again, name="edgetpu", daemon=True).start()

    def _try_again(self) -> None:
        try:
            opened = self._open_tpu()
            opened.run(np.zeros(self.input_shape, self.input_dtype))
        except InterpreterError:
            self._retry_at_s = time.monotonic() + min(2.0**self._attempt, _LAST_RETRY_S)
            self._attempt = min(self._attempt + 1, 16)
        else:
            self._opened = opened
            if self._closed:
                opened.close()
        finally:
            self._opening = False


class _Runner:
    """A thread that does one thing at a time, for callers that may have to leave it behind."""

    def __init__(self) -> None:
        self._asked: queue.SimpleQueue[Callable[[], Any] | None] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[tuple[Any, Exception | None]] = queue.SimpleQueue()
        threading.Thread(target=self._work, name="edgetpu", daemon=True).start()

    def call(self, action: Callable[[], Result], timeout_s: float) -> Result:
        """What ``action`` returns or raises.

        Raises:
            TimeoutError: it has not come to its end; use this object no more.
        """
        self._asked.put(action)
        try:
            result, error = self._done.get(timeout=timeout_s)
        except queue.Empty as empty:
            self.end()
            raise TimeoutError from empty
        if error is not None:
            raise error
        done: Result = result
        return done

    def end(self) -> None:
        self._asked.put(None)

    def _work(self) -> None:
        while (action := self._asked.get()) is not None:
            try:
                self._done.put((action(), None))
            except Exception as error:
                self._done.put((None, error))
