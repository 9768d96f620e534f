"""The short form of ``make fuzz``, with a seed of its own."""

from __future__ import annotations

import pytest

pytest.importorskip("ai_edge_litert")

from tests.fuzz.cases import run


def test_spoilt_models_manifests_and_bundles_end_in_one_line() -> None:
    outcome = run(cases=800, seed=7, native=2)
    assert outcome.failures == []
    assert sum(outcome.counts.values()) == 800
    # Mutations of which all or not one is refused at the door would show nothing.
    assert min(outcome.counts[f"model: {end}"] for end in ("one line", "does not map", "maps")) > 5, outcome.counts
    assert min(outcome.counts[f"manifest: {end}"] for end in ("one line", "taken")) > 2, outcome.counts
