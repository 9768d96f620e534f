"""What a bundle knows of strangers: the cohort, the looks, and how a face's embedding is made."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convert.cohort.correction import Track
from convert.cohort.draw import FEWEST_PEOPLE, Cohort, make_cohort, person_means, person_tracks
from convert.model.faces import Faces
from convert.model.looks import looks_where_known
from convert.model.order import Order
from convert.model.source import Source
from convert.model.writer import write_arrays
from convert.recipe import Recipe
from convert.report.measurement import Measured
from convert.report.mirroring import try_mirroring
from edge_runtime.bundle.figures import Record
from edge_runtime.bundle.folder import LOOKS_FILE
from edge_runtime.bundle.looks import LooksSheet
from edge_runtime.errors import InputError
from edge_runtime.faces.encoder import TfliteEncoder
from edge_runtime.faces.occlusion import reliance
from edge_runtime.geometry.alignment import Template
from edge_runtime.pictures.chips import Chips
from edge_runtime.types import Floats, Pixels

COHORT_FILE = "cohort.npz"
_COVERED = 0.005
"""Share of the chips that may be taken for covered by mistake; with fewer than its inverse, nothing is stated."""
_MOST_COVERED = 1000
_SHORTER = 0.65
"""A code of no face is shorter than this share of a face's ..."""
_TOO_SHORT = 0.0005
"""... and hardly any face's is."""


@dataclass(frozen=True)
class Strangers:
    """What was found.

    Attributes:
        cohort: drawn like real people.
        source: whose faces stand behind it, in words.
        looks: of strangers who look alike; None: too few people.
        mirroring: what averaging with the mirror image brings; empty where the recipe does not ask.
        reliance, least_length: see ``EncoderSpec``.
    """

    cohort: Cohort
    source: str
    looks: LooksSheet | None
    mirroring: Record
    reliance: dict[str, float]
    least_length: float


def draw_strangers(
    encoder: TfliteEncoder, source: Source, faces: Faces, measured: Measured, order: Order, folder: Path
) -> Strangers:
    """Decide on mirroring, draw the cohort, fit the looks; writes their files.

    Args:
        encoder: of the candidate; its ``mirrored`` is set.
        source: what is converted.
        faces: that it is measured on.
        measured: the candidate's embeddings of them.
        order: with the recipe, and the chips of strangers if there are some.
        folder: the bundle's.

    Raises:
        InputError: too few strangers.
    """
    mirroring: Record = {}
    units, norms = measured.units, measured.norms
    if order.recipe.mirror:
        mirroring, (units, norms) = try_mirroring(encoder, faces.probe, faces.names, (units, norms))
    held = None if faces.split == "train" else person_means(units * norms[:, None], faces.names)
    tracks = person_tracks(units, faces.names) if held is not None else []
    cohort, whose = _cohort(encoder, source, order.strangers, held, order.recipe, tracks)
    write_arrays(folder / COHORT_FILE, {"codes": cohort.codes})
    template = source.preprocessing.template
    looks = looks_where_known(encoder, template, order.strangers or source.chips, source.chips)
    if looks is not None:
        write_arrays(folder / LOOKS_FILE, looks.as_arrays())
    sheet = looks.sheet(whose) if looks is not None else None
    relied = _relied(encoder, faces.probe, template)
    return Strangers(cohort, whose, sheet, mirroring, relied, shortest(norms))


def _cohort(
    encoder: TfliteEncoder,
    source: Source,
    given: Chips | None,
    held: NDArray[np.float64] | None,
    recipe: Recipe,
    tracks: list[Track],
) -> tuple[Cohort, str]:
    """Strangers, and where they come from: chips given, else the cohort split, else the held-out people.

    Raises:
        InputError: too few people.
    """
    chips = given or source.chips
    indices = chips.indices("cohort") if given is None else _unknown_people(given, source.chips)
    units, norms = encoder.encode(chips.aligned(indices, source.preprocessing.template))
    people = person_means(units * norms[:, None], chips.names[indices].tolist())
    if given and len(people) < FEWEST_PEOPLE:
        raise InputError(
            f"{given.path}: expected at least {FEWEST_PEOPLE} people whom the model was not fitted on, found "
            f"{len(people)} with a code; name a --cohort FILE of more people"
        )
    if given or len(people) >= FEWEST_PEOPLE or held is None or len(people) > len(held):
        return make_cohort(people, held, recipe.cohort_codes, recipe.seed, tracks), f"strangers of: {chips.source}"
    return (
        make_cohort(held, None, recipe.cohort_codes, recipe.seed),
        f"the held-out people, for want of a cohort, of: {chips.source}",
    )


def _unknown_people(given: Chips, own: Chips) -> NDArray[np.int64]:
    """Faces of everybody in a file of strangers but for those whom the model was fitted or is measured on.

    A person is known by name. In the model's own chips that leaves the cohort split.
    """
    if given.sha256() == own.sha256():
        return given.indices("cohort")
    known = np.unique(own.names[(own.split != "cohort") & (own.names != "")])
    return np.flatnonzero(~np.isin(given.names, known)).astype(np.int64)


def shortest(lengths: Floats) -> float:
    """The length below which a code is of no face, by those of faces, float32 (N,); 0 where they are too few to say.

    That the norm of a code grows with how much of a face is in the picture is known of encoders that were trained with
    normalised codes (Meng et al., "MagFace", 2021). Here it refuses drawings, animals, patterns and
    what lies beside a face, at the cost of one good face in 2,000 (``python -m train doubt`` measures it).
    """
    if len(lengths) < 1 / _COVERED:
        return 0.0
    return round(min(_SHORTER * float(np.median(lengths)), float(np.quantile(lengths, _TOO_SHORT))), 4)


def _relied(encoder: TfliteEncoder, chips: Pixels, template: Template) -> dict[str, float]:
    """The least that the code of an uncovered face relies on each part, but for a few that may be covered."""
    if len(chips) < 1 / _COVERED:
        return {}
    found = reliance(encoder, chips[:_MOST_COVERED], template)
    return {part: round(max(float(np.quantile(values, _COVERED)), 0.0), 4) for part, values in found.items()}
