"""Whether a face is told better by the mean of its code and its mirror image's: measured on held-out people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from convert.parity import identification
from edge_runtime.encoder import TfliteEncoder
from edge_runtime.types import Floats, Pixels


def try_mirroring(encoder: TfliteEncoder, probe: Pixels, names: Sequence[str], plain: Floats) -> dict[str, Any]:
    """Let ``encoder`` mirror if that finds more enrolled people (DIR) at the same share of strangers named (FPIR).

    Args:
        encoder: of the candidate; its ``mirrored`` is set.
        probe: uint8 (N, h, w, 3) RGB, faces it was not fitted on.
        names: the person of each; empty where nobody knows.
        plain: float32 (N, D) of unit length, its codes without mirroring.

    Returns:
        ``chosen``, and ``rates`` as the parity report has them, of ``plain`` and ``mirrored``; None where there are
        too few people to tell.
    """
    encoder.mirrored = True
    found = identification({"plain": plain, "mirrored": encoder.encode(probe)[0]}, names) if all(names) else None
    if found:
        gains = [rates["mirrored"]["mean"] - rates["plain"]["mean"] for rates in found["rates"].values()]
        encoder.mirrored = sum(gains) > 0
    else:
        encoder.mirrored = False
    return {"chosen": encoder.mirrored, "rates": found and found["rates"]}


def in_words(tried: dict[str, Any]) -> str:
    """What was found, in a sentence."""
    if not tried["rates"]:
        return "too few people to tell whether mirroring helps, so codes are of the face alone"
    shares = "; ".join(
        f"{rates['plain']['mean']:.1%} without and {rates['mirrored']['mean']:.1%} with it at FPIR {float(fpir):.1%}"
        for fpir, rates in tried["rates"].items()
    )
    what = "the mean of the face's and of its mirror image's" if tried["chosen"] else "of the face alone"
    return f"codes are {what}: DIR {shares}"
