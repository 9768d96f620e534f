"""A recipe: one way of training, as a TOML file read into frozen dataclasses; unknown keys are errors."""

from __future__ import annotations

import dataclasses
import difflib
import tomllib
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from edge_runtime.align import Template
from edge_runtime.encoder import Preprocessing
from edge_runtime.errors import ConfigError

RECIPES = Path(__file__).parent / "recipes"


def _key(default: Any, low: float | None = None, high: float | None = None, choices: tuple[str, ...] = ()) -> Any:
    return field(default=default, metadata={"low": low, "high": high, "choices": choices})


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

    colour: str = _key("rgb", choices=("rgb", "bgr", "grey"))
    size: int = _key(64, 8, 512)
    margin_px: float = _key(6.0, -24, 40)
    mean: tuple[float, ...] = (127.5, 127.5, 127.5)
    std: tuple[float, ...] = (127.5, 127.5, 127.5)


@dataclass(frozen=True)
class EncoderPart:
    """See ``models.encoders.EncoderSpec``."""

    kind: str = _key("conv", choices=("dense", "conv"))
    code_size: int = _key(128, 2, 4096)
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
        identity: of the margin softmax over the labelled people.
        identity_margin: its margin, in cosine.
        identity_scale: its scale.
        distil: of 1 - cosine to the teacher.
        distil_relations: of the squared difference of the batch's cosines.
    """

    reconstruction: float = _key(1.0, 0, 1e6)
    reconstruction_kind: str = _key("mse", choices=("mse", "cross_entropy"))
    identity: float = _key(0.0, 0, 1e6)
    identity_margin: float = _key(0.2, 0, 1)
    identity_scale: float = _key(30.0, 0.1, 1000)
    distil: float = _key(0.0, 0, 1e6)
    distil_relations: float = _key(0.0, 0, 1e6)


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
        blur: share of the inputs that are blurred.
    """

    rotate_deg: float = _key(0.0, 0, 180)
    scale: float = _key(0.0, 0, 0.5)
    shift_px: float = _key(0.0, 0, 20)
    flip: bool = False
    light: float = _key(0.0, 0, 5)
    noise: float = _key(0.0, 0, 60)
    blur: float = _key(0.0, 0, 1)

    @property
    def moves(self) -> bool:
        """Whether views differ in geometry."""
        return bool(self.rotate_deg or self.scale or self.shift_px or self.flip)


@dataclass(frozen=True)
class OptimiserPart:
    """Adam (Kingma and Ba, 2015) or AdamW (Loshchilov and Hutter, 2019).

    Attributes:
        kind: adam or adamw.
        learning_rate: at its height.
        weight_decay: for adamw.
        schedule: constant, or cosine down to nothing at the last step.
        warmup_steps: steps of linear growth before; cosine only.
    """

    kind: str = _key("adam", choices=("adam", "adamw"))
    learning_rate: float = _key(1e-3, 1e-7, 10)
    weight_decay: float = _key(0.0, 0, 1)
    schedule: str = _key("constant", choices=("constant", "cosine"))
    warmup_steps: int = _key(0, 0, 10**6)


@dataclass(frozen=True)
class FitPart:
    """How long and how.

    Attributes:
        epochs: passes over the training photos.
        batch: photos a step.
        precision: auto (mixed_bfloat16 where the machine has it in hardware), float32 or mixed_bfloat16.
        views: different views of each photo; 0: a new one every epoch.
        photos_a_person: at most so many of one person's photos in an epoch; 0: all.
        patience: stop after so many epochs without a better ``monitor`` and keep the best; 0: never.
        monitor: column of the history: smaller is better for a loss, larger for the rest.
    """

    epochs: int = _key(50, 1, 100_000)
    batch: int = _key(256, 2, 65_536)
    precision: str = _key("float32", choices=("auto", "float32", "mixed_bfloat16"))
    views: int = _key(0, 0, 10_000)
    photos_a_person: int = _key(0, 0, 10**6)
    patience: int = _key(0, 0, 100_000)
    monitor: str = "val_loss"


@dataclass(frozen=True)
class TeacherPart:
    """A network to learn codes from; its preprocessing is data, as a bundle's is.

    Attributes:
        path: .onnx or .tflite; empty for none.
        colour: rgb, bgr or grey.
        size: side of its square input, px.
        margin_px: how much of the 112x112 ArcFace chip is cut off on each side.
        mean: per channel, 0..255.
        std: per channel, 0..255.
    """

    path: str = ""
    colour: str = _key("rgb", choices=("rgb", "bgr", "grey"))
    size: int = _key(112, 8, 1024)
    margin_px: float = _key(0.0, -24, 40)
    mean: tuple[float, ...] = (127.5, 127.5, 127.5)
    std: tuple[float, ...] = (127.5, 127.5, 127.5)

    def preprocessing(self) -> Preprocessing:
        """Its input as ``edge_runtime`` states one."""
        return Preprocessing(self.colour, self.mean, self.std, Template.arcface(self.size, self.margin_px))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Recipe:
    """A whole recipe, checked.

    Attributes:
        name: of the file.
        text: the TOML it was read from, before any ``--set``.
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

    def preprocessing(self) -> Preprocessing:
        """From an aligned chip to the encoder's input."""
        part = self.input
        return Preprocessing(part.colour, part.mean, part.std, Template.arcface(part.size, part.margin_px))  # type: ignore[arg-type]

    def values(self) -> dict[str, Any]:
        """Every section and key, JSON-ready, without name and text."""
        document = dataclasses.asdict(self)
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
    path = Path(name_or_path) if name_or_path.endswith(".toml") else RECIPES / f"{name_or_path}.toml"
    try:
        text = path.read_text(encoding="utf-8")
        document = tomllib.loads(text)
    except OSError as error:
        raise ConfigError(
            f"recipe {name_or_path!r}: expected one of {', '.join(recipe_names())}, or a .toml file "
            f"({error.strerror or error})"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from error
    for override in overrides:
        _override(document, override)
    return parse_recipe(document, path.stem, text, str(path))


def parse_recipe(document: Mapping[str, Any], name: str, text: str = "", where: str = "recipe") -> Recipe:
    """Check a parsed document.

    Raises:
        ConfigError: as for :func:`load_recipe`.
    """
    sections = {key: kind for key, kind in get_type_hints(Recipe).items() if key not in ("name", "text")}
    parts = {}
    for section, table in document.items():
        _known(section, sections, where, "section")
        if not isinstance(table, dict):
            raise ConfigError(f"{where}: [{section}]: expected a table, found {table!r}")
        kind = sections[section]
        hints, fields = get_type_hints(kind), {item.name: item for item in dataclasses.fields(kind)}
        values = {}
        for key, value in table.items():
            _known(key, fields, f"{where}: [{section}]", "key")
            values[key] = _checked(value, hints[key], fields[key].metadata, f"{where}: [{section}] {key}")
        parts[section] = kind(**values)
    recipe = Recipe(name, text, **parts)
    loss = recipe.loss
    if loss.reconstruction + loss.identity + loss.distil + loss.distil_relations <= 0:
        raise ConfigError(f"{where}: [loss]: expected at least one weight above 0, found none")
    recipe.preprocessing()
    return recipe


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
    if isinstance(table, dict):
        table[key] = value


def _known(name: str, known: Mapping[str, Any], where: str, what: str) -> None:
    if name not in known:
        near = difflib.get_close_matches(name, known, 1, 0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
        raise ConfigError(f"{where}: unknown {what} {name!r}; {hint}")


def _checked(value: Any, kind: Any, limits: Mapping[str, Any] | types.MappingProxyType[Any, Any], where: str) -> Any:
    if get_origin(kind) is tuple:
        if not isinstance(value, list | tuple):
            raise ConfigError(f"{where}: expected a list, found {value!r}")
        return tuple(_checked(item, get_args(kind)[0], {}, where) for item in value)
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        raise ConfigError(f"{where}: expected {kind.__name__}, found {value!r}")
    if limits.get("low") is not None and not limits["low"] <= value <= limits["high"]:
        raise ConfigError(f"{where}: expected {limits['low']:g} to {limits['high']:g}, found {value!r}")
    if limits.get("choices") and value not in limits["choices"]:
        raise ConfigError(f"{where}: expected {' or '.join(limits['choices'])}, found {value!r}")
    return value
