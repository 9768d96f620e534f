"""What is taken for a person: photos, and pictures that were made of them, at one threshold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edge_runtime.metrics.biometrics import tmr_at_fmr
from edge_runtime.types import Floats


def accepted(true: Floats, drawn: Floats, names: Sequence[str], fmr: float) -> dict[str, Any]:
    """How often another photo of the same person matches, at the threshold that the photos give for ``fmr``.

    Args:
        true: codes (N, D) of the photos, of unit length.
        drawn: codes (N, D) of what was drawn of each photo's code.
        names: N people.
        fmr: 0..1.

    Returns:
        JSON-ready: ``photo`` and ``drawn``, the shares of other photos of the same person that match a photo and what
        was drawn of it, every person weighing the same; ``same_photo``, how often the drawing matches its own photo.
    """
    found = tmr_at_fmr(true, names, fmr)
    people = np.array(names)
    shares: dict[str, dict[str, list[float]]] = {"photo": {}, "drawn": {}}
    same_photo = float(((true * drawn).sum(1) > found.threshold).mean())
    for k, name in enumerate(names):
        others = np.flatnonzero(people == name)
        others = others[others != k]
        if len(others):
            for kind, probe in (("photo", true[k]), ("drawn", drawn[k])):
                shares[kind].setdefault(name, []).append(float((true[others] @ probe > found.threshold).mean()))
    # Every person weighs the same, however many photos there are.
    rates = {kind: float(np.mean([np.mean(values) for values in of.values()])) for kind, of in shares.items()}
    return {
        "fmr": fmr,
        "threshold": found.threshold,
        "people": len(shares["photo"]),
        "same_photo": same_photo,
        **rates,
    }
