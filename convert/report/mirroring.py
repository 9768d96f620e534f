"""Whether a face is told better by the mean of its code and its mirror image's: measured on held-out people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from convert.report.parity import identification
from edge_runtime.faces.encoder import TfliteEncoder
from edge_runtime.types import Floats, Pixels


def try_mirroring(
    encoder: TfliteEncoder, probe: Pixels, names: Sequence[str], plain: tuple[Floats, Floats]
) -> tuple[dict[str, Any], tuple[Floats, Floats]]:
    """Let ``encoder`` mirror if that finds more enrolled people (DIR) at the same share of strangers named (FPIR).

    Args:
        encoder: of the candidate; its ``mirrored`` is set.
        probe: uint8 (N, h, w, 3) RGB, faces it was not fitted on.
        names: the person of each; empty where nobody knows.
        plain: its codes float32 (N, D) of unit length, and their lengths (N,), without mirroring.

    Returns:
        What was found: ``chosen``, and ``rates`` of ``plain`` and ``mirrored`` as the parity report has them, None
        where there are too few people to tell; then codes and lengths as ``encoder`` gives them from now on.
    """
    if not all(names):
        return {"chosen": False, "rates": None}, plain
    encoder.mirrored = True
    mirrored = encoder.encode(probe)
    found = identification({"plain": plain[0], "mirrored": mirrored[0]}, names)
    gains = [rates["mirrored"]["mean"] - rates["plain"]["mean"] for rates in found["rates"].values()] if found else []
    encoder.mirrored = sum(gains) > 0
    tried = {"chosen": encoder.mirrored, "rates": found and found["rates"]}
    return tried, mirrored if encoder.mirrored else plain


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
