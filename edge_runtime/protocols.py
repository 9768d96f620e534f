"""The seams of the device, one small protocol each; a backend is one file that satisfies one of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from edge_runtime.types import Detections, Event, Floats, Frame, Pixels, Windows

Room = Callable[[int, int], Pixels]
"""Gives memory for a picture of (height, width), uint8 (H, W, 3), until the next call."""


class FrameSource(Protocol):
    """A context manager that yields frames until its end, or for ever.

    Opening raises ``CameraError`` if the source is not there; iterating raises it if the source is
    lost. ``close`` may be called any number of times.
    """

    live: bool
    """True where frames pass whether or not they are read (a camera), so that the newest one wins;
    False where every frame counts (a clip, a folder)."""
    sensor: bool
    """True where light falls on a sensor, whose noise makes every picture another: the very same again and
    again is then no picture of the world."""
    first_seq: int
    """Frames before this one are not wanted, to go on after a loss; a source that can leaves them out."""
    announced_wh: tuple[int, int]
    """Width and height its pictures are said to have, px; zeros where that is not known before the first."""
    unusable: int
    """Pictures that were not whole, or no pictures, and were passed over so far."""
    passed_over: Callable[[], None]
    """Called after each of these."""
    snapshot_fps: float
    """How often a second a picture is asked for where a camera gives one a request."""
    room: Room
    """Where the next picture is to be drawn. A capture process lends shared memory; else it is fresh each time."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def __iter__(self) -> Iterator[Frame]: ...
    def close(self) -> None: ...


class Detector(Protocol):
    """Finds faces in one RGB picture."""

    name: str
    """Short name that enters the preprocessing hash: embeddings of two alignments do not compare."""

    score: float
    """What a face must reach to be one."""

    def detect(self, pixels: Pixels, score: float | None = None, windows: Windows | None = None) -> Detections:
        """Faces of a picture, best first.

        Args:
            pixels: uint8 (H, W, 3) RGB.
            score: what a face is to reach instead of the usual score.
            windows: int64 (N, 4), xyxy px, within the picture: what to look at closely besides the whole picture;
                None: everything.
        """
        ...

    def windows(self, shape_hw: tuple[int, ...]) -> Windows:
        """What a close look at everything looks at, int64 (N, 4), xyxy px, the closest first.

        It has no window where the whole picture shows the smallest faces to look for.

        Args:
            shape_hw: height and width of a picture, px.
        """
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

    package: str
    """Name of the distribution that runs it, as ``importlib.metadata`` knows it."""
    input_shape: tuple[int, ...]
    input_dtype: np.dtype[Any]
    input_quantization: tuple[float, int]
    """(scale, zero point); (0.0, 0) where the input is not quantised."""
    outputs: tuple[Port, ...]

    @property
    def accelerator(self) -> str:
        """What runs the model now: ``cpu`` or ``edgetpu``."""
        ...

    @property
    def degraded(self) -> str | None:
        """Why that is not what was asked for, or None."""
        ...

    def run(self, tensor: NDArray[Any]) -> list[NDArray[Any]]:
        """Run the model on ``tensor`` (exactly ``input_shape`` and ``input_dtype``); a copy of each output."""
        ...

    def close(self) -> None: ...


class Encoder(Protocol):
    """Turns aligned chips into embeddings of unit length."""

    embedding_size: int

    def encode(self, chips: Pixels) -> tuple[Floats, Floats]:
        """Codes float32 (N, D) of unit length, and their lengths before (N,).

        A chip whose embedding is zero keeps a zero embedding and length 0: a rejection, never a match.
        """
        ...


class Sink(Protocol):
    """Where events go, called from one thread off the frame loop; it may block, and other sinks do not wait for it.

    Whatever ``emit`` or ``flush`` raises means "not now": the daemon waits, a little longer each time, and gives the
    same events again, in order, from the first that no ``flush`` has covered. So a sink gets every event at least
    once, and one that must not see any twice goes by ``event_id``. An event that it can never take it passes over
    without raising and counts it, for nothing behind it would come through. ``SinkRefusedError`` means that trying
    again is of no use until somebody changes something: the sink is set aside, visibly, and tried rarely.
    """

    lasting: bool
    """True where the receiver outlives this process (a file, a server): its place in the log is kept, and after a
    restart it gets what it missed. False where it belongs to this run (standard output): it begins with now, and a
    ``BrokenPipeError`` means that nobody reads any more, which ends the daemon."""
    pictures: str
    """``none``, ``crop`` or ``snapshot``: the picture that events come with (``Event.crop``), if it is kept; ``clip``:
    the snapshot, and the film beside it (``Event.clip``), for which the event waits until it ends."""
    refused: int
    """Events passed over so far, because the receiver can never take them."""

    def emit(self, event: Event) -> None:
        """Take an event, or raise; an event that raised has left no trace that would spoil the next try."""
        ...

    def flush(self) -> None:
        """Return when everything emitted has arrived for good, or raise."""
        ...

    def close(self) -> None:
        """Let go of everything, without waiting for what has not arrived; may be called again."""
        ...


class Host(Protocol):
    """What a running daemon lets a sink see and ask for."""

    def people(self) -> Mapping[str, str]:
        """Names by the gallery's opaque ids."""
        ...

    def answer(self, command: str, arguments: dict[str, Any], payload: bytes) -> dict[str, Any]:
        """One request of ``requests.table``, JSON-ready.

        Raises:
            FamiliarError: what the request raises.
        """
        ...


@runtime_checkable
class ServedSink(Sink, Protocol):
    """A sink that also tells how the daemon does, or passes on what it is asked for."""

    def serve(self, host: Host) -> None:
        """Begin; called once, when cameras run. Returns at once; ends with ``close``."""
        ...
