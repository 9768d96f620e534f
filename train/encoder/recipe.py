"""A recipe: one way of training, as a TOML file read into frozen dataclasses; unknown keys are errors."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_type_hints

from edge_runtime.bundle.preprocessing import Preprocessing
from edge_runtime.errors import ConfigError
from edge_runtime.geometry.alignment import Template
from edge_runtime.schema.table import check_known, key, section
from train.fitting.parts import FitPart, OptimiserPart
from train.fitting.recipes import read_recipe


@dataclass(frozen=True)
class InputPart:
    """What the encoder sees.

    Attributes:
        colour: rgb, bgr or grey.
        size: side of the chip, px.
        margin_px: how much of the 112x112 ArcFace chip is cut off on each side.
        mean: per channel, 0..255.
        std: per channel, 0..255.
    """

    colour: str = key("rgb", choices=("rgb", "bgr", "grey"))
    size: int = key(64, low=8, high=512)
    margin_px: float = key(6.0, low=-24, high=40)
    mean: tuple[float, ...] = (127.5, 127.5, 127.5)
    std: tuple[float, ...] = (127.5, 127.5, 127.5)


@dataclass(frozen=True)
class EncoderPart:
    """See ``models.encoders.EncoderSpec``."""

    kind: str = key("conv", choices=("dense", "conv"))
    code_size: int = key(128, low=2, high=4096)
    widths: tuple[int, ...] = (32, 64, 128, 256)
    blocks: tuple[int, ...] = ()


@dataclass(frozen=True)
class DecoderPart:
    """See ``models.decoders.DecoderSpec``."""

    widths: tuple[int, ...] = ()


@dataclass(frozen=True)
class LossPart:
    """Weights of the terms, see ``train.encoder.losses``; 0 leaves one out.

    Attributes:
        reconstruction: of the picture against the clean view.
        reconstruction_kind: mse or cross_entropy.
        structure: of 1 - SSIM of the picture against the clean view.
        variational: of the Kullback-Leibler divergence of the code's distribution from a standard normal; above 0,
            the picture is drawn from a sample instead of the code.
        identity: of the margin softmax over the labelled people.
        identity_margin: its margin, in cosine.
        identity_scale: its scale.
        distil: of 1 - cosine to the teacher.
        distil_relations: of the squared difference of the batch's cosines.
        joined: whether the teachers' codes side by side, each as long as the root of its weight, are one code to learn.
    """

    reconstruction: float = key(1.0, low=0, high=1e6)
    reconstruction_kind: str = key("mse", choices=("mse", "cross_entropy"))
    structure: float = key(0.0, low=0, high=1e6)
    variational: float = key(0.0, low=0, high=1e6)
    identity: float = key(0.0, low=0, high=1e6)
    identity_margin: float = key(0.2, low=0, high=1)
    identity_scale: float = key(30.0, low=0.1, high=1000)
    distil: float = key(0.0, low=0, high=1e6)
    distil_relations: float = key(0.0, low=0, high=1e6)
    joined: bool = False

    @property
    def drawn(self) -> bool:
        """Whether anything is asked of the picture."""
        return self.reconstruction + self.structure > 0

    @property
    def taught(self) -> bool:
        """Whether a teacher is asked."""
        return self.distil + self.distil_relations > 0


@dataclass(frozen=True)
class AugmentPart:
    """How much a view of a photo may differ from the photo; 0 leaves one out.

    Attributes:
        rotate_deg: uniform within plus or minus this.
        scale: uniform within plus or minus this share.
        shift_px: uniform within plus or minus this, px of the 112x112 chip, on each axis.
        flip: mirror half of the views.
        light: spread of brightness, contrast and colour of the input, 1 being an ordinary camera's.
        noise: largest standard deviation of the input's noise, 0..255.
        blur: share of the inputs that are blurred, out of focus or by motion.
        low_resolution: share of the inputs that have as few as a third of their pixels a side.
        jpeg: share of the inputs that are compressed.
        grey: share of the inputs that look as a night camera's, in infrared.
        occlusion: share of the inputs with something in the way: dark glasses, a mask, a hand, a cap.
        exposure: share of the inputs that are far too dark or too bright.
        morph: share of the views that blend in somebody else, wholly or by smooth regions; the teacher sees the
            blend too, and nobody's name belongs to it.
    """

    rotate_deg: float = key(0.0, low=0, high=180)
    scale: float = key(0.0, low=0, high=0.5)
    shift_px: float = key(0.0, low=0, high=20)
    flip: bool = False
    light: float = key(0.0, low=0, high=5)
    noise: float = key(0.0, low=0, high=60)
    blur: float = key(0.0, low=0, high=1)
    low_resolution: float = key(0.0, low=0, high=1)
    jpeg: float = key(0.0, low=0, high=1)
    grey: float = key(0.0, low=0, high=1)
    occlusion: float = key(0.0, low=0, high=1)
    exposure: float = key(0.0, low=0, high=1)
    morph: float = key(0.0, low=0, high=1)

    @property
    def moves(self) -> bool:
        """Whether views differ in what the teacher sees of them."""
        return bool(self.rotate_deg or self.scale or self.shift_px or self.flip or self.morph)


@dataclass(frozen=True)
class TeacherPart:
    """A network to learn codes from; its preprocessing is data, as a bundle's is.

    Attributes:
        path: .onnx, .tflite or .keras; ``start``: the encoder that ``--from`` names; empty: no teacher.
        weight: of what it says, beside other teachers.
        colour: rgb, bgr or grey.
        size: side of its square input, px.
        margin_px: how much of the 112x112 ArcFace chip is cut off on each side.
        mean: per channel, 0..255.
        std: per channel, 0..255.
        flip: average its codes of the view and of the view mirrored; the student then sees either.
        code_size: for a network whose last layers span fewer numbers than it gives (EdgeFace's, George et al., 2024):
            its codes in so many, their cosines as they were; 0: as it gives them.
    """

    path: str = ""
    colour: str = key("rgb", choices=("rgb", "bgr", "grey"))
    size: int = key(112, low=8, high=1024)
    margin_px: float = key(0.0, low=-24, high=40)
    mean: tuple[float, ...] = (127.5, 127.5, 127.5)
    std: tuple[float, ...] = (127.5, 127.5, 127.5)
    flip: bool = False
    weight: float = key(1.0, low=0, high=1000)
    code_size: int = key(0, low=0, high=4096)

    def preprocessing(self) -> Preprocessing:
        """Its input as ``edge_runtime`` states one."""
        return Preprocessing(self.colour, self.mean, self.std, Template.arcface(self.size, self.margin_px))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Recipe:
    """A whole recipe, checked.

    Attributes:
        name: of the file.
        text: the TOML it was read from, before any ``--set``.
        teachers: further teachers beside ``teacher``, as ``[[teachers]]``.
    """

    name: str
    text: str = field(repr=False)
    input: InputPart = InputPart()
    encoder: EncoderPart = EncoderPart()
    decoder: DecoderPart = DecoderPart()
    loss: LossPart = LossPart()
    augment: AugmentPart = AugmentPart()
    optimiser: OptimiserPart = OptimiserPart()
    fit: FitPart = FitPart()
    teacher: TeacherPart = TeacherPart()
    teachers: tuple[TeacherPart, ...] = ()

    def preprocessing(self) -> Preprocessing:
        """From an aligned chip to the encoder's input."""
        part = self.input
        return Preprocessing(part.colour, part.mean, part.std, Template.arcface(part.size, part.margin_px))  # type: ignore[arg-type]

    def values(self) -> dict[str, Any]:
        """Every section and key, JSON-ready, without name and text."""
        document = dataclasses.asdict(self)
        # Where somebody keeps their files is nobody else's business.
        for part in document["teachers"]:
            part["path"] = Path(part["path"]).name
        return {name: part for name, part in document.items() if name not in ("name", "text")}


def load_recipe(name_or_path: str, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe.

    Args:
        name_or_path: one of ``recipe_names()``, or a .toml file.
        overrides: ``section.key=value``, the value as TOML writes it (a string may go without quotes).

    Raises:
        ConfigError: no such recipe, not TOML, an unknown key, a wrong type, a value out of range, or parts
            that do not go together.
    """
    document, path, text = read_recipe(name_or_path, overrides)
    return parse_recipe(document, path.stem, text, str(path))


def parse_recipe(document: Mapping[str, Any], name: str, text: str = "", where: str = "recipe") -> Recipe:
    """Check a parsed document.

    Raises:
        ConfigError: as for :func:`load_recipe`.
    """
    sections = {key: kind for key, kind in get_type_hints(Recipe).items() if key not in ("name", "text")}
    parts: dict[str, Any] = {}
    for name_of, table in document.items():
        check_known(name_of, sections, where, "section")
        if name_of == "teachers":
            parts[name_of] = tuple(section(TeacherPart, one, f"{where}: [[teachers]]") for one in table)
        else:
            parts[name_of] = section(sections[name_of], table, f"{where}: [{name_of}]")
    recipe = Recipe(name, text, **parts)
    loss = recipe.loss
    if not (loss.drawn or loss.identity > 0 or loss.taught):
        raise ConfigError(f"{where}: [loss]: expected at least one weight above 0, found none")
    recipe.preprocessing()
    return recipe
