"""A detector's recipe: a TOML file read into frozen dataclasses; unknown keys are errors."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from edge_runtime.errors import ConfigError
from edge_runtime.settings import check_known, key, section
from models.detector import DetectorSpec
from train.recipe import read_recipe


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
        lengths = [len(part) for part in (self.size_wh, self.stem, self.widths, self.blocks)]
        if lengths != [2, 2, 3, 3]:
            raise ConfigError(f"[detector]: expected 2, 2, 3 and 3 numbers, found {lengths}")
        return DetectorSpec(self.size_wh, self.stem, self.widths, self.blocks)  # type: ignore[arg-type]


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
        epochs: of ``scenes`` each; a run may go on with another number.
        scenes: in an epoch, each a new one.
        batch: scenes a step.
        learning_rate: at its height; cosine down to a hundredth, after ``warmup`` of all steps.
        warmup: share of all steps in which the learning rate grows.
        weight_decay: of AdamW.
        harsh: how much the scenes' camera spoils.
        precision: auto (mixed_bfloat16 where the machine has it in hardware), float32 or mixed_bfloat16.
    """

    epochs: int = key(60, low=1, high=100_000)
    scenes: int = key(6400, low=2, high=10**7)
    batch: int = key(32, low=1, high=4096)
    learning_rate: float = key(3e-3, low=1e-7, high=10)
    warmup: float = key(0.02, low=0, high=0.5)
    weight_decay: float = key(0.01, low=0, high=1)
    harsh: float = key(1.0, low=0, high=2)
    precision: str = key("auto", choices=("auto", "float32", "mixed_bfloat16"))


@dataclass(frozen=True)
class DetectorRecipe:
    """A whole recipe, checked.

    Attributes:
        name: of the file.
        text: the TOML it was read from, before any ``--set``.
    """

    name: str
    text: str = field(repr=False)
    detector: DetectorPart = DetectorPart()
    loss: TermsPart = TermsPart()
    fit: SceneFitPart = SceneFitPart()

    def values(self) -> dict[str, Any]:
        """Every section and key, JSON-ready, without name and text."""
        return {name: part for name, part in dataclasses.asdict(self).items() if name not in ("name", "text")}


def is_detector(name_or_path: str) -> bool:
    """Whether a recipe is for a detector: it has a section ``detector``.

    Raises:
        ConfigError: no such recipe, or not TOML.
    """
    return "detector" in read_recipe(name_or_path)[0]


def load_detector_recipe(name_or_path: str, overrides: Sequence[str] = ()) -> DetectorRecipe:
    """Read a detector's recipe, as ``train.recipe.load_recipe`` reads an encoder's.

    Raises:
        ConfigError: as there.
    """
    document, path, text = read_recipe(name_or_path, overrides)
    return parse_detector_recipe(document, path.stem, text, str(path))


_PARTS = {"detector": DetectorPart, "loss": TermsPart, "fit": SceneFitPart}


def parse_detector_recipe(document: Mapping[str, Any], name: str, text: str, where: str) -> DetectorRecipe:
    """Check a parsed document.

    Raises:
        ConfigError: an unknown key, a wrong type, or a value out of range.
    """
    parts = {}
    for name_of, table in document.items():
        check_known(name_of, _PARTS, where, "section")
        parts[name_of] = section(_PARTS[name_of], table, f"{where}: [{name_of}]")
    recipe = DetectorRecipe(name, text, **parts)
    recipe.detector.spec()
    return recipe
