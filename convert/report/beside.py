"""How good an encoder is at all: not hardly better than a coin, and beside the released one."""

from __future__ import annotations

from pathlib import Path

from convert.report.parity import Parity
from edge_runtime.bundle.figures import Metrics
from edge_runtime.bundle.manifest import MANIFEST, Manifest
from edge_runtime.decision.refusal import LEAST_PAIRS, LEAST_RIGHT

RELEASED = Path(__file__).parents[2] / "models" / "released" / "default"


def coin_fault(parity: Parity) -> str | None:
    """What speaks against an encoder that hardly beats a coin; None: it does better, or too few pairs tell."""
    accuracy = (parity.pair_accuracy or {}).get(parity.label)
    if accuracy is None or parity.pairs < LEAST_PAIRS or accuracy >= LEAST_RIGHT:
        return None
    return f"expected at least {LEAST_RIGHT:.0%} of pairs judged right, found {accuracy:.1%}, and a coin has 50 %"


def beside_released(parity: Parity, released: Path = RELEASED) -> str | None:
    """A sentence on an encoder beside the released one, each on the people it was compared on; None: not known."""
    own = Metrics(parity=parity.as_json()).pairs_right
    if own is None or not (released / MANIFEST).is_file():
        return None
    other = Manifest.parse((released / MANIFEST).read_text(encoding="utf-8"), str(released)).metrics.pairs_right
    if other is None:
        return None
    return (
        f"It judges {own[1]:.1%} of {own[0]:,} pairs right; the released encoder {other[1]:.1%} of its "
        f"{other[0]:,}, and a coin 50 %."
    )
