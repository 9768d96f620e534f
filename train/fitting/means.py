"""The mean of what each step of an epoch said; Keras' ``train_on_batch`` forgets the steps before."""

from __future__ import annotations

from collections.abc import Mapping


class StepMeans:
    """Means by name."""

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self._steps = 0

    def add(self, values: Mapping[str, float]) -> None:
        """What one step said."""
        self._steps += 1
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0.0) + float(value)

    def means(self) -> dict[str, float]:
        """Of all steps so far; empty before the first."""
        return {name: total / self._steps for name, total in self._sums.items()}
