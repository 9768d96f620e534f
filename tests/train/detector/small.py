"""Runs of a detector and of a refiner that take seconds."""

from __future__ import annotations

from pathlib import Path

from tests.builders import RELEASED
from tests.train.labelled_photos import write_drawn
from train.detector.fit import fit_detector
from train.detector.fitting import DetectorRun
from train.detector.recipe import DetectorRecipe, RefinerRecipe, parse_detector_recipe, parse_refiner_recipe
from train.detector.refiner import fit_refiner


def small_recipe(epochs: int = 2) -> DetectorRecipe:
    document = {
        "detector": {"size_wh": [96, 64], "stem": [4, 8], "widths": [8, 8, 8], "blocks": [1, 1, 1]},
        "fit": {"epochs": epochs, "pictures": 8, "batch": 4, "precision": "float32"},
    }
    return parse_detector_recipe(document, "small", "", "small")


def fit_small(folder: Path, epochs: int = 2, seed: int = 0, start: Path | None = None) -> DetectorRun:
    """Fit on drawn photos, which are made beside ``folder`` if they are not there."""
    return fit_detector(small_recipe(epochs), [_photos(folder)], folder, seed, start)


def small_refiner_recipe(epochs: int = 1) -> RefinerRecipe:
    document = {
        "refiner": {"size": 32, "scene_wh": [160, 120], "widths": [4, 8, 8], "squeezed": 4, "hidden": 8},
        "fit": {"epochs": epochs, "pictures": 64, "batch": 16, "precision": "float32"},
    }
    return parse_refiner_recipe(document, "small", "", "small")


def fit_small_refiner(folder: Path, epochs: int = 1, start: Path | None = None) -> DetectorRun:
    """Fit on what the released detector finds in drawn photos."""
    return fit_refiner(small_refiner_recipe(epochs), [_photos(folder)], folder, f"bundle:{RELEASED}", start=start)


def _photos(folder: Path) -> Path:
    photos = folder.parent / "drawn.npz"
    if not photos.exists():
        write_drawn(photos)
    return photos
