"""A detector's run that takes seconds."""

from __future__ import annotations

from pathlib import Path

from tests.train.labelled_photos import write_drawn
from train.detector.fit import DetectorRun, fit_detector
from train.detector.recipe import DetectorRecipe, parse_detector_recipe


def small_recipe(epochs: int = 2) -> DetectorRecipe:
    document = {
        "detector": {"size_wh": [96, 64], "stem": [4, 8], "widths": [8, 8, 8], "blocks": [1, 1, 1]},
        "fit": {"epochs": epochs, "scenes": 8, "batch": 4, "precision": "float32"},
    }
    return parse_detector_recipe(document, "small", "", "small")


def fit_small(folder: Path, epochs: int = 2, seed: int = 0, start: Path | None = None) -> DetectorRun:
    """Fit on drawn photos, which are made beside ``folder`` if they are not there."""
    photos = folder.parent / "drawn.npz"
    if not photos.exists():
        write_drawn(photos)
    return fit_detector(small_recipe(epochs), [photos], folder, seed, start)
