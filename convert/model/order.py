"""What is wanted of a bundle, and the model that is to become its encoder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from convert.recipe import Recipe
from edge_runtime.bundle.figures import Record
from edge_runtime.pictures.chips import Chips
from edge_runtime.types import Floats


@dataclass(frozen=True)
class Candidate:
    """A model that is to become a bundle's encoder.

    Attributes:
        model: the .tflite file.
        reference: the same in float32; None: nobody has it.
        raw_float: float32 (N, D), the float model's codes of the probe; None: the reference's own.
        versions: of the packages that made it.
    """

    model: bytes
    reference: bytes | None
    raw_float: Floats | None
    versions: dict[str, str]


@dataclass(frozen=True)
class Order:
    """How a bundle is wanted.

    Attributes:
        out: its folder.
        recipe: how it is made and what it must reach.
        name: of the bundle; None: the folder's.
        strangers: chips of people to fit the cohort to; None: the source's.
        licence: of the weights; None: that of what they were made from.
        forced: names of checks that may fail.
        replace: put it in the place of an old bundle.
        finish: called with the draft folder when everything but the last check is done, as to sign it.
        detector: a folder that has the chips' detector, to take along; None: the released bundle's, if it is that.
        conditions: how recognition holds up in worse photos and groups, for the card; see ``source.conditions``.
    """

    out: Path
    recipe: Recipe
    name: str | None = None
    strangers: Chips | None = None
    licence: str | None = None
    forced: tuple[str, ...] = ()
    replace: bool = False
    finish: Callable[[Path], None] | None = None
    detector: Path | None = None
    conditions: Record = field(default_factory=dict)
