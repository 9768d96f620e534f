"""The two errors against the threshold, and where this device stands: a picture for people."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from edge_runtime.types import Pixels

_SIZE_WH = (940, 580)
_LEFT, _TOP, _RIGHT, _BOTTOM = 84, 84, 24, 84
_LOWEST = 1e-4
_PAPER, _INK, _FAINT, _GRID = (250, 250, 248), (28, 30, 33), (120, 124, 130), (224, 225, 226)
_STRANGERS, _ALIKE = (218, 54, 51), (210, 140, 30)
_MISSES, _POINT = (31, 111, 235), (160, 210, 170)
_STEPS = 400


@dataclass(frozen=True)
class Curves:
    """What is drawn.

    Attributes:
        heading, subheading: two lines above it.
        thresholds: where the device stands: the lowest and the highest score that a name needs.
        false_rate: share of strangers named, by threshold.
        interval: 95 % interval of that share at a threshold that is the same for everybody; None: it is not.
        supported: the lowest share that the strangers are evidence for; what is below is drawn thin.
        alike_rate: share of strangers who look like the household named, by threshold; None: not known.
        miss_rate: share of enrolled photos missed, by threshold; None: not known.
        scores: the range of thresholds drawn, (low, high).
    """

    heading: str
    subheading: str
    thresholds: tuple[float, float]
    false_rate: Callable[[float], float]
    interval: tuple[float, float] | None
    supported: float
    alike_rate: Callable[[float], float] | None
    miss_rate: Callable[[float], float] | None
    scores: tuple[float, float]


def draw_curves(curves: Curves) -> Pixels:
    """Draw both curves on a logarithmic axis, uint8 (H, W, 3) RGB; a curve ends where it falls below 1 in 10,000."""
    image = Image.new("RGB", _SIZE_WH, _PAPER)
    draw = ImageDraw.Draw(image)
    low, high = curves.scores
    width, height = _SIZE_WH[0] - _LEFT - _RIGHT, _SIZE_WH[1] - _TOP - _BOTTOM

    def at(score: float, rate: float) -> tuple[float, float]:
        x = _LEFT + width * (score - low) / (high - low)
        depth = math.log10(max(min(rate, 1.0), _LOWEST)) / math.log10(_LOWEST)
        return x, _TOP + height * depth

    _axes(draw, low, high, at)
    thresholds = np.linspace(low, high, _STEPS)
    left, right = (min(max(threshold, low), high) for threshold in curves.thresholds)
    draw.rectangle((at(left, 1.0)[0] - 1, _TOP, at(right, 1.0)[0] + 1, _TOP + height), _POINT)
    for rate, colour, least in (
        (curves.false_rate, _STRANGERS, curves.supported),
        (curves.alike_rate, _ALIKE, _LOWEST),
        (curves.miss_rate, _MISSES, _LOWEST),
    ):
        if rate is not None:
            rates = np.array([rate(float(t)) for t in thresholds])
            for seen, width_px in ((rates >= _LOWEST, 1), (rates >= max(least, _LOWEST), 4)):
                shown = np.convolve(seen, [1, 1, 1], "same") > 0
                points = zip(thresholds[shown].tolist(), rates[shown].tolist(), strict=True)
                draw.line([at(*point) for point in points], colour, width_px, joint="curve")
    if curves.interval is not None and low <= curves.thresholds[0] <= high:
        x, y = at(curves.thresholds[0], curves.false_rate(curves.thresholds[0]))
        draw.line([at(curves.thresholds[0], end) for end in curves.interval], _STRANGERS, 7)
        draw.ellipse((x - 6, y - 6, x + 6, y + 6), _POINT, _PAPER, 2)
    draw.text((_LEFT, 12), curves.heading, _INK, ImageFont.load_default(22))
    draw.text((_LEFT, 42), curves.subheading, _FAINT, ImageFont.load_default(14))
    _legend(draw, curves)
    return np.asarray(image, np.uint8)


def _legend(draw: ImageDraw.ImageDraw, curves: Curves) -> None:
    bar = "" if curves.interval is None else ", 95 % bar"
    entries = [
        (_STRANGERS, f"strangers named{bar}; thin: beyond the evidence"),
        (_ALIKE, "strangers who look alike named" if curves.alike_rate else ""),
        (_MISSES, "enrolled photos missed" if curves.miss_rate else ""),
        (_POINT, "this device's thresholds"),
    ]
    x = _LEFT
    font = ImageFont.load_default(13)
    for colour, label in entries:
        if label:
            draw.rectangle((x, _SIZE_WH[1] - 20, x + 18, _SIZE_WH[1] - 14), colour)
            draw.text((x + 24, _SIZE_WH[1] - 25), label, _INK, font)
            x += 44 + round(draw.textlength(label, font))


def _axes(
    draw: ImageDraw.ImageDraw, low: float, high: float, at: Callable[[float, float], tuple[float, float]]
) -> None:
    font = ImageFont.load_default(13)
    draw.text((12, _TOP - 26), "share", _INK, font)
    middle = at((low + high) / 2, 0.0)
    draw.text((middle[0], middle[1] + 24), "score that a name needs", _INK, font, anchor="ma")
    for power in range(5):
        rate = 10.0**-power
        left, right = at(low, rate), at(high, rate)
        draw.line([left, right], _GRID, 1)
        draw.text((12, left[1] - 8), "all" if power == 0 else f"1 in {10**power:,}", _FAINT, font)
    step = next(s for s in (0.02, 0.05, 0.1, 0.2, 0.5) if (high - low) / s <= 12)
    for number in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1):
        top, bottom = at(number * step, 1.0), at(number * step, 0.0)
        draw.line([top, bottom], _GRID, 1)
        draw.text((bottom[0] - 12, bottom[1] + 6), f"{number * step:.2f}", _FAINT, font)
