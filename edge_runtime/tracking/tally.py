"""What one camera's chain has done so far: how long its stages took, and how often things happened."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(slots=True)
class StageTime:
    """How often a stage ran and how long in all, seconds."""

    count: int = 0
    total_s: float = 0.0


class Tally:
    """Kept by the parts of a pipeline together.

    Attributes:
        stages: time spent by stage.
        counts: of what happened, by name.
    """

    def __init__(self) -> None:
        self.stages: dict[str, StageTime] = {}
        self.counts: Counter[str] = Counter()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure what runs inside as one run of a stage."""
        stage = self.stages.setdefault(name, StageTime())
        started = time.perf_counter()
        yield
        stage.total_s += time.perf_counter() - started
        stage.count += 1
