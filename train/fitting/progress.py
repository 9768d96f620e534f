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


def epoch_line(row: Mapping[str, float], begun: float) -> str:
    """One epoch: progress, the loss, figures of held-out people if they were looked at, and the time left.

    Args:
        row: of the history, with ``epoch``, ``progress`` (0..1), ``seconds`` and ``waited``.
        begun: progress before this epoch, 0..1.
    """
    figures = "  ".join(text.format(row[name]) for name, text in _SHOWN.items() if name in row)
    # A first epoch also waits for all views to be made, which no later one does.
    seconds = row["seconds"] if begun else row["seconds"] - row["waited"]
    left = time_left(seconds, row["progress"] - begun, 1 - row["progress"])
    return f"epoch {row['epoch']:.0f}  {row['progress']:.0%}  {figures}  {left}"


def time_left(seconds: float, share: float, rest: float) -> str:
    """How long it still takes, in words, if ``share`` of the run took ``seconds`` and ``rest`` of it is left."""
    if rest <= 0:
        return "done"
    left = seconds / max(share, 1e-9) * rest
    if left < 90:
        return f"{left:.0f} s left"
    if left < 5400:
        return f"{left / 60:.0f} min left"
    return f"{left / 3600:.1f} h left"
