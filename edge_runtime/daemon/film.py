"""Snapshots and clips of what happens, made on a thread of its own: the frame loop hands over pictures and goes on."""

from __future__ import annotations

import dataclasses
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from edge_runtime.events.footage import Footage, FootageKind
from edge_runtime.gallery.directory import STRANGER, Directory
from edge_runtime.pictures.motion_jpeg import motion_jpeg
from edge_runtime.pipeline import Pipeline
from edge_runtime.system.closing import Closing
from edge_runtime.types import Event, Frame, Pixels

CLIP_FPS = 5.0
CLIP_PX = 640
BEFORE_S = 4.0
AFTER_S = 4.0
SNAPSHOT_PX = 1280
"""Longer sides at most."""
_QUALITY = 80
_MOST_WAITING = 4
"""Frames and snapshots handed over and not encoded yet: each may hold a picture of the camera's own memory."""
_MOST_CLIPS = 8
"""Of one camera at a time; an event beyond has a snapshot alone."""
_LATE_S = 5.0
"""A camera that is gone for so long has no more pictures for a clip."""
_PAUSE_S = 0.5
_CLOSE_S = 1.0
_KINDS = ("identified", "unknown", "rejected")


@dataclass(frozen=True)
class _Still:
    """A picture of the ring: JPEG, its size, and the tracks in it."""

    captured_s: float
    jpeg: bytes
    size_wh: tuple[int, int]
    tracks: tuple[str, ...]


@dataclass(frozen=True)
class _Snapshot:
    """What is to be drawn: a frame with its faces, for some events."""

    frame: Frame
    faces: Sequence[tuple[Sequence[float], str, str]]
    tracks: tuple[str, ...]
    events: Sequence[tuple[str, float, bytes]]
    """Token, wall time and key each."""


@dataclass(eq=False)
class _Clip:
    """A film that is still growing."""

    token: str
    at_s: float
    key: bytes
    until_s: float
    give_up_s: float
    stills: list[_Still] = field(default_factory=list)


class Film(Closing):
    """Keeps the last seconds of each camera in memory, and what is around a decision in the folder of pictures."""

    def __init__(
        self,
        footage: Footage,
        directory: Callable[[], Directory],
        keep_bytes: int,
        clips: bool,
        on_trouble: Callable[[str | None], None],
    ) -> None:
        """Start the thread.

        Args:
            footage: takes what is made.
            directory: who is who now, with the keys.
            keep_bytes: the folder may take; beyond, the oldest goes.
            clips: whether clips are made beside snapshots.
            on_trouble: called from the thread with why nothing can be kept, and with None when it can again.
        """
        self._footage, self._directory, self._keep_bytes = footage, directory, keep_bytes
        self._clips, self._on_trouble = clips, on_trouble
        self._handed: queue.SimpleQueue[tuple[Frame, tuple[str, ...]] | _Snapshot | None] = queue.SimpleQueue()
        self._due_s: dict[str, float] = {}
        self._rings: dict[str, deque[_Still]] = {}
        self._growing: dict[str, list[_Clip]] = {}
        self._trouble: str | None = None
        self._refused_bytes = 0
        # A daemon thread: a write that never returns must not keep the process alive.
        self._thread = threading.Thread(target=self._run, name="film", daemon=True)
        self._thread.start()

    # On the frame loop's thread.

    def take(self, frame: Frame, pipeline: Pipeline, events: Iterable[Event]) -> list[Event]:
        """Hand over a frame and what came of it; returns the events, decisions with the name of what is kept of them.

        Never waits: where the thread cannot keep up, pictures are left out.
        """
        if self._clips and self._is_due(frame) and self._handed.qsize() < _MOST_WAITING:
            self._handed.put((frame, tuple(track_id for track_id, _ in pipeline.tracks)))
        return self._with_tokens(frame, pipeline, list(events))

    def _is_due(self, frame: Frame) -> bool:
        """Whether a picture of this camera is wanted again; one that goes back in time was opened anew."""
        now_s, due_s = frame.captured_s, self._due_s.get(frame.camera, frame.captured_s)
        if now_s < due_s <= now_s + 1 / CLIP_FPS:
            return False
        # Counted on from when it was due, so that a camera's own rate that is no multiple does not slow it down.
        self._due_s[frame.camera] = (due_s if 0 <= now_s - due_s < 1 / CLIP_FPS else now_s) + 1 / CLIP_FPS
        return True

    def _with_tokens(self, frame: Frame, pipeline: Pipeline, events: list[Event]) -> list[Event]:
        directory = self._directory()
        kept: list[tuple[str, float, bytes]] = []
        for index, event in enumerate(events):
            if event.kind not in _KINDS:
                continue
            key = directory.crop_keys.get(STRANGER if event.person is None else directory.ids.get(event.person, "?"))
            if key is None or self._handed.qsize() >= 2 * _MOST_WAITING:
                continue
            token = self._footage.token()
            events[index] = dataclasses.replace(event, footage=token)
            kept.append((token, event.wall_time, key))
        if kept:
            faces = [(box.tolist(), name or state, state) for box, name, state in pipeline.sightings()]
            tracks = tuple(track_id for track_id, _ in pipeline.tracks)
            self._handed.put(_Snapshot(frame, faces, tracks, kept))
        return events

    # On its own.

    def _run(self) -> None:
        while True:
            try:
                handed = self._handed.get(timeout=_PAUSE_S)
            except queue.Empty:
                self._finish(lambda clip: time.monotonic() >= clip.give_up_s)
                continue
            if handed is None:
                break
            try:
                self._work(handed)
            except Exception as error:  # a picture that cannot be made must not end those that follow
                self._tell(f"cannot be made ({error})")
        self._finish(lambda clip: True)

    def _work(self, handed: tuple[Frame, tuple[str, ...]] | _Snapshot) -> None:
        if not isinstance(handed, _Snapshot):
            self._grow(*handed)
            return
        try:
            self._shoot(handed)
        finally:
            growing = {clip.token for clips in self._growing.values() for clip in clips}
            for token, _, _ in handed.events:
                self._footage.settle("snapshot", token)
                if token not in growing:
                    self._footage.settle("clip", token)

    def _shoot(self, wanted: _Snapshot) -> None:
        """Keep a snapshot beside each of its events, and let their clips begin."""
        from edge_runtime.drawing.faces import draw_faces  # nothing that a daemon without pictures needs

        frame = wanted.frame
        jpeg = _jpeg(draw_faces(frame.pixels, wanted.faces, longest_side_px=SNAPSHOT_PX))
        for token, at_s, key in wanted.events:
            self._put("snapshot", token, at_s, wanted.tracks, key, jpeg)
            growing = self._growing.setdefault(frame.camera, [])
            if self._clips and len(growing) < _MOST_CLIPS:
                ring = self._rings.get(frame.camera, ())
                until_s, give_up_s = frame.captured_s + AFTER_S, time.monotonic() + AFTER_S + _LATE_S
                growing.append(_Clip(token, at_s, key, until_s, give_up_s, list(ring)))

    def _grow(self, frame: Frame, tracks: tuple[str, ...]) -> None:
        """Add a picture to the ring of its camera, and to the clips that it belongs to."""
        pixels = _reduced(frame.pixels)
        still = _Still(frame.captured_s, _jpeg(pixels), (pixels.shape[1], pixels.shape[0]), tracks)
        ring = self._rings.setdefault(frame.camera, deque())
        if ring and (ring[-1].size_wh != still.size_wh or still.captured_s < ring[-1].captured_s):
            ring.clear()  # the camera was opened anew
        ring.append(still)
        while ring[0].captured_s < frame.captured_s - BEFORE_S:
            ring.popleft()
        growing = self._growing.get(frame.camera, [])
        for clip in growing:
            if still.captured_s <= clip.until_s and (not clip.stills or clip.stills[-1].size_wh == still.size_wh):
                clip.stills.append(still)
        now_s = time.monotonic()
        self._finish(lambda clip: (clip in growing and still.captured_s >= clip.until_s) or now_s >= clip.give_up_s)

    def _finish(self, done: Callable[[_Clip], bool]) -> None:
        """Keep the clips that are whole."""
        for growing in self._growing.values():
            for clip in [one for one in growing if done(one)]:
                growing.remove(clip)
                self._keep(clip)

    def _keep(self, clip: _Clip) -> None:
        try:
            if not clip.stills:
                return
            first, last = clip.stills[0], clip.stills[-1]
            film = motion_jpeg([still.jpeg for still in clip.stills], first.size_wh, last.captured_s - first.captured_s)
            tracks = {track_id for still in clip.stills for track_id in still.tracks}
            self._put("clip", clip.token, clip.at_s, tracks, clip.key, film)
        finally:
            self._footage.settle("clip", clip.token)

    def _put(self, kind: FootageKind, token: str, at_s: float, tracks: Iterable[str], key: bytes, data: bytes) -> None:
        try:
            self._footage.put(kind, token, at_s, tracks, key, data)
            self._footage.trim(self._keep_bytes)
        except OSError as error:
            self._refused_bytes = min(len(data), self._refused_bytes or len(data))
            self._tell(f"cannot be kept ({error.strerror}); events go on without them")
        else:
            if len(data) >= self._refused_bytes:  # else a nearly full disk would be full and not full by turns
                self._refused_bytes = 0
                self._tell(None)

    def _tell(self, trouble: str | None) -> None:
        if trouble != self._trouble:
            self._trouble = trouble
            self._on_trouble(trouble)

    def close(self) -> None:
        """Keep what there is of the clips that grow, and end; may be called again."""
        self._handed.put(None)
        self._thread.join(_CLOSE_S)


def _reduced(pixels: Pixels) -> Pixels:
    """At most ``CLIP_PX`` on the longer side; both even, as players want them."""
    height, width = pixels.shape[:2]
    scale = min(CLIP_PX / max(height, width), 1.0)
    size_wh = max(round(width * scale / 2) * 2, 2), max(round(height * scale / 2) * 2, 2)
    if size_wh == (width, height):
        return pixels
    return np.asarray(cv2.resize(pixels, size_wh, interpolation=cv2.INTER_AREA), np.uint8)


def _jpeg(pixels: Pixels) -> bytes:
    _, data = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), (cv2.IMWRITE_JPEG_QUALITY, _QUALITY))
    return bytes(data)
