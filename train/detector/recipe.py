"""A detector's recipe: a TOML file read into frozen dataclasses; unknown keys are errors."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from edge_runtime.errors import ConfigError
from edge_runtime.schema.table import check_known, key, section
from models.detector import DetectorSpec
from models.refiner import RefinerSpec
from train.fitting.recipes import read_recipe


@dataclass(frozen=True)
class DetectorPart:
    """See ``models.detector.DetectorSpec``."""

    size_wh: tuple[int, ...] = (320, 240)
    stem: tuple[int, ...] = (12, 24)
    widths: tuple[int, ...] = (48, 64, 96)
    blocks: tuple[int, ...] = (3, 4, 3)

    def spec(self) -> DetectorSpec:
        """The network's shape.

        Raises:
            ConfigError: lists of other lengths than the network has parts.
        """
        parts = self.size_wh, self.stem, self.widths, self.blocks
        match parts:
            case (width, height), (first, second), (a, b, c), (d, e, f):
                return DetectorSpec((width, height), (first, second), (a, b, c), (d, e, f))
        raise ConfigError(f"[detector]: expected 2, 2, 3 and 3 numbers, found {[len(part) for part in parts]}")


@dataclass(frozen=True)
class TermsPart:
    """Weights of what a cell may get wrong, see ``train.detector.losses``.

    Attributes:
        score: whether a face is there.
        box: its edges.
        landmarks: its five points.
    """

    score: float = key(1.0, low=0, high=1e3)
    box: float = key(1.0, low=0, high=1e3)
    landmarks: float = key(6.0, low=0, high=1e3)


@dataclass(frozen=True)
class SceneFitPart:
    """How long and how.

    Attributes:
        epochs: of ``pictures`` each; a run may go on with another number.
        pictures: in an epoch, each a new one: scenes for a detector, faces for a refiner.
        batch: pictures a step.
        learning_rate: at its height; cosine down to a hundredth, after ``warmup`` of all steps.
        warmup: share of all steps in which the learning rate grows.
        weight_decay: of AdamW.
        harsh: how much the scenes' camera spoils.
        precision: auto (mixed_bfloat16 where the machine has it in hardware), float32 or mixed_bfloat16.
    """

    epochs: int = key(60, low=1, high=100_000)
    pictures: int = key(6400, low=2, high=10**7)
    batch: int = key(32, low=1, high=4096)
    learning_rate: float = key(3e-3, low=1e-7, high=10)
    warmup: float = key(0.02, low=0, high=0.5)
    weight_decay: float = key(0.01, low=0, high=1)
    harsh: float = key(1.0, low=0, high=2)
    precision: str = key("auto", choices=("auto", "float32", "mixed_bfloat16"))


@dataclass(frozen=True)
class RefinerPart:
    """See ``models.refiner.RefinerSpec``.

    Attributes:
        scene_wh: width and height of the scenes that the detector searches, px.
    """

    size: int = key(64, low=32, high=256)
    scene_wh: tuple[int, ...] = (320, 240)
    widths: tuple[int, ...] = (16, 32, 64)
    blocks: tuple[int, ...] = (1, 1)
    squeezed: int = key(16, low=1, high=1024)
    hidden: int = key(64, low=1, high=4096)

    def spec(self) -> RefinerSpec:
        """The network's shape.

        Raises:
            ConfigError: lists of other lengths than the network has parts.
        """
        parts = self.scene_wh, self.widths, self.blocks
        match parts:
            case (_, _), (a, b, c), (d, e):
                return RefinerSpec(self.size, (a, b, c), (d, e), self.squeezed, self.hidden)
        raise ConfigError(f"[refiner]: expected 2, 3 and 2 numbers, found {[len(part) for part in parts]}")


@dataclass(frozen=True)
class RefinerTermsPart:
    """Weights of what may be wrong about a face, see ``train.detector.refiner``.

    Attributes:
        score: whether it is one.
        landmarks: its five points.
    """

    score: float = key(1.0, low=0, high=1e3)
    landmarks: float = key(5.0, low=0, high=1e3)


@dataclass(frozen=True)
class FinderRecipe:
    """What the recipes of a detector and of a refiner have in common.

    Attributes:
        name: of the file.
        text: the TOML it was read from, before any ``--set``.
        fit: how long and how.
    """

    name: str
    text: str = field(repr=False)
    fit: SceneFitPart = SceneFitPart()

    def values(self) -> dict[str, Any]:
        """Every section and key, JSON-ready, without name and text."""
        return {name: part for name, part in dataclasses.asdict(self).items() if name not in ("name", "text")}


@dataclass(frozen=True)
class DetectorRecipe(FinderRecipe):
    """A detector's whole recipe, checked."""

    detector: DetectorPart = DetectorPart()
    loss: TermsPart = TermsPart()


@dataclass(frozen=True)
class RefinerRecipe(FinderRecipe):
    """A refiner's whole recipe, checked."""

    refiner: RefinerPart = RefinerPart()
    loss: RefinerTermsPart = RefinerTermsPart()


def recipe_kind(name_or_path: str) -> str:
    """What a recipe is for: ``detector`` or ``refiner`` if it has a section of that name, else ``encoder``.

    Raises:
        ConfigError: no such recipe, or not TOML.
    """
    document = read_recipe(name_or_path)[0]
    return next((kind for kind in _PARTS if kind in document), "encoder")


def load_detector_recipe(name_or_path: str, overrides: Sequence[str] = ()) -> DetectorRecipe:
    """Read a detector's recipe, as ``train.encoder.recipe.load_recipe`` reads an encoder's.

    Raises:
        ConfigError: as there.
    """
    document, path, text = read_recipe(name_or_path, overrides)
    return parse_detector_recipe(document, path.stem, text, str(path))


def load_refiner_recipe(name_or_path: str, overrides: Sequence[str] = ()) -> RefinerRecipe:
    """The same of a refiner's."""
    document, path, text = read_recipe(name_or_path, overrides)
    return parse_refiner_recipe(document, path.stem, text, str(path))


_PARTS: dict[str, dict[str, Any]] = {
    "detector": {"detector": DetectorPart, "loss": TermsPart, "fit": SceneFitPart},
    "refiner": {"refiner": RefinerPart, "loss": RefinerTermsPart, "fit": SceneFitPart},
}


def parse_detector_recipe(document: Mapping[str, Any], name: str, text: str, where: str) -> DetectorRecipe:
    """Check a parsed document.

    Raises:
        ConfigError: an unknown key, a wrong type, or a value out of range.
    """
    recipe = DetectorRecipe(name, text, **_sections("detector", document, where))
    recipe.detector.spec()
    return recipe


def parse_refiner_recipe(document: Mapping[str, Any], name: str, text: str, where: str) -> RefinerRecipe:
    """The same of a refiner's."""
    recipe = RefinerRecipe(name, text, **_sections("refiner", document, where))
    recipe.refiner.spec()
    return recipe


def _sections(kind: str, document: Mapping[str, Any], where: str) -> dict[str, Any]:
    parts = {}
    for name, table in document.items():
        check_known(name, _PARTS[kind], where, "section")
        parts[name] = section(_PARTS[kind][name], table, f"{where}: [{name}]")
    return parts
