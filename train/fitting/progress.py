"""What a person reads while a run is being fitted: lines that fit a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Mapping

GOES_ON = "Ctrl+C stops it; the same command goes on where it was."
_SHOWN = {
    "loss": "loss {:.4g}",
    "val_loss": "held out {:.4g}",
    "val_pair_accuracy": "pairs {:.1%}",
    "val_tmr_at_fmr_1e-3": "tmr {:.1%}",
}
"""Columns of the history and how they are shown; the others are in history.csv."""


def epoch_line(row: Mapping[str, float], left_s: float) -> str:
    """One epoch: progress, the loss, figures of held-out people if they were looked at, and the time left.

    Args:
        row: of the history, with ``epoch`` and ``progress`` (0..1).
        left_s: how long the run still takes, seconds.
    """
    figures = "  ".join(text.format(row[name]) for name, text in _SHOWN.items() if name in row)
    left = time_left(left_s) if row["progress"] < 1 else "done"
    return f"epoch {row['epoch']:.0f}  {row['progress']:.0%}  {figures}  {left}"


def time_left(seconds: float) -> str:
    """How long it still takes, in words."""
    if seconds <= 0:
        return "done"
    if seconds < 90:
        return f"{seconds:.0f} s left"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min left"
    return f"{seconds / 3600:.1f} h left"
