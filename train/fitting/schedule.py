"""How long a run lasts and how fast it learns: by epochs, or by the clock.

Progress goes from 0 to 1 over a run. Each epoch is given its share before it begins and the history keeps it,
so that a run that was cut goes on at the very learning rate where it was, and may end sooner or later than it was to.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import keras

from train.fitting.muon import ConvMuon
from train.fitting.parts import FitPart, OptimiserPart

_FIRST_SHARE = 0.01
"""Progress of the first epoch of a run by the clock, when nobody knows yet how long one takes."""
_LONGEST_WARMUP = 0.2
"""Warming up ends at this progress, however few steps there are."""
History = Sequence[Mapping[str, float]]


class Schedule:
    """Progress and learning rate of a run."""

    def __init__(self, optimiser: OptimiserPart, fit: FitPart) -> None:
        self._optimiser, self._fit = optimiser, fit

    def begun(self, history: History) -> float:
        """Progress after the epochs of ``history``, 0..1."""
        return float(history[-1]["progress"]) if history else 0.0

    def reached(self, history: History) -> float:
        """Progress that the epoch after ``history`` shall have reached at its end, 0..1."""
        if self._fit.minutes and not history:
            return _FIRST_SHARE
        left = self.left_s(history) / _pace_s(history) if self._fit.minutes else self._fit.epochs - len(history)
        start = self.begun(history)
        return start + (1 - start) / max(round(left), 1)

    def left_s(self, history: History) -> float:
        """How long the run still takes after the epochs of ``history``, at least one, in seconds."""
        if self._fit.minutes:
            return 60 * self._fit.minutes - sum(row["seconds"] for row in history)
        return _pace_s(history) * (self._fit.epochs - len(history))

    def rate(self, progress: float, step: int) -> float:
        """Learning rate at ``progress`` and after ``step`` steps since the run began."""
        part = self._optimiser
        if part.schedule == "constant":
            return part.learning_rate
        warm = max((step + 1) / part.warmup_steps, progress / _LONGEST_WARMUP) if part.warmup_steps else 1.0
        return part.learning_rate * min(warm, 1.0) * 0.5 * (1 + math.cos(math.pi * progress))


def _pace_s(history: History) -> float:
    """How long an epoch takes. The first one also waits for all views to be made, which no later one does."""
    return max(history[-1]["seconds"] - (history[0]["waited"] if len(history) == 1 else 0), 1e-3)


def make_optimiser(part: OptimiserPart, policy: str = "float32") -> keras.optimizers.Optimizer:
    """The optimiser a recipe asks for, for a model of dtype ``policy``; its learning rate is set step by step."""
    if part.kind == "adam":
        return keras.optimizers.Adam(part.learning_rate)
    if part.kind == "adamw":
        optimiser = keras.optimizers.AdamW(part.learning_rate, weight_decay=part.weight_decay)
    else:
        optimiser = ConvMuon(part.learning_rate, part.weight_decay, keras.DTypePolicy(policy).compute_dtype)
    optimiser.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimiser
