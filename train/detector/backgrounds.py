"""Pictures without a face, drawn: what a detector must not take for one."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable

import cv2
import numpy as np

from edge_runtime.types import Pixels

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789:;().,!?@&%$#8oO0"
_FONTS = (
    cv2.FONT_HERSHEY_SIMPLEX,
    cv2.FONT_HERSHEY_DUPLEX,
    cv2.FONT_HERSHEY_COMPLEX,
    cv2.FONT_HERSHEY_TRIPLEX,
    cv2.FONT_HERSHEY_SCRIPT_COMPLEX,
)


_DRAWN = 384
"""So many are drawn, each once, and then shown cut, mirrored and with other colours."""
UNSEEN = 1_000_000
"""Drawings from this number on are for measuring: no scene shows them."""


def draw_background(size_wh: tuple[int, int], rng: np.random.Generator) -> Pixels:
    """One picture without a face, uint8 (H, W, 3), at least 16 px a side."""
    drawn = drawing(size_wh, int(rng.integers(_DRAWN)))
    width, height = size_wh
    w, h = (max(int(side * rng.uniform(0.4, 1.0)), 8) for side in size_wh)
    x, y = int(rng.integers(width - w + 1)), int(rng.integers(height - h + 1))
    part = drawn[y : y + h, x : x + w, rng.permutation(3)]
    if rng.random() < 0.5:
        part = part[:, ::-1]
    return np.asarray(cv2.resize(np.ascontiguousarray(part), size_wh, interpolation=cv2.INTER_LINEAR), np.uint8)


@functools.lru_cache(maxsize=4 * _DRAWN)
def drawing(size_wh: tuple[int, int], number: int) -> Pixels:
    """Drawing ``number``, uint8 (H, W, 3), always the same; not to be written to."""
    rng = np.random.default_rng([number])
    drawn = np.ascontiguousarray(_KINDS[number % len(_KINDS)](size_wh, rng), np.uint8)
    drawn.flags.writeable = False
    return drawn


def unseen(size_wh: tuple[int, int], count: int, animals: bool) -> list[Pixels]:
    """``count`` drawings that no scene shows, uint8 (H, W, 3): of animals alone, or of everything else."""
    wanted = (_KINDS[n % len(_KINDS)] is _animals for n in itertools.count(UNSEEN))
    numbers = (n for n, is_animal in zip(itertools.count(UNSEEN), wanted, strict=False) if is_animal == animals)
    return [drawing(size_wh, n) for n in itertools.islice(numbers, count)]


def _colour(rng: np.random.Generator) -> tuple[int, int, int]:
    red, green, blue = (int(value) for value in rng.integers(0, 256, 3))
    return red, green, blue


def _skin(rng: np.random.Generator) -> tuple[int, int, int]:
    light = rng.uniform(0.3, 1.0)
    return int(255 * light), int(255 * light * rng.uniform(0.68, 0.85)), int(255 * light * rng.uniform(0.52, 0.75))


def _gradient(size_wh: tuple[int, int], rng: np.random.Generator) -> Pixels:
    corners = rng.integers(0, 256, (2, 2, 3)).astype(np.float32)
    if rng.random() < 0.5:
        corners = corners.mean((0, 1)) + 0.25 * (corners - corners.mean((0, 1)))
    return np.asarray(np.clip(cv2.resize(corners, size_wh, interpolation=cv2.INTER_LINEAR), 0, 255), np.uint8)


def _clouds(size_wh: tuple[int, int], rng: np.random.Generator) -> Pixels:
    """Noise of several sizes added up: plaster, foliage, cloth."""
    width, height = size_wh
    falloff = rng.uniform(0.4, 1.1)
    total = np.zeros((height, width, 3), np.float32)
    for octave in range(2, 8):
        side = 2**octave
        grid = rng.standard_normal((max(side * height // width, 2), side, 3)).astype(np.float32)
        if rng.random() < 0.6:
            grid[:] = grid[..., :1]
        total += cv2.resize(grid, size_wh, interpolation=cv2.INTER_CUBIC) * side**-falloff
    total = total / max(float(total.std()), 1e-6)
    base, spread = np.array(_colour(rng), np.float32), rng.uniform(8, 70)
    return np.asarray(np.clip(base + spread * total, 0, 255), np.uint8)


def _stripes(size_wh: tuple[int, int], rng: np.random.Generator) -> Pixels:
    """Curtains, blinds, keys of a piano, bricks: waves or steps along one direction, sometimes two."""
    width, height = size_wh
    y, x = np.mgrid[:height, :width].astype(np.float32)
    value = np.zeros((height, width), np.float32)
    for _ in range(int(rng.integers(1, 3))):
        angle, period = rng.uniform(0, np.pi), rng.uniform(4, 80)
        wave = np.sin(2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / period + rng.uniform(0, 6.3))
        value += np.sign(wave) if rng.random() < 0.5 else wave
    share = ((value - value.min()) / max(float(np.ptp(value)), 1e-6))[..., None]
    one, other = np.array(_colour(rng), np.float32), np.array(_colour(rng), np.float32)
    return np.asarray(one + share * (other - one), np.uint8)


def _checkers(size_wh: tuple[int, int], rng: np.random.Generator) -> Pixels:
    width, height = size_wh
    side = int(rng.integers(4, 60))
    y, x = np.mgrid[:height, :width] // side
    palette = rng.integers(0, 256, (int(rng.integers(2, 5)), 3)).astype(np.uint8)
    return np.asarray(palette[(x + y * int(rng.integers(1, 4))) % len(palette)], np.uint8)


def _text(size_wh: tuple[int, int], rng: np.random.Generator) -> Pixels:
    width, height = size_wh
    picture = _gradient(size_wh, rng)
    for _ in range(int(rng.integers(3, 25))):
        letters = "".join(rng.choice(list(_LETTERS), int(rng.integers(1, 14))))
        at = int(rng.integers(-20, width)), int(rng.integers(0, height + 20))
        font = _FONTS[int(rng.integers(len(_FONTS)))]
        cv2.putText(picture, letters, at, font, rng.uniform(0.3, 4), _colour(rng), int(rng.integers(1, 6)), cv2.LINE_AA)
    return picture


def _shapes(size_wh: tuple[int, int], rng: np.random.Generator) -> Pixels:
    """Ellipses, boxes and lines, some of the colour of skin: furniture, hands, lamps, fruit."""
    width, height = size_wh
    picture = (_gradient if rng.random() < 0.5 else _clouds)(size_wh, rng)
    for _ in range(int(rng.integers(4, 30))):
        colour = _skin(rng) if rng.random() < 0.35 else _colour(rng)
        at = int(rng.integers(width)), int(rng.integers(height))
        reach = max(int(np.exp(rng.uniform(np.log(4), np.log(90)))), 2)
        kind = rng.random()
        if kind < 0.5:
            axes = reach, max(int(reach * rng.uniform(0.3, 1.2)), 1)
            cv2.ellipse(picture, at, axes, rng.uniform(0, 180), 0, 360, colour, -1, cv2.LINE_AA)
        elif kind < 0.75:
            corners = cv2.boxPoints((at, (reach, reach * rng.uniform(0.3, 3)), rng.uniform(0, 90)))
            cv2.fillConvexPoly(picture, corners.astype(np.int32), colour, cv2.LINE_AA)
        else:
            end = int(rng.integers(width)), int(rng.integers(height))
            cv2.line(picture, at, end, colour, int(rng.integers(1, 16)), cv2.LINE_AA)
    return picture


def _animals(size_wh: tuple[int, int], rng: np.random.Generator) -> Pixels:
    """Heads of animals, owls and clocks, much as a child draws them: round, with two dots, but nobody's face."""
    width, height = size_wh
    picture = (_clouds if rng.random() < 0.6 else _gradient)(size_wh, rng)
    for _ in range(int(rng.integers(1, 9))):
        reach = float(np.exp(rng.uniform(np.log(6), np.log(90))))
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        fur, dark = _colour(rng), tuple(int(v) for v in rng.integers(0, 60, 3))
        _head(picture, (x, y), reach, fur, dark, rng)
    return picture


def _head(
    picture: Pixels,
    at: tuple[float, float],
    reach: float,
    fur: tuple[int, int, int],
    dark: tuple[int, ...],
    rng: np.random.Generator,
) -> None:
    def dot(dx: float, dy: float, wide: float, high: float, colour: tuple[int, ...]) -> None:
        centre = int(at[0] + dx * reach), int(at[1] + dy * reach)
        axes = max(int(wide * reach), 1), max(int(high * reach), 1)
        cv2.ellipse(picture, centre, axes, 0, 0, 360, colour, -1, cv2.LINE_AA)

    ear = rng.uniform(0.25, 0.6)
    for side in (-1, 1):
        if rng.random() < 0.5:
            tip = [(side * 0.9, -1.3 - ear), (side * 0.95, -0.3), (side * 0.3, -0.8)]
            points = np.array([(at[0] + u * reach, at[1] + v * reach) for u, v in tip], np.int32)
            cv2.fillConvexPoly(picture, points, fur, cv2.LINE_AA)
        else:
            dot(side * 0.85, -0.85, ear, ear, fur)
    dot(0, 0, rng.uniform(0.85, 1.1), rng.uniform(0.8, 1.1), fur)
    eye, apart = rng.uniform(0.08, 0.3), rng.uniform(0.35, 0.6)
    for side in (-1, 1):
        dot(side * apart, -0.15, eye, eye, (240, 240, 220) if rng.random() < 0.5 else dark)
        dot(side * apart, -0.15, eye / 2, eye * rng.uniform(0.5, 1), dark)
    light = tuple(int(v) for v in np.clip(np.array(fur) * 0.5 + 120, 0, 255))
    dot(0, 0.45, rng.uniform(0.3, 0.55), rng.uniform(0.25, 0.45), light)
    dot(0, 0.25, rng.uniform(0.1, 0.2), rng.uniform(0.06, 0.15), dark)


_KINDS: tuple[Callable[[tuple[int, int], np.random.Generator], Pixels], ...] = (
    _gradient,
    _clouds,
    _clouds,
    _stripes,
    _checkers,
    _text,
    _shapes,
    _shapes,
    _animals,
)
