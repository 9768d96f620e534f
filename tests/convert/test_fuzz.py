"""The short form of ``make fuzz``, with a seed of its own."""

from __future__ import annotations

import pytest

pytest.importorskip("ai_edge_litert")

from tests.fuzz.cases import run

pytestmark = pytest.mark.desktop


def test_spoilt_models_manifests_and_bundles_end_in_one_line() -> None:
    outcome = run(cases=1200, seed=7, native=4)
    assert outcome.failures == []
    assert sum(outcome.counts.values()) == 1200
    # Mutations that are all refused at the door, or none, would show nothing.
    for kind in ("model: one line", "model: does not map", "manifest: one line", "manifest: taken", "bundle: one line"):
        assert outcome.counts[kind] > 20, outcome.counts
