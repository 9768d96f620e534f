"""How long to wait before trying again what has failed."""

from __future__ import annotations


def delay_s(attempt: int, share: float, first_s: float, last_s: float) -> float:
    """Seconds to wait before the next try.

    Args:
        attempt: failures in a row before this one; the wait doubles with each.
        share: 0..1, drawn at random: moves the wait by up to a quarter, so that not all try at once.
        first_s: the wait after the first failure.
        last_s: the wait grows no further than this.
    """
    return float(min(first_s * 2.0 ** min(attempt, 16), last_s) * (0.75 + 0.5 * share))
