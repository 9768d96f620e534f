"""What one camera's chain has done so far: how long its stages took, and how often things happened."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

STAGE_BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
SCORE_BOUNDS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


class Histogram:
    """Counts of values by their size.

    Attributes:
        bounds: upper bounds, inclusive, in order.
        counts: of values up to each bound and above the one before; the last: above all.
        total: sum of all values.
    """

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    @property
    def count(self) -> int:
        """How many values there were."""
        return sum(self.counts)

    def add(self, value: float) -> None:
        """Count a value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


class Tally:
    """Kept by the parts of a pipeline together.

    Attributes:
        stages: seconds of each run, by stage.
        counts: of what happened, by name.
        rejections: of faces, by reason.
        scores: of the decisions; one below 0 counts as 0, as sums of histograms may only grow.
    """

    def __init__(self) -> None:
        self.stages: dict[str, Histogram] = {}
        self.counts: Counter[str] = Counter()
        self.rejections: Counter[str] = Counter()
        self.scores = Histogram(SCORE_BOUNDS)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure what runs inside as one run of a stage."""
        started = time.perf_counter()
        yield
        took_s = time.perf_counter() - started
        if name not in self.stages:
            self.stages[name] = Histogram(STAGE_BOUNDS_S)
        self.stages[name].add(took_s)
