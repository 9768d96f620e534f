"""Which curves are drawn together."""

from __future__ import annotations

import pytest

pytest.importorskip("matplotlib")

from train.evaluation.figures import history_panels


def test_no_history():
    assert history_panels([]) == []


def test_a_measure_stands_with_its_twin_and_what_is_no_measure_is_left_out():
    rows = [{"epoch": e, "seconds": 1.0, "loss": 3.0 / e, "val_loss": 4.0 / e, "val_pairs": 0.5} for e in (1, 2)]
    assert history_panels(rows) == [("loss", ["loss", "val_loss"]), ("pairs", ["val_pairs"])]


def test_a_single_term_is_drawn_once():
    rows = [{"loss": v, "reconstruction": v, "val_loss": v + 1, "val_reconstruction": v + 1} for v in (3.0, 2.0)]
    assert history_panels(rows) == [("loss", ["loss", "val_loss"])]


def test_a_validated_part_does_not_stand_for_the_whole_loss():
    rows = [
        {"identity": 5.0, "loss": v + 5, "reconstruction": v, "val_loss": v + 1, "val_reconstruction": v + 1}
        for v in (3.0, 2.0)
    ]
    assert history_panels(rows) == [
        ("identity", ["identity"]),
        ("loss", ["loss"]),
        ("reconstruction", ["reconstruction", "val_reconstruction"]),
    ]
