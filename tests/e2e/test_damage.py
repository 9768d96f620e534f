"""A few kills and corruptions of each kind; ``make damage`` does a thousand and two thousand."""

from __future__ import annotations

from pathlib import Path

from tests.damage.__main__ import run


def test_nothing_acknowledged_is_lost_and_nothing_wrong_is_answered(tmp_path: Path) -> None:
    counts = run(tmp_path, kill_count=20, corruption_count=24, seed=3)
    assert counts.problems == []
    assert sum(number for name, number in counts.items() if name.startswith("kills")) == 20
    assert counts["changes acknowledged"] > 20 and counts["rows saved"] > 0
