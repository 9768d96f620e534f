"""The values that flow through the device, one dataclass each, checked at construction.

Pixels are uint8 (H, W, 3) in RGB order. Image coordinates are in pixels, x to the right and y down,
with the centre of the top-left pixel at (0, 0).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import InputError

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]
Windows = NDArray[np.int64]
"""Parts of a picture: (N, 4), xyxy px."""
NOWHERE: Windows = np.zeros((0, 4), np.int64)
NOWHERE.flags.writeable = False

LANDMARKS = ("right_eye", "left_eye", "nose", "right_mouth", "left_mouth")
"""Order of the five landmarks; right and left are the subject's."""

EventKind = Literal[
    "appeared",
    "identified",
    "unknown",
    "left",
    "rejected",
    "camera_lost",
    "camera_back",
    "degraded",
    "recovered",
]


def check_pixels(pixels: Pixels, name: str = "pixels") -> Pixels:
    """Return ``pixels`` if they are uint8 (H, W, 3) with at least one pixel.

    Raises:
        InputError: any other dtype or shape.
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
        raise InputError(f"{name}: expected uint8 (H, W, 3) RGB, received {pixels.dtype} {pixels.shape}")
    return pixels


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture of one camera.

    Attributes:
        pixels: uint8 (H, W, 3), RGB.
        camera: name from the configuration.
        seq: counts up from 0 within one opening of the source.
        captured_s: monotonic seconds; only differences mean anything.
        wall_time: seconds since the Unix epoch, for people and logs.
        live: whether its source goes on although nobody looks, as a camera does; a clip waits.
    """

    pixels: Pixels
    camera: str
    seq: int
    captured_s: float
    wall_time: float
    live: bool = False

    def __post_init__(self) -> None:
        check_pixels(self.pixels, "frame")


@dataclass(frozen=True, slots=True)
class Detections:
    """Faces of one frame, best score first.

    Attributes:
        xyxy: float32 (N, 4), left, top, right, bottom in px; may reach beyond the frame.
        score: float32 (N,), the detector's own, larger is surer.
        landmarks: float32 (N, 5, 2), px, in the order of ``LANDMARKS``.
    """

    xyxy: Floats
    score: Floats
    landmarks: Floats

    def __post_init__(self) -> None:
        n = len(self.xyxy)
        for name, shape in (("xyxy", (n, 4)), ("score", (n,)), ("landmarks", (n, 5, 2))):
            value = getattr(self, name)
            if value.shape != shape or value.dtype != np.float32:
                raise InputError(f"{name}: expected float32 {shape}, received {value.dtype} {value.shape}")

    def __len__(self) -> int:
        return len(self.xyxy)

    def __getitem__(self, index: Any) -> Detections:
        """Select faces by anything numpy takes that keeps the first axis (slice, mask, index list)."""
        return Detections(self.xyxy[index], self.score[index], self.landmarks[index])

    @classmethod
    def empty(cls) -> Detections:
        return cls(np.zeros((0, 4), np.float32), np.zeros((0,), np.float32), np.zeros((0, 5, 2), np.float32))

    @property
    def width(self) -> Floats:
        """float32 (N,), px."""
        return self.xyxy[:, 2] - self.xyxy[:, 0]

    @property
    def centre(self) -> Floats:
        """float32 (N, 2), px."""
        return np.asarray((self.xyxy[:, :2] + self.xyxy[:, 2:]) / 2, np.float32)


@dataclass(frozen=True, slots=True)
class Match:
    """What the gallery says about one embedding.

    Attributes:
        person: the name decided on, or None for a stranger.
        similarity: cosine to the best person's best template, -1..1.
        score: the number compared with ``threshold``.
        confidence: 0.001..0.999: how likely the face is the candidate's; see ``decision.confidence``.
        margin: ``score`` minus the runner-up's; infinite with one person enrolled.
        runner_up: the second-best person, or None.
        threshold: the score the candidate's name needs.
        candidate: the best person whether or not decided on; None with an empty gallery.
        template_id: the gallery's id of the best template, or None.
        corrected: the candidate gets no name, as the view is too near to one that was marked as not theirs.
    """

    person: str | None
    similarity: float
    score: float
    confidence: float
    margin: float
    runner_up: str | None
    threshold: float
    candidate: str | None = None
    template_id: int | None = None
    corrected: bool = False


@dataclass(frozen=True, slots=True)
class Event:
    """Something a person, a log or another program should know; enough to explain a decision later.

    Attributes:
        track_id: None for events of a camera or of the daemon.
        wall_time: seconds since the Unix epoch.
        captured_s: monotonic seconds of the frame that made the event.
        quality: values of the quality measures by name.
        reason: for ``rejected``, ``degraded``, ``camera_lost``, and ``unknown`` where nobody is named at all: why.
        first_seen: wall time at which the track was first seen.
        candidate: the best person whether or not decided on.
        crop: JPEG of the face, where crops are kept; stands in no JSON, and a sink gets it only where it asks for
            pictures (``Sink.pictures``).
        clip: AVI of what was before and after; as ``crop``, and only for a sink that asks for clips.
        footage: name of the snapshot and the clip beside it, where they are kept; goes to the log of events alone.
        embedding: float32 (D,) of unit length that a name was decided on, and ``encoder``, by which it is known whose
            it is; go to the log of events alone, sealed, never to a sink.
        stranger: opaque id of somebody unknown, where strangers are remembered.
        visits: how often that stranger came, this time included.
        ignored: of an ignored stranger; goes to the log of events alone, never to a sink.
        event_id: its number in the log of events, which never comes twice there; None before it is stored.
    """

    kind: EventKind
    camera: str
    wall_time: float
    captured_s: float
    track_id: str | None = None
    person: str | None = None
    score: float | None = None
    confidence: float | None = None
    margin: float | None = None
    runner_up: str | None = None
    threshold: float | None = None
    template_id: int | None = None
    xyxy: tuple[float, float, float, float] | None = None
    quality: dict[str, float] = field(default_factory=dict)
    reason: str | None = None
    first_seen: float | None = None
    bundle: str | None = None
    candidate: str | None = None
    crop: bytes | None = field(default=None, repr=False)
    clip: bytes | None = field(default=None, repr=False)
    embedding: Floats | None = field(default=None, repr=False, compare=False)
    encoder: str | None = None
    footage: str | None = field(default=None, repr=False, compare=False)
    stranger: str | None = None
    visits: int | None = None
    ignored: bool = False
    event_id: int | None = None

    def as_json(self) -> dict[str, Any]:
        """A JSON-ready mapping without pictures and embedding; an infinite margin becomes None, absent values null."""
        values = dataclasses.asdict(self)
        for inner in ("crop", "clip", "embedding", "encoder", "footage"):
            del values[inner]
        for key, value in values.items():
            if isinstance(value, float) and not np.isfinite(value):
                values[key] = None
        return values
