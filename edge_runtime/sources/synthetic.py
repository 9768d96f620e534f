"""A camera that needs no hardware: people who do not exist come into view, move, turn, and leave.

The portraits beside this file were drawn by the project's own decoder. A scene is a function of its options and
of time alone, so the same seed gives the same frames, and what is in view can be asked for at any moment.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_type_hints

import cv2
import numpy as np

from edge_runtime.errors import CameraError, ConfigError
from edge_runtime.pictures.reader import read_image
from edge_runtime.sources._source import Source
from edge_runtime.types import Floats, Frame, Pixels

PORTRAITS = Path(__file__).parent / "portraits"

_BUST_WH = (320, 620)
_FACE_SIDE = 176
_FACE_CENTRE = (160, 170)
_FOCAL = 900.0
_HAIR = np.array([[38, 30, 26], [74, 52, 38], [118, 84, 52], [150, 148, 146], [96, 50, 30]], np.float32)


@dataclass(frozen=True)
class SceneOptions:
    """What ``synthetic:key=value,key`` may set.

    Attributes:
        seed: chooses order, paths, light, and noise.
        fps: frames a second.
        size: WIDTHxHEIGHT of a frame, px.
        people: how many of the portraits take part; 0: all.
        visits: how often each comes into view in one pass.
        crossing: two or three of them walk past, behind and away from each other instead, the seed says how.
        loop: start over for ever.
        realtime: frames come at the pace of a camera, and are lost if nobody reads them.
    """

    seed: int = 0
    fps: float = 25.0
    size: str = "640x360"
    people: int = 0
    visits: int = 1
    crossing: bool = False
    loop: bool = False
    realtime: bool = False

    @classmethod
    def parse(cls, argument: str) -> SceneOptions:
        """Read ``key=value,key``.

        Raises:
            ConfigError: an unknown key or a value of the wrong type.
        """
        fields = get_type_hints(cls)
        values: dict[str, Any] = {}
        for part in filter(None, argument.split(",")):
            key, equals, text = part.partition("=")
            if key not in fields or (not equals and fields[key] is not bool):
                raise ConfigError(f"synthetic:{argument}: {part!r}: expected one of {', '.join(fields)}, as seed=3")
            if equals and fields[key] is bool:
                raise ConfigError(f"synthetic:{argument}: {key}: expected alone, or left out, found {part!r}")
            try:
                values[key] = True if not equals else fields[key](text)
            except ValueError as error:
                raise ConfigError(f"synthetic:{argument}: {key}: expected a number, found {text!r}") from error
        options = cls(**values)
        if not 1 <= options.fps <= 240 or options.visits < 1 or options.people < 0:
            raise ConfigError(f"synthetic:{argument}: expected fps 1 to 240, visits >= 1 and people >= 0")
        options.size_wh  # noqa: B018  (checked now, not at the first frame)
        return options

    @property
    def size_wh(self) -> tuple[int, int]:
        width, _, height = self.size.partition("x")
        if not (width.isdecimal() and height.isdecimal() and 160 <= int(width) <= 4096 and 120 <= int(height) <= 4096):
            raise ConfigError(f"synthetic: size: expected WIDTHxHEIGHT from 160x120 to 4096x4096, found {self.size!r}")
        return int(width), int(height)


@dataclass(frozen=True)
class Visit:
    """One person in view once: from where to where, how large, how lit.

    Attributes:
        person: the portrait's name.
        start_s, end_s: when, seconds from the start of a pass.
        lane: where they stop, share of the width.
        side: -1 comes from and leaves to the left, 1 the right.
        face_px: width of the face when they stand, px.
        turn_rad: how far the head turns to either side.
        light: brightness factor when they stand; it drifts around it.
        path: (seconds since ``start_s``, centre of the face in shares of the width) on the way, if they do not just
            come, stand and go.
        level: height of the face, share of the frame's from the top.
    """

    person: str
    start_s: float
    end_s: float
    lane: float
    side: int
    face_px: float
    turn_rad: float
    light: float
    path: tuple[tuple[float, float], ...] = ()
    level: float = 0.47


@dataclass(frozen=True)
class Showing:
    """A face in a frame: whose, its box xyxy in px, and which share of it somebody nearer hides."""

    person: str
    xyxy: tuple[float, float, float, float]
    hidden: float = 0.0


class Scene:
    """Portraits, a timetable, and the drawing of any moment."""

    VISIT_S = 4.4
    STAGGER_S = 2.6

    def __init__(self, options: SceneOptions, portraits: Path = PORTRAITS) -> None:
        """Read the portraits and make the timetable.

        Raises:
            CameraError: no portraits there.
        """
        paths = sorted(portraits.glob("*.png"))
        if not paths:
            raise CameraError(f"{portraits}: expected portraits (*.png), found none; install familiar-edge again")
        self.options = options
        self.people = tuple(path.stem for path in paths)[: options.people or None]
        self._busts = {path.stem: _bust(read_image(path)) for path in paths[: len(self.people)]}
        rng = np.random.default_rng(options.seed)
        self.visits = self._crossings(rng) if options.crossing else self._timetable(rng)
        self.length_s = max(visit.end_s for visit in self.visits) + 2.0
        self._room = _room(options.size_wh, rng)
        self._noise = rng.normal(0, 2.5, (*self._room.shape[:2], 1)).astype(np.float32)

    def _timetable(self, rng: np.random.Generator) -> list[Visit]:
        order = [p for _ in range(self.options.visits) for p in rng.permutation(self.people)]
        height = self.options.size_wh[1]
        visits = []
        for turn, person in enumerate(order):
            start = 0.5 + turn * self.STAGGER_S
            side = -1 if turn % 2 == 0 else 1
            lane = 0.5 + side * float(rng.uniform(0.16, 0.24))
            face_px = height * float(rng.uniform(0.24, 0.32))
            turn_rad, light = float(rng.uniform(0.15, 0.3)), float(rng.uniform(0.75, 1.15))
            visits.append(Visit(str(person), start, start + self.VISIT_S, lane, side, face_px, turn_rad, light))
        return visits

    def _crossings(self, rng: np.random.Generator) -> list[Visit]:
        """Two or three people whose ways cross about the middle of the frame, at different distances."""
        count = min(int(rng.integers(2, 4)), len(self.people))
        sizes = rng.permutation([0.2, 0.26, 0.33])[:count] * rng.uniform(0.95, 1.05, count)
        meet_s = float(rng.uniform(2.6, 3.2))
        first = int(rng.choice([-1, 1]))
        visits = []
        for turn, person in enumerate(rng.choice(self.people, count, replace=False)):
            side = first if turn % 2 == 0 else -first
            path = _way(str(rng.choice(["pass", "stand", "turn", "return"])), side, meet_s + 0.5 * turn, rng)
            turn_rad, light = float(rng.uniform(0.1, 0.25)), float(rng.uniform(0.8, 1.1))
            face_px = self.options.size_wh[1] * float(sizes[turn])
            level = float(rng.uniform(0.42, 0.5))
            visits.append(Visit(str(person), 0.5, 0.5 + path[-1][0], 0.5, side, face_px, turn_rad, light, path, level))
        return visits

    def photo(self, person: str, variant: int = 0) -> Pixels:
        """A still of one person for enrolment, uint8 (H, W, 3) RGB; each variant is another pose and light.

        Raises:
            KeyError: nobody of this name.
        """
        return _still(self._busts[person], variant)

    def showing(self, at_s: float) -> list[Showing]:
        """The faces that are wholly in the frame at ``at_s`` seconds of a pass."""
        width, height = self.options.size_wh
        faces: list[Showing] = []
        nearer: list[Floats] = []
        for visit in sorted(self.visits, key=lambda visit: -visit.face_px):
            if visit.start_s <= at_s < visit.end_s:
                corners = _project(_FACE_CORNERS, self._matrix(visit, at_s))
                box = np.concatenate([corners.min(0), corners.max(0)])
                left, top, right, bottom = (float(side) for side in box)
                if left >= 0 and top >= 0 and right < width and bottom < height:
                    hidden = max((_covered(box, head) for head in nearer), default=0.0)
                    faces.append(Showing(visit.person, (left, top, right, bottom), hidden))
                nearer.append(box)
        return faces

    def render(self, at_s: float) -> Pixels:
        """The frame at ``at_s`` seconds of a pass, uint8 (H, W, 3) RGB."""
        canvas = self._room.copy()
        for visit in sorted(self.visits, key=lambda v: v.face_px):
            if visit.start_s <= at_s < visit.end_s:
                light = visit.light * (1 + 0.15 * math.sin(1.9 * at_s + visit.start_s))
                _paste(canvas, self._busts[visit.person], self._matrix(visit, at_s), light)
        # One field of sensor noise, rolled by a different amount for each frame: cheap, and never still.
        step = round(at_s * self.options.fps)
        canvas += np.roll(self._noise, (step * 37 % self._noise.shape[0], step * 91 % self._noise.shape[1]), (0, 1))
        return np.clip(canvas, 0, 255).astype(np.uint8)

    def _matrix(self, visit: Visit, at_s: float) -> Floats:
        """Bust px to frame px: slide in, stand and look about, slide out."""
        width, height = self.options.size_wh
        share = (at_s - visit.start_s) / (visit.end_s - visit.start_s)
        if visit.path:
            return self._on_the_way(visit, at_s)
        away = 1 - min(share / 0.2, (1 - share) / 0.2, 1.0)
        away = away * away
        outside = visit.lane + visit.side * 0.75
        x = width * (visit.lane + (outside - visit.lane) * away + 0.01 * math.sin(2.3 * at_s))
        y = height * (0.47 + 0.01 * math.sin(3.1 * at_s + visit.start_s))
        yaw = visit.turn_rad * math.sin(2.6 * (at_s - visit.start_s)) - visit.side * 0.25 * away
        roll = 0.06 * math.sin(1.7 * at_s + visit.start_s)
        return _placement((x, y), visit.face_px * (1 - 0.1 * away), yaw, roll)

    def _on_the_way(self, visit: Visit, at_s: float) -> Floats:
        """Bust px to frame px of somebody who walks: turned a little to where they go, bobbing."""
        width, height = self.options.size_wh
        since_s = at_s - visit.start_s
        times, places = zip(*visit.path, strict=True)
        x = float(np.interp(since_s, times, places))
        speed = (float(np.interp(since_s + 0.1, times, places)) - x) / 0.1
        y = visit.level + 0.008 * math.sin(9.0 * at_s + visit.start_s)
        yaw = visit.turn_rad * math.sin(2.6 * since_s) + 0.5 * max(min(speed, 0.5), -0.5)
        return _placement((width * x, height * y), visit.face_px, yaw, 0.04 * math.sin(1.7 * since_s))


class SyntheticSource(Source):
    """See ``protocols.FrameSource``."""

    def __init__(self, options: SceneOptions, camera: str, portraits: Path = PORTRAITS) -> None:
        self.live = options.realtime
        self._scene = Scene(options, portraits)
        self._camera = camera
        self._open = True

    def __iter__(self) -> Iterator[Frame]:
        options = self._scene.options
        started, started_wall, seq, step = time.monotonic(), time.time(), 0, 0
        frames = round(self._scene.length_s * options.fps)
        while self._open and (options.loop or step < frames):
            at_s = step / options.fps
            if options.realtime and (early := started + at_s - time.monotonic()) > 0:
                time.sleep(early)
            pixels = self._scene.render((step % frames) / options.fps)
            # Unpaced frames carry the scene's own time, as a clip's do.
            captured_s = started + at_s if options.realtime else at_s
            yield Frame(pixels, self._camera, seq, captured_s, started_wall + at_s)
            seq += 1
            step += 1
            if options.realtime:  # what was not drawn in time is lost, as a sensor's is, and never made up for
                step = max(step, int((time.monotonic() - started) * options.fps))

    def close(self) -> None:
        """End the iteration; may be called again."""
        self._open = False


def open(argument: str, camera: str) -> SyntheticSource:
    """A source from ``key=value,key``, see ``SceneOptions``."""
    return SyntheticSource(parse(argument, camera), camera)


def parse(argument: str, camera: str) -> SceneOptions:
    """See ``SceneOptions.parse``."""
    return SceneOptions.parse(argument)


_half = _FACE_SIDE * 0.42
_FACE_CORNERS: Floats = np.array(
    [[_FACE_CENTRE[0] + sx * _half, _FACE_CENTRE[1] + sy * _half] for sx in (-1, 1) for sy in (-1, 1)], np.float32
)


def still(portrait: Pixels, variant: int = 0) -> Pixels:
    """A portrait, square RGB, as the camera would show it, uint8 (H, W, 3); each variant is another pose and light."""
    return _still(_bust(portrait), variant)


def _still(bust: Floats, variant: int) -> Pixels:
    canvas = _room((400, 400), np.random.default_rng(900 + variant))
    yaw, roll, light = 0.12 * math.sin(2.1 * variant), 0.05 * math.sin(1.3 * variant), 1 - 0.08 * (variant % 3)
    _paste(canvas, bust, _placement((200.0, 190.0), 170.0, yaw, roll), light)
    return np.clip(canvas, 0, 255).astype(np.uint8)


def _bust(portrait: Pixels) -> Floats:
    """Head and shoulders around a portrait, float32 (H, W, 4): RGB in 0..255 and opacity in 0..1."""
    rng = np.random.default_rng(int(portrait.sum()))
    width, height = _BUST_WH
    cx, cy = _FACE_CENTRE
    face = cv2.resize(portrait, (_FACE_SIDE, _FACE_SIDE), interpolation=cv2.INTER_CUBIC).astype(np.float32)
    left, top = cx - _FACE_SIDE // 2, cy - _FACE_SIDE // 2
    bottom, right = height - top - _FACE_SIDE, width - left - _FACE_SIDE
    full = cv2.copyMakeBorder(face, top, bottom, left, right, cv2.BORDER_REPLICATE)
    colour = cv2.GaussianBlur(full, (0, 0), 12)

    head: Any = np.zeros((height, width), np.float32)
    cv2.ellipse(head, (cx, cy - 4), (82, 108), 0, 0, 360, 1.0, -1, cv2.LINE_AA)
    body: Any = np.zeros((height, width), np.float32)
    cv2.ellipse(body, (cx, cy + 240), (150, 122), 0, 0, 360, 1.0, -1, cv2.LINE_AA)
    cv2.rectangle(body, (cx - 150, cy + 240), (cx + 150, height), 1.0, -1)
    cv2.rectangle(body, (cx - 38, cy + 60), (cx + 38, height), 1.0, -1)
    shirt = rng.uniform(40, 190, 3).astype(np.float32)
    neck = np.arange(height)[:, None] < cy + 128
    colour = np.where((body * (1 - head) > 0.5)[..., None] & ~neck[..., None], shirt, colour)

    hair = _HAIR[int(rng.integers(len(_HAIR)))] * rng.uniform(0.8, 1.2)
    rows, columns = np.mgrid[:height, :width]
    line = cy - 66 - 14 * np.cos((columns - cx) / 30 + rng.uniform(-1, 1)) + 0.012 * (columns - cx) ** 2
    crown: Any = cv2.GaussianBlur((rows < line).astype(np.float32), (0, 0), 3)[..., None]
    strands = cv2.GaussianBlur(rng.normal(size=(height, width)).astype(np.float32), (0, 0), 2, sigmaY=14)[..., None]
    mask: Any = np.zeros((height, width), np.float32)
    cv2.ellipse(mask, (cx, cy), (72, 84), 0, 0, 360, 1.0, -1)
    mask = cv2.GaussianBlur(mask, (0, 0), 9)[..., None]
    colour = mask * full + (1 - mask) * colour
    colour = crown * np.clip(hair + 90 * strands, 0, 255) + (1 - crown) * colour
    opacity = cv2.GaussianBlur(np.maximum(head, body), (0, 0), 1.5)[..., None]
    return np.asarray(np.concatenate([colour, opacity], 2), np.float32)


def _way(kind: str, side: int, meet_s: float, rng: np.random.Generator) -> tuple[tuple[float, float], ...]:
    """Seconds and places of somebody who comes from ``side`` and is about the middle at ``meet_s``.

    Args:
        kind: ``pass`` through, ``stand`` there a while, ``turn`` back, or go out and ``return``.
    """
    near, far = 0.5 + 0.8 * side, 0.5 - 0.8 * side
    middle = 0.5 + float(rng.uniform(-0.08, 0.08))
    walk_s = float(rng.uniform(1.8, 2.6))
    stay_s = float(rng.uniform(0.0, 0.4)) if kind != "stand" else float(rng.uniform(1.5, 2.5))
    arrive_s, go_s = max(meet_s - walk_s, 0.0) + walk_s, meet_s + stay_s
    go_s = max(go_s, arrive_s + 0.05)
    end = near if kind == "turn" else far
    path = [(arrive_s - walk_s, near), (arrive_s, middle), (go_s, middle), (go_s + walk_s, end)]
    if kind == "return":
        away_s = float(rng.uniform(0.3, 2.5))
        back_s = go_s + walk_s + away_s
        path += [(back_s, end), (back_s + walk_s, middle), (back_s + walk_s + 1.5, middle), (back_s + 3 * walk_s, near)]
    return tuple(path)


def _covered(box: Floats, nearer: Floats) -> float:
    """The share of a face's box that lies behind a nearer head, whose box is its face's."""
    hair = 0.15 * (nearer[2:] - nearer[:2])
    common = np.minimum(box[2:], nearer[2:] + hair) - np.maximum(box[:2], nearer[:2] - hair)
    return float(np.prod(np.maximum(common, 0)) / max(np.prod(box[2:] - box[:2]), 1e-6))


def _room(size_wh: tuple[int, int], rng: np.random.Generator) -> Floats:
    """A quiet wall with a lamp's fall-off and a skirting board, float32 (H, W, 3) in 0..255."""
    width, height = size_wh
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    lamp_x = rng.uniform(0.2, 0.8)
    light = 0.65 + 0.35 * np.exp(-((x - lamp_x) ** 2 + (y - 0.1) ** 2) / 0.35)
    wall = rng.uniform((150, 145, 130), (190, 180, 170)) * light[..., None]
    wall[y > 0.9] *= 0.6
    blotches = cv2.GaussianBlur(rng.normal(size=(height, width)), (0, 0), height / 14)
    return np.asarray(wall + 6 * (blotches / blotches.std())[..., None], np.float32)


def _placement(centre: tuple[float, float], face_px: float, yaw: float, roll: float) -> Floats:
    """Homography from bust px to frame px: a flat card turned about the upright axis, seen in perspective."""
    scale = face_px / (0.84 * _FACE_SIDE)
    to_origin = np.array([[1, 0, -_FACE_CENTRE[0]], [0, 1, -_FACE_CENTRE[1]], [0, 0, 1]])
    sin, cos = math.sin(yaw), math.cos(yaw)
    turned = np.array([[cos, 0, 0], [0, 1, 0], [sin / _FOCAL, 0, 1]])
    c, s = scale * math.cos(roll), scale * math.sin(roll)
    placed = np.array([[c, -s, centre[0]], [s, c, centre[1]], [0, 0, 1]])
    return np.asarray(placed @ turned @ to_origin, np.float32)


def _project(points: Floats, matrix: Floats) -> Floats:
    """Points (N, 2) through a homography."""
    return np.asarray(cv2.perspectiveTransform(points[None], matrix)[0], np.float32)


def _paste(canvas: Floats, bust: Floats, matrix: Floats, light: float) -> None:
    """Draw a bust into the canvas, float32 (H, W, 3), in place."""
    height, width = canvas.shape[:2]
    corners = _project(np.array([[0, 0], [_BUST_WH[0], 0], [0, _BUST_WH[1]], list(_BUST_WH)], np.float32), matrix)
    x0, y0 = np.clip(np.floor(corners.min(0)).astype(int), 0, (width, height))
    x1, y1 = np.clip(np.ceil(corners.max(0)).astype(int), 0, (width, height))
    if x1 <= x0 or y1 <= y0:
        return
    shift = np.array([[1, 0, -x0], [0, 1, -y0], [0, 0, 1]], np.float32)
    drawn = cv2.warpPerspective(bust, shift @ matrix, (int(x1 - x0), int(y1 - y0)), flags=cv2.INTER_LINEAR)
    region = canvas[y0:y1, x0:x1]
    opacity = drawn[..., 3:]
    region *= 1 - opacity
    region += opacity * light * drawn[..., :3]
