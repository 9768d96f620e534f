"""The short form of ``make fuzz`` for commands and the control socket, with a seed of its own."""

from __future__ import annotations

import pytest

pytest.importorskip("ai_edge_litert", reason="needs the schema of TFLite files, which ai-edge-litert brings")

from tests.fuzz.commands import SHARES
from tests.fuzz.hostile import run_commands, run_messages


def test_hostile_commands_end_in_one_line_and_a_code_of_the_table() -> None:
    outcome = run_commands(400, seed=7, real=4)
    assert outcome.failures == []
    assert sum(outcome.counts.values()) == 400
    assert {name.partition(":")[0] for name in outcome.counts} == set(SHARES)


def test_hostile_messages_are_answered_refused_or_cut_off() -> None:
    outcome = run_messages(1500, seed=7)
    assert outcome.failures == []
    assert min(outcome.counts[f"message: {end}"] for end in ("answered", "UsageError", "ControlError", "cut off")) > 10
