"""What a camera at a door does to a face: poor light, few pixels, noise, compression, infrared, things in the way.

The teacher never sees any of it: the student learns to give the code of the clean view regardless.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_runtime.types import Floats, Pixels
from train.data import worn
from train.encoder.recipe import AugmentPart

_COARSEST = 0.2
"""A chip of low resolution keeps at least this share of its pixels a side."""
_JPEG_QUALITIES = (15, 75)
_OUT_OF_FOCUS = (0.005, 0.075)
"""Standard deviation of the blur, shares of a chip's height, of which the eyes are a third apart; most are slight."""
_SMEARED = (0.03, 0.2)
"""Length of the line that a moving face is smeared along, shares of a chip's height; most are short."""
_EXPOSURES = (0.2, 2.5)
"""Gains of what is far too dark or too bright."""
_INFRARED = np.array([0.6, 0.3, 0.1], np.float32)
"""Skin and lips are light in infrared: red says most about them; each chip draws its weights around these."""


def photometric(chips: Pixels, part: AugmentPart, rng: np.random.Generator) -> Pixels:
    """The same faces as cameras would show them.

    Args:
        chips: uint8 (N, h, w, 3) RGB.
        part: how much of each disturbance.
        rng: the draws.

    Returns:
        uint8 (N, h, w, 3) RGB, a new array.
    """
    pixels = chips.astype(np.float32)
    if part.occlusion:
        _occlude(pixels, _some(part.occlusion, len(chips), rng), rng)
    if part.light:
        pixels = _lit(pixels, part.light, rng)
    if part.exposure:
        chosen = _some(part.exposure, len(chips), rng)
        low, high = np.log(_EXPOSURES)
        gains = np.exp(rng.uniform(low, high, (len(chosen), 1, 1, 1)))
        pixels[chosen] = pixels[chosen] * gains.astype(np.float32)
    if part.grey:
        _turn_grey(pixels, _some(part.grey, len(chips), rng), rng)
    if part.blur:
        _blur(pixels, _some(part.blur, len(chips), rng), rng)
    if part.low_resolution:
        _coarsen(pixels, _some(part.low_resolution, len(chips), rng), rng)
    if part.noise:
        strength = rng.uniform(0, part.noise, (len(chips), 1, 1, 1)).astype(np.float32)
        noise = rng.standard_normal(pixels.shape, np.float32)
        noise *= strength
        pixels += noise
    np.clip(pixels, 0, 255, out=pixels)
    seen = np.rint(pixels, out=pixels).astype(np.uint8)
    if part.jpeg:
        _compress(seen, _some(part.jpeg, len(chips), rng), rng)
    return seen


def _some(share: float, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    return np.flatnonzero(rng.random(count) < share)


def _lit(pixels: Floats, strength: float, rng: np.random.Generator) -> Floats:
    """Exposure, contrast, colour cast, and light that comes from one side."""
    count, height, width = pixels.shape[:3]
    per_face, per_channel = (count, 1, 1, 1), (count, 1, 1, 3)
    mean = pixels.mean((1, 2, 3), keepdims=True)
    contrast = np.exp(rng.normal(0, 0.15 * strength, per_face)).astype(np.float32)
    gain = np.exp(rng.normal(0, 0.15 * strength, per_face) + rng.normal(0, 0.04 * strength, per_channel))
    # A gain that runs linearly across the face.
    slope = rng.normal(0, 0.12 * strength, (2, count, 1, 1, 1)).astype(np.float32)
    down = np.linspace(-1, 1, height, dtype=np.float32)[None, :, None, None]
    across = np.linspace(-1, 1, width, dtype=np.float32)[None, None, :, None]
    side = 1 + slope[0] * down + slope[1] * across
    pixels = (pixels - mean) * contrast
    pixels += mean
    pixels *= gain.astype(np.float32) * side
    return pixels


def _turn_grey(pixels: Floats, chosen: NDArray[np.int64], rng: np.random.Generator) -> None:
    """A night camera: one channel, an infrared lamp's bright middle, a lifted black."""
    if not len(chosen):
        return
    height, width = pixels.shape[1:3]
    weight = _INFRARED * np.exp(rng.normal(0, 0.4, (len(chosen), 3)))
    grey = np.einsum("nhwc,nc->nhw", pixels[chosen], (weight / weight.sum(1, keepdims=True)).astype(np.float32))
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    lamp = rng.uniform(0, 0.35, (len(chosen), 1, 1)).astype(np.float32)
    lift = rng.uniform(0, 40, (len(chosen), 1, 1)).astype(np.float32)
    grey = lift + grey * (1 - lift / 255) * (1 + lamp * (0.5 - (x * x + y * y)))
    pixels[chosen] = grey[..., None]


def _occlude(pixels: Floats, chosen: NDArray[np.int64], rng: np.random.Generator) -> None:
    """Something in the way, of any plain colour: a scarf below, a cap above, a hand or branch, dark glasses, a mask."""
    height, width = pixels.shape[1:3]
    for index in chosen:
        kind = rng.integers(5)
        if kind > 2:
            outlines = worn.glasses(rng) if kind == 3 else worn.mask(rng)
            worn.draw(pixels[index], outlines, rng.uniform(0, 70 if kind == 3 else 255, 3).tolist())
            continue
        depth = rng.uniform(0.15, 0.35)
        top, left, high, wide = 0.0, 0.0, depth, 1.0
        if kind == 0:
            top = 1 - depth
        elif kind == 2:
            high, wide = rng.uniform(0.15, 0.4, 2)
            top, left = rng.uniform(0, 1 - high), rng.uniform(0, 1 - wide)
        rows = slice(round(top * height), round((top + high) * height))
        columns = slice(round(left * width), round((left + wide) * width))
        pixels[index, rows, columns] = rng.uniform(0, 255, 3)


def _blur(pixels: Floats, chosen: NDArray[np.int64], rng: np.random.Generator) -> None:
    """Out of focus, or moving along a line."""
    height = pixels.shape[1]
    for index in chosen:
        if rng.random() < 0.5:
            pixels[index] = cv2.GaussianBlur(pixels[index], (0, 0), _mostly_low(_OUT_OF_FOCUS, rng) * height)
        else:
            pixels[index] = cv2.filter2D(pixels[index], -1, _motion(_mostly_low(_SMEARED, rng) * height, rng))


def _mostly_low(between: tuple[float, float], rng: np.random.Generator) -> float:
    return between[0] + (between[1] - between[0]) * rng.random() ** 2


def _motion(length: float, rng: np.random.Generator) -> Floats:
    """A kernel that smears along a line of ``length`` px, in any direction."""
    side = 2 * int(np.ceil(length / 2)) + 1
    angle = rng.uniform(0, np.pi)
    reach = np.array([np.cos(angle), np.sin(angle)]) * (length / 2)
    middle = np.full(2, side // 2)
    # OpenCV takes the ends of a line in fractions of a pixel, here sixteenths.
    ends = [tuple(int(v) for v in np.rint((middle + sign * reach) * 16)) for sign in (-1, 1)]
    kernel = cv2.line(np.zeros((side, side), np.uint8), ends[0], ends[1], 255, 1, cv2.LINE_AA, 4).astype(np.float32)
    return np.asarray(kernel / kernel.sum(), np.float32)


def _coarsen(pixels: Floats, chosen: NDArray[np.int64], rng: np.random.Generator) -> None:
    """A face far away: averaged down, and enlarged again as an alignment does."""
    height, width = pixels.shape[1:3]
    for index in chosen:
        share = rng.uniform(_COARSEST, 0.9)
        small_wh = (max(round(share * width), 4), max(round(share * height), 4))
        small = cv2.resize(pixels[index], small_wh, interpolation=cv2.INTER_AREA)
        pixels[index] = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)


def _compress(pixels: Pixels, chosen: NDArray[np.int64], rng: np.random.Generator) -> None:
    """A stream's blocks: JPEG and back, in place."""
    for index in chosen:
        quality = int(rng.integers(*_JPEG_QUALITIES))
        # OpenCV reads the channels as BGR, on the way in as on the way out, which swaps the chroma a little at most.
        _, data = cv2.imencode(".jpg", pixels[index], [cv2.IMWRITE_JPEG_QUALITY, quality])
        pixels[index] = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
