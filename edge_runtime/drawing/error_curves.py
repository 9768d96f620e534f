"""The two errors against the threshold, and where this device stands: a picture for people."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from edge_runtime.types import Pixels

_SIZE_WH = (900, 560)
_LEFT, _TOP, _RIGHT, _BOTTOM = 84, 76, 24, 62
_LOWEST = 1e-4
_PAPER, _INK, _FAINT, _GRID = (250, 250, 248), (28, 30, 33), (120, 124, 130), (224, 225, 226)
_STRANGERS, _MISSES, _POINT = (218, 54, 51), (31, 111, 235), (46, 160, 67)
_STEPS = 400


@dataclass(frozen=True)
class Curves:
    """What is drawn.

    Attributes:
        heading, subheading: two lines above it.
        threshold: where the device stands, a score.
        false_rate: share of strangers named, by threshold.
        interval: 95 % interval of that share at ``threshold``.
        miss_rate: share of enrolled photos missed, by threshold; None: not known.
        scores: the range of thresholds drawn, (low, high).
    """

    heading: str
    subheading: str
    threshold: float
    false_rate: Callable[[float], float]
    interval: tuple[float, float]
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
    for rate, colour in ((curves.false_rate, _STRANGERS), (curves.miss_rate, _MISSES)):
        if rate is not None:
            rates = np.array([rate(float(t)) for t in thresholds])
            seen = np.convolve(rates >= _LOWEST, [1, 1, 1], "same") > 0
            points = zip(thresholds[seen].tolist(), rates[seen].tolist(), strict=True)
            draw.line([at(*point) for point in points], colour, 3, joint="curve")
    if low <= curves.threshold <= high:
        x, y = at(curves.threshold, curves.false_rate(curves.threshold))
        draw.line([(x, _TOP), (x, _TOP + height)], _POINT, 2)
        draw.line([at(curves.threshold, curves.interval[0]), at(curves.threshold, curves.interval[1])], _STRANGERS, 7)
        draw.ellipse((x - 6, y - 6, x + 6, y + 6), _POINT, _PAPER, 2)
    draw.text((_LEFT, 12), curves.heading, _INK, ImageFont.load_default(22))
    draw.text((_LEFT, 42), curves.subheading, _FAINT, ImageFont.load_default(14))
    legend = [(_STRANGERS, "strangers named"), (_POINT, "this device")]
    legend[1:1] = [(_MISSES, "enrolled photos missed")] if curves.miss_rate else []
    for number, (colour, label) in enumerate(legend):
        x = _LEFT + 230 * number
        draw.rectangle((x, _SIZE_WH[1] - 20, x + 22, _SIZE_WH[1] - 14), colour)
        draw.text((x + 30, _SIZE_WH[1] - 26), label, _INK, ImageFont.load_default(14))
    return np.asarray(image, np.uint8)


def _axes(
    draw: ImageDraw.ImageDraw, low: float, high: float, at: Callable[[float, float], tuple[float, float]]
) -> None:
    font = ImageFont.load_default(13)
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
