"""Scenes to train and measure a detector on: whole photos of faces laid over each other and over what is no face.

Whole photos or large parts of them are blended in, soft or hard at the edge, and parts without a face just the same:
a net that is shown cut-out faces learns the seams. Every scene is a function of its seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_runtime.types import Detections, Floats, Pixels
from train.data.labelled import LabelledPhotos, mirrored
from train.detector.backgrounds import draw_background
from train.detector.targets import SceneFaces, face_size

SURE = 0.6
"""A label's score from which it is a face to learn; below, neither that nor background."""
SMALLEST_PX = 9.0
LARGEST_PX = 300.0
_SEEN = 0.6
_HARDLY_SEEN = 0.2
"""Shares of a face's box in view: from the first a face, below the second none."""
_MOST_ENLARGED = 4.0
_TURNED_DEG = 50.0
"""A face turned farther than this, as in a photo that lies on its side, is doubtful."""


@dataclass(frozen=True)
class PhotoPool:
    """Photos to take faces from.

    Attributes:
        sources: labelled photos.
        wide: (n, 2) source and index of photos with room around the face.
        tight: (m, 2) the same of crops that end at the face.
    """

    sources: tuple[LabelledPhotos, ...]
    wide: NDArray[np.int64]
    tight: NDArray[np.int64]

    @classmethod
    def of_split(cls, sources: Sequence[LabelledPhotos], split: str) -> PhotoPool:
        """The photos of one split that have a face; those whose largest one is over half as wide are tight."""
        wide: list[tuple[int, int]] = []
        tight: list[tuple[int, int]] = []
        for source, photos in enumerate(sources):
            for index in photos.indices(split):
                faces = photos.faces(int(index))
                if len(faces) and faces.score.max() >= SURE:
                    share = photos.largest_share(int(index))
                    (tight if share > 0.55 else wide).append((source, int(index)))
        none = np.zeros((0, 2), np.int64)
        return cls(
            tuple(sources), np.array(wide, np.int64) if wide else none, np.array(tight, np.int64) if tight else none
        )

    def __len__(self) -> int:
        return len(self.wide) + len(self.tight)

    def draw(self, rng: np.random.Generator, tight: float) -> tuple[LabelledPhotos, int]:
        """A photo; a tight one with probability ``tight``, if there are both."""
        pool = self.tight if len(self.tight) and (not len(self.wide) or rng.random() < tight) else self.wide
        source, index = pool[int(rng.integers(len(pool)))]
        return self.sources[source], int(index)


@dataclass
class _Canvas:
    """A scene being made; ``owner`` says which layer is seen at each pixel, 0 being the ground."""

    pixels: Pixels
    owner: NDArray[np.uint8]
    layers: list[tuple[Detections, NDArray[np.bool_]]] = field(default_factory=list)


def make_scene(
    pool: PhotoPool, size_wh: tuple[int, int], rng: np.random.Generator, harsh: float = 1.0
) -> tuple[Pixels, SceneFaces]:
    """One scene and the faces in it, as a camera shows it; see :func:`compose`."""
    pixels, faces = compose(pool, size_wh, rng)
    return spoil(pixels, rng, harsh), faces


def mirrored_scene(pixels: Pixels, scene: SceneFaces) -> tuple[Pixels, SceneFaces]:
    """The same from the other side."""
    about = (pixels.shape[1] - 1) / 2
    return np.ascontiguousarray(pixels[:, ::-1]), SceneFaces(mirrored(scene.faces, about), scene.doubtful)


def compose(pool: PhotoPool, size_wh: tuple[int, int], rng: np.random.Generator) -> tuple[Pixels, SceneFaces]:
    """One scene and the faces in it, before a camera spoils it.

    Args:
        pool: photos.
        size_wh: width and height, px.
        rng: all draws.

    Returns:
        uint8 (H, W, 3) RGB and its faces.
    """
    canvas = _Canvas(_ground(pool, size_wh, rng), np.zeros(size_wh[::-1], np.uint8))
    kind = rng.random()
    if kind < 0.1:
        pass  # no face at all
    elif kind < 0.38:
        _lay_faces(canvas, pool, rng, 1, (60, LARGEST_PX), tight=0.4)
    elif kind < 0.66:
        _lay_faces(canvas, pool, rng, int(rng.integers(1, 6)), (24, 140), tight=0.15)
    else:
        _lay_faces(canvas, pool, rng, int(rng.integers(3, 20)), (SMALLEST_PX, 56), tight=0.08)
    if rng.random() < 0.3:
        _occlude(canvas, rng)
    return canvas.pixels, _faces_in_view(canvas)


def _lay_faces(
    canvas: _Canvas,
    pool: PhotoPool,
    rng: np.random.Generator,
    count: int,
    sizes_px: tuple[float, float],
    tight: float,
) -> None:
    height, width = canvas.owner.shape
    low, high = np.log(sizes_px)
    # A crowd is of one distance, more or less.
    middle = rng.uniform(low, high)
    for _ in range(count):
        size = float(np.exp(np.clip(rng.normal(middle, 0.35), low, high)))
        photos, index = pool.draw(rng, tight)
        at = np.array([rng.uniform(0, width), rng.uniform(0, height)], np.float32)
        if size > 0.3 * height:
            at = np.array([rng.normal(width / 2, width / 5), rng.normal(height / 2, height / 7)], np.float32)
        _lay_photo(canvas, photos, index, size, at, rng)
        if rng.random() < 0.25:
            _lay_patch(canvas, pool, rng, size)


def _lay_photo(
    canvas: _Canvas, photos: LabelledPhotos, index: int, size: float, at: Floats, rng: np.random.Generator
) -> None:
    """Blend in a photo so that its main face is ``size`` px large and its middle at ``at``."""
    faces = photos.faces(index)
    main = int(np.argmax(face_size(faces) * (faces.score >= SURE)))
    scale = size / float(face_size(faces)[main])
    reduce = 4 if scale <= 0.25 else 2 if scale <= 0.5 else 1
    pixels = photos.pixels(index, reduce)
    turn = rng.normal(0, 9) if rng.random() < 0.85 else rng.uniform(-40, 40)
    if rng.random() < 0.012:
        turn += float(rng.choice([90, 180, 270]))
    matrix = _similarity(scale, turn, faces.centre[main], at)
    keep = _kept_part(pixels.shape[:2], faces.xyxy[main], reduce, rng)
    soft = float(rng.choice([0.0, 2.0, 6.0, 14.0])) / max(scale * reduce, 1e-3)
    flipped = rng.random() < 0.5
    moved = _moved(faces, matrix, scale, turn)
    if flipped:
        # The picture is mirrored about its main face's middle, so the face stays where it is.
        flip = np.array([[-1, 0, 2 * at[0]], [0, 1, 0]], np.float32)
        matrix = flip[:, :2] @ matrix + np.array([[0, 0, flip[0, 2]], [0, 0, 0]], np.float32)
        moved = mirrored(moved, float(at[0]))
    doubtful = (faces.score < SURE) | (face_size(moved) < SMALLEST_PX) | (abs((turn + 180) % 360 - 180) > _TURNED_DEG)
    doubtful |= (scale > _MOST_ENLARGED) & (face_size(faces) < 40)
    shrunk = matrix.copy()
    shrunk[:, :2] *= reduce
    shrunk[:, 2] += matrix[:, :2] @ np.full(2, (reduce - 1) / 2, np.float32)
    _blend(canvas, pixels, shrunk, keep, soft, (moved, doubtful))


def _lay_patch(canvas: _Canvas, pool: PhotoPool, rng: np.random.Generator, size: float) -> None:
    """Blend in a part of a photo without a face, or a drawn picture, as large as the photos around it."""
    height, width = canvas.owner.shape
    patch = _faceless(pool, rng)
    if patch is None or rng.random() < 0.4:
        patch = draw_background((160, 120), rng)
    scale = size * rng.uniform(1.0, 3.0) / max(patch.shape[:2])
    middle = np.array(patch.shape[1::-1], np.float32) / np.float32(2)
    at = np.array([rng.uniform(0, width), rng.uniform(0, height)], np.float32)
    matrix = _similarity(scale, rng.normal(0, 10), middle, at)
    keep = (0.0, 0.0, float(patch.shape[1]), float(patch.shape[0]))
    none = (Detections.empty(), np.zeros(0, bool))
    _blend(canvas, patch, matrix, keep, float(rng.choice([0.0, 2.0, 6.0])) / scale, none)


def _blend(
    canvas: _Canvas,
    pixels: Pixels,
    matrix: Floats,
    keep: tuple[float, float, float, float],
    soft_px: float,
    faces: tuple[Detections, NDArray[np.bool_]],
) -> None:
    """Lay ``pixels`` over the canvas by ``matrix``, only the part ``keep`` (xyxy px), its edge ``soft_px`` wide."""
    left, top, right, bottom = keep
    corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float32)
    spots = corners @ matrix[:, :2].T + matrix[:, 2]
    height, width = canvas.owner.shape
    x0, y0 = np.maximum(np.floor(spots.min(0)).astype(int) - 1, 0)
    x1, y1 = np.minimum(np.ceil(spots.max(0)).astype(int) + 2, (width, height))
    canvas.layers.append(faces)
    if x1 <= x0 or y1 <= y0:
        return
    local = matrix.copy()
    local[:, 2] -= (x0, y0)
    size_wh = (int(x1 - x0), int(y1 - y0))
    alpha = _ramp(pixels.shape[0], top, bottom, soft_px)[:, None] * _ramp(pixels.shape[1], left, right, soft_px)[None]
    over = cv2.warpAffine(pixels, local, size_wh, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    weight = cv2.warpAffine(alpha, local, size_wh, flags=cv2.INTER_LINEAR)
    part = canvas.pixels[y0:y1, x0:x1]
    part[:] = cv2.blendLinear(over, np.ascontiguousarray(part), weight, 1 - weight)
    canvas.owner[y0:y1, x0:x1][weight > 0.5] = len(canvas.layers)


def _ramp(length: int, low: float, high: float, soft: float) -> Floats:
    """1 between ``low`` and ``high``, falling to 0 at both over ``soft`` px, float32 (length,)."""
    inside = np.minimum(np.arange(length) - low + 0.5, high - np.arange(length) - 0.5)
    return np.asarray(np.clip(inside / max(soft, 1e-3), 0, 1), np.float32)


def _kept_part(
    shape_hw: tuple[int, int], face: Floats, reduce: int, rng: np.random.Generator
) -> tuple[float, float, float, float]:
    """The whole photo, or a part of it around the face, so that a face is not always in a photo's middle."""
    height, width = shape_hw
    if rng.random() < 0.35:
        return 0.0, 0.0, float(width), float(height)
    left, top, right, bottom = face / reduce
    room = max(right - left, 1) * rng.uniform(0.15, 1.2, 4)
    return (
        max(float(left - room[0]), 0.0),
        max(float(top - room[1]), 0.0),
        min(float(right + room[2]), float(width)),
        min(float(bottom + room[3]), float(height)),
    )


def _ground(pool: PhotoPool, size_wh: tuple[int, int], rng: np.random.Generator) -> Pixels:
    if rng.random() < 0.7 and (patch := _faceless(pool, rng)) is not None:
        return np.asarray(cv2.resize(patch, size_wh, interpolation=cv2.INTER_LINEAR), np.uint8)
    return draw_background(size_wh, rng)


def _faceless(pool: PhotoPool, rng: np.random.Generator) -> Pixels | None:
    """A part of a photo in which nobody saw a face, or None if there is none to be found soon."""
    if not len(pool.wide):
        return None
    photos, index = pool.draw(rng, 0.0)
    pixels, faces = photos.pixels(index), photos.faces(index)
    height, width = pixels.shape[:2]
    sides = faces.xyxy[:, 2:] - faces.xyxy[:, :2]
    low, high = faces.xyxy[:, :2] - 0.15 * sides, faces.xyxy[:, 2:] + 0.15 * sides
    for _ in range(6):
        w, h = rng.uniform(0.15, 0.6) * width, rng.uniform(0.15, 0.6) * height
        x, y = rng.uniform(0, width - w), rng.uniform(0, height - h)
        apart = (x > high[:, 0]) | (x + w < low[:, 0]) | (y > high[:, 1]) | (y + h < low[:, 1])
        if apart.all():
            part = pixels[int(y) : int(y + h), int(x) : int(x + w)]
            return np.ascontiguousarray(part[:, ::-1] if rng.random() < 0.5 else part)
    return None


def _occlude(canvas: _Canvas, rng: np.random.Generator) -> None:
    """Lay bars and blobs over some faces: poles, hands, scarves. Those hidden too much count as such by themselves."""
    layers = [(k, faces) for k, (faces, _) in enumerate(canvas.layers) if len(faces)]
    for _, faces in layers:
        if rng.random() < 0.6:
            continue
        size = float(face_size(faces)[0])
        at = faces.centre[0] + rng.normal(0, 0.35, 2) * size
        colour = tuple(int(v) for v in rng.integers(0, 256, 3))
        shape = np.zeros_like(canvas.owner)
        axes = max(int(size * rng.uniform(0.1, 0.3)), 1), max(int(size * rng.uniform(0.1, 0.6)), 1)
        centre = int(np.clip(at[0], -999, 999)), int(np.clip(at[1], -999, 999))
        cv2.ellipse(shape, centre, axes, rng.uniform(0, 180), 0, 360, 1, -1)
        canvas.pixels[shape > 0] = colour
        canvas.owner[shape > 0] = 255


def _faces_in_view(canvas: _Canvas) -> SceneFaces:
    """What is still to be seen of each layer's faces."""
    kept: list[Detections] = []
    doubts: list[NDArray[np.bool_]] = []
    height, width = canvas.owner.shape
    for layer, (faces, doubtful) in enumerate(canvas.layers, 1):
        for k in range(len(faces)):
            x0, y0, x1, y1 = faces.xyxy[k]
            left, top = max(round(float(x0)), 0), max(round(float(y0)), 0)
            right, bottom = min(round(float(x1)) + 1, width), min(round(float(y1)) + 1, height)
            if right <= left or bottom <= top:
                continue
            own = np.count_nonzero(canvas.owner[top:bottom, left:right] == layer)
            share = own / max(float((x1 - x0 + 1) * (y1 - y0 + 1)), 1.0)
            if share >= _HARDLY_SEEN:
                kept.append(faces[k : k + 1])
                doubts.append(doubtful[k : k + 1] | (share < _SEEN))
    if not kept:
        return SceneFaces.empty()
    return SceneFaces(
        Detections(
            np.concatenate([one.xyxy for one in kept]),
            np.concatenate([one.score for one in kept]),
            np.concatenate([one.landmarks for one in kept]),
        ),
        np.concatenate(doubts),
    )


def spoil(pixels: Pixels, rng: np.random.Generator, harsh: float = 1.0) -> Pixels:
    """What light and camera do: exposure, colour, infrared's grey, blur, few pixels, noise, JPEG.

    Args:
        pixels: uint8 (H, W, 3) RGB.
        rng: all draws.
        harsh: how much of it, 1 being a bad day.
    """
    if rng.random() < 0.15 * harsh:
        factor = rng.uniform(0.4, 0.9)
        small = cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        pixels = np.asarray(cv2.resize(small, pixels.shape[1::-1], interpolation=cv2.INTER_LINEAR), np.uint8)
    if rng.random() < 0.25 * harsh:
        pixels = _blurred(pixels, rng)
    if rng.random() < 0.2:
        grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
        pixels = np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB), np.uint8)
        cast = rng.normal(0, 0.02, 3)
    else:
        cast = rng.normal(0, 0.07, 3)
    dark = harsh * rng.random() < 0.15
    gain = np.exp(rng.normal(-1.1 if dark else 0, 0.3) + cast)
    gamma, offset = np.exp(rng.normal(0, 0.25)), rng.normal(0, 12)
    ramp = np.linspace(0, 1, 256)[:, None]
    table = np.clip(255 * gain * ramp**gamma + offset, 0, 255).astype(np.uint8)
    pixels = np.asarray(cv2.LUT(pixels, table[:, None]), np.uint8)
    if rng.random() < 0.5 * harsh:
        strength = abs(rng.normal(0, 14 if dark else 7))
        noise = (_noise(rng, pixels.shape) * np.float32(strength)).astype(np.int16)
        pixels = np.asarray(cv2.add(pixels, noise, dtype=cv2.CV_8U), np.uint8)
    if rng.random() < 0.3 * harsh:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 90))]
        pixels = np.asarray(cv2.imdecode(cv2.imencode(".jpg", pixels, quality)[1], cv2.IMREAD_COLOR), np.uint8)
    return pixels


def _blurred(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    if rng.random() < 0.5:
        return np.asarray(cv2.GaussianBlur(pixels, (0, 0), rng.uniform(0.4, 1.8)), np.uint8)
    length = int(rng.integers(3, 10))
    kernel = np.zeros((length, length), np.float32)
    end = (rng.random(2) * (length - 1)).round().astype(int)
    cv2.line(kernel, (int(end[0]), int(end[1])), (length - 1 - int(end[0]), length - 1 - int(end[1])), 1.0)
    return np.asarray(cv2.filter2D(pixels, -1, kernel / max(float(kernel.sum()), 1.0)), np.uint8)


_BANK: list[Floats] = []


def _noise(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Standard normal noise of ``shape``, cut from one large field that is drawn once."""
    height, width = shape[:2]
    if not _BANK or _BANK[0].shape[0] < height + 64 or _BANK[0].shape[1] < width + 64:
        _BANK[:] = [np.random.default_rng(0).standard_normal((height + 128, width + 128, 3), np.float32)]
    y, x = (int(rng.integers(side)) for side in (64, 64))
    return _BANK[0][y : y + height, x : x + width]


def _similarity(scale: float, turn_deg: float, source: Floats, target: Floats) -> Floats:
    """The (2, 3) matrix that turns and scales about ``source`` and puts it at ``target``."""
    angle = np.deg2rad(turn_deg)
    linear = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.concatenate([linear, (target - linear @ source)[:, None]], 1).astype(np.float32)


def _moved(faces: Detections, matrix: Floats, scale: float, turn_deg: float) -> Detections:
    """Faces after a similarity; a box keeps its shape and grows a little with the turn, as a tilted head's does."""
    centre = faces.centre @ matrix[:, :2].T + matrix[:, 2]
    half = (faces.xyxy[:, 2:] - faces.xyxy[:, :2]) / 2 * scale * (1 + 0.15 * abs(np.sin(np.deg2rad(turn_deg))))
    landmarks = faces.landmarks @ matrix[:, :2].T + matrix[:, 2]
    xyxy = np.concatenate([centre - half, centre + half], 1)
    return Detections(xyxy.astype(np.float32), faces.score, landmarks.astype(np.float32))
