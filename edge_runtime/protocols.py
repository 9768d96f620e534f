"""The seams of the device, one small protocol each; a backend is one file that satisfies one of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from edge_runtime.types import Detections, Event, Floats, Frame, Pixels


class FrameSource(Protocol):
    """A context manager that yields frames until its end, or for ever.

    Opening raises ``CameraError`` if the source is not there; iterating raises it if the source is
    lost. ``close`` may be called any number of times.
    """

    live: bool
    """True where frames pass whether or not they are read (a camera), so that the newest one wins;
    False where every frame counts (a clip, a folder)."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def __iter__(self) -> Iterator[Frame]: ...
    def close(self) -> None: ...


class Detector(Protocol):
    """Finds faces in one RGB picture."""

    name: str
    """Short name that enters the preprocessing hash: codes of two alignments do not compare."""

    score: float
    """What a face must reach to be one."""

    def detect(self, pixels: Pixels, score: float | None = None) -> Detections:
        """Faces of uint8 (H, W, 3) RGB, best first; with ``score`` all that reach that instead of the usual one."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Port:
    """One output of a model.

    Attributes:
        shape: with the batch.
        dtype: of its numbers.
        quantization: (scale, zero point); (0.0, 0) where it is not quantised.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    quantization: tuple[float, int]


class Interpreter(Protocol):
    """Runs one .tflite model of one input, batch 1, on one accelerator."""

    input_shape: tuple[int, ...]
    input_dtype: np.dtype[Any]
    input_quantization: tuple[float, int]
    """(scale, zero point); (0.0, 0) where the input is not quantised."""
    outputs: tuple[Port, ...]

    def run(self, tensor: NDArray[Any]) -> list[NDArray[Any]]:
        """Run the model on ``tensor`` (exactly ``input_shape`` and ``input_dtype``); a copy of each output."""
        ...

    def close(self) -> None: ...


class Encoder(Protocol):
    """Turns aligned chips into codes of unit length."""

    code_size: int

    def encode(self, chips: Pixels) -> tuple[Floats, Floats]:
        """Codes float32 (N, D) of unit length, and their lengths before (N,).

        A chip whose code is zero keeps a zero code and length 0: a rejection, never a match.
        """
        ...


class Sink(Protocol):
    """Where events go. ``emit`` may block; the daemon calls it off the frame loop."""

    def emit(self, event: Event) -> None: ...
    def close(self) -> None: ...
