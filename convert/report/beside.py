"""How good an encoder is at all: not hardly better than a coin, and beside the released one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from edge_runtime.bundle.manifest import MANIFEST
from edge_runtime.decision.refusal import LEAST_PAIRS, LEAST_RIGHT

RELEASED = Path(__file__).parents[2] / "models" / "released" / "default"


def coin_fault(parity: dict[str, Any]) -> str | None:
    """What speaks against an encoder that hardly beats a coin; None: it does better, or too few pairs tell.

    Args:
        parity: as ``Parity.as_json`` gives it.
    """
    accuracy = (parity["pair_accuracy"] or {}).get(parity["label"])
    if accuracy is None or parity["pairs"] < LEAST_PAIRS or accuracy >= LEAST_RIGHT:
        return None
    return f"expected at least {LEAST_RIGHT:.0%} of pairs judged right, found {accuracy:.1%}, and a coin has 50 %"


def beside_released(parity: dict[str, Any], released: Path = RELEASED) -> str | None:
    """A sentence on an encoder beside the released one, each on the people it was compared on; None: not known."""
    accuracy = (parity["pair_accuracy"] or {}).get(parity["label"])
    if accuracy is None or not (released / MANIFEST).is_file():
        return None
    other = json.loads((released / MANIFEST).read_text(encoding="utf-8"))["metrics"]["parity"]
    theirs = (other["pair_accuracy"] or {}).get(other["label"])
    if theirs is None:
        return None
    return (
        f"It judges {accuracy:.1%} of {parity['pairs']:,} pairs right; the released encoder {theirs:.1%} of its "
        f"{other['pairs']:,}, and a coin 50 %."
    )
