"""A recipe: one way of training, as a TOML file read into frozen dataclasses; unknown keys are errors."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_type_hints

from edge_runtime.errors import ConfigError
from edge_runtime.faces.align import Template
from edge_runtime.faces.encoder import Preprocessing
from edge_runtime.settings import check_known, key, read_toml, section

RECIPES = Path(__file__).parent / "recipes"


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
    """Weights of the terms, see ``train.losses``; 0 leaves one out.

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
        occlusion: share of the inputs with something in the way.
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
    morph: float = key(0.0, low=0, high=1)

    @property
    def moves(self) -> bool:
        """Whether views differ in what the teacher sees of them."""
        return bool(self.rotate_deg or self.scale or self.shift_px or self.flip or self.morph)


@dataclass(frozen=True)
class OptimiserPart:
    """Adam (Kingma and Ba, 2015), AdamW (Loshchilov and Hutter, 2019) or Muon (Jordan et al., 2024; ``train.muon``).

    Attributes:
        kind: adam, adamw or muon.
        learning_rate: at its height.
        weight_decay: for adamw and muon.
        schedule: constant, or cosine down to nothing at the last step.
        warmup_steps: steps of linear growth before; cosine only.
    """

    kind: str = key("adam", choices=("adam", "adamw", "muon"))
    learning_rate: float = key(1e-3, low=1e-7, high=10)
    weight_decay: float = key(0.0, low=0, high=1)
    schedule: str = key("constant", choices=("constant", "cosine"))
    warmup_steps: int = key(0, low=0, high=10**6)


@dataclass(frozen=True)
class FitPart:
    """How long and how.

    Attributes:
        epochs: passes over the training photos.
        minutes: pass over them for so long instead; the schedule ends with the last whole epoch that fits best.
            What is spent counts over interruptions. 0: go by ``epochs``.
        batch: photos a step.
        precision: auto (mixed_bfloat16 where the machine has it in hardware), float32 or mixed_bfloat16.
        repeats: epochs that a view of a photo, and the teacher's code of it, lasts before a new one takes its
            place; the camera's disturbances are new every time.
        passes: times an epoch goes over the photos, for few of them.
        photos_a_person: at most so many of one person's photos in an epoch; 0: all.
        patience: stop after so many epochs without a better ``monitor`` and keep the best; 0: never.
        monitor: column of the history: smaller is better for a loss, larger for the rest.
        measure_every: epochs between two looks at the held-out people; they are always looked at in the end.
        average: decay a step of a running mean of the weights, which is what is measured and kept (Polyak and
            Juditsky, 1992; as in Tarvainen and Valpola, 2017); 0: the weights themselves.
        hold_out: for fine-tuning (``--from``): everybody with a name in the chips is fitted on, whatever their
            split, but for this share of each one's photos, by which old and new encoder are judged; 0: no
            fine-tuning.
        freeze_norm: leave batch normalisation as the start has it; few photos say little about its statistics.
    """

    epochs: int = key(50, low=1, high=100_000)
    minutes: float = key(0.0, low=0, high=100_000)
    batch: int = key(256, low=2, high=65_536)
    precision: str = key("float32", choices=("auto", "float32", "mixed_bfloat16"))
    repeats: int = key(1, low=1, high=10_000)
    passes: int = key(1, low=1, high=10_000)
    photos_a_person: int = key(0, low=0, high=10**6)
    patience: int = key(0, low=0, high=100_000)
    monitor: str = "val_loss"
    measure_every: int = key(1, low=1, high=100_000)
    average: float = key(0.0, low=0, high=0.99999)
    hold_out: float = key(0.0, low=0, high=0.9)
    freeze_norm: bool = False


@dataclass(frozen=True)
class TeacherPart:
    """A network to learn codes from; its preprocessing is data, as a bundle's is.

    Attributes:
        path: .onnx, .tflite or .keras; ``start``: the encoder that ``--from`` names; empty for none.
        weight: of what it says, beside other teachers.
        colour: rgb, bgr or grey.
        size: side of its square input, px.
        margin_px: how much of the 112x112 ArcFace chip is cut off on each side.
        mean: per channel, 0..255.
        std: per channel, 0..255.
        flip: average its codes of the view and of the view mirrored; the student then sees either.
    """

    path: str = ""
    colour: str = key("rgb", choices=("rgb", "bgr", "grey"))
    size: int = key(112, low=8, high=1024)
    margin_px: float = key(0.0, low=-24, high=40)
    mean: tuple[float, ...] = (127.5, 127.5, 127.5)
    std: tuple[float, ...] = (127.5, 127.5, 127.5)
    flip: bool = False
    weight: float = key(1.0, low=0, high=1000)

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


def recipe_names() -> list[str]:
    """The recipes that come with the project, sorted."""
    return sorted(path.stem for path in RECIPES.glob("*.toml"))


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


def read_recipe(name_or_path: str, overrides: Sequence[str] = ()) -> tuple[dict[str, Any], Path, str]:
    """A recipe's document with ``overrides`` in it, its file, and the file's text; nothing is checked yet.

    Raises:
        ConfigError: no such recipe, or not TOML.
    """
    path = Path(name_or_path) if name_or_path.endswith(".toml") else RECIPES / f"{name_or_path}.toml"
    document, text = _read(path)
    for override in overrides:
        _override(document, override)
    return document, path, text


def parse_recipe(document: Mapping[str, Any], name: str, text: str = "", where: str = "recipe") -> Recipe:
    """Check a parsed document.

    Raises:
        ConfigError: as for :func:`load_recipe`.
    """
    sections = {key: kind for key, kind in get_type_hints(Recipe).items() if key not in ("name", "text")}
    parts = {}
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


def _read(path: Path) -> tuple[dict[str, Any], str]:
    """A recipe's document and text; what it leaves out is as in the recipe it names as ``base``."""
    document, text = read_toml(path, f"a recipe, one of {', '.join(recipe_names())}, or a .toml file")
    if "base" not in document:
        return document, text
    base = RECIPES / f"{document.pop('base')}.toml"
    if base == path:
        raise ConfigError(f"{path}: base: expected another recipe, found itself")
    whole, base_text = _read(base)
    for name, table in document.items():
        both = isinstance(table, dict) and isinstance(whole.get(name), dict)
        whole[name] = whole[name] | table if both else table
    return whole, f"{text}\n# base: {base.stem}\n{base_text}"


def _override(document: dict[str, Any], override: str) -> None:
    dotted, equals, text = override.partition("=")
    section, dot, key = dotted.partition(".")
    if not equals or not dot:
        raise ConfigError(f"--set {override!r}: expected section.key=value")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    table = document.setdefault(section, {})
    if isinstance(table, list):
        number, _, key = key.partition(".")
        if not number.isdecimal() or int(number) >= len(table):
            raise ConfigError(f"--set {override!r}: expected {section}.NUMBER.key below {len(table)}")
        table = table[int(number)]
    if isinstance(table, dict):
        table[key] = value
