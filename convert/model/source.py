"""What is converted: a run of ``train``, or a bare encoder whose preprocessing is stated, never guessed."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_runtime.bundle.folder import file_digest
from edge_runtime.bundle.preprocessing import Preprocessing
from edge_runtime.errors import InputError, UsageError
from edge_runtime.geometry.alignment import Template
from edge_runtime.pictures.chips import Chips

RUN_FILE = "run.json"
RUN_SCHEMA = 1
_EVALUATION_FILE = "evaluation.json"
_ENCODER_FILE = "encoder.keras"
_SAVED_MODEL = "saved_model.pb"


@dataclass(frozen=True)
class Stated:
    """A bare encoder's preprocessing as given on the command line; None where it was not.

    Attributes:
        size: ``SIDE`` or ``WIDTHxHEIGHT`` of the chip, px.
        colour: rgb, bgr or grey.
        normalise: ``MEAN/STD`` in 0..255, each one number or one a channel with commas between.
        template: ``arcface``, ``arcface:MARGIN_PX``, or a JSON file with ``points``.
    """

    size: str | None = None
    colour: str | None = None
    normalise: str | None = None
    template: str | None = None

    def preprocessing(self) -> Preprocessing:
        """All four together.

        Raises:
            UsageError: one is missing or cannot be read.
            InputError: a value out of range.
        """
        missing = [f"--{name}" for name, value in vars(self).items() if value is None]
        if missing:
            raise UsageError(f"a model without {RUN_FILE}: expected {' '.join(missing)} too, for nothing is guessed")
        assert self.size and self.colour and self.normalise and self.template
        try:
            width, _, height = self.size.partition("x")
            size_wh = (int(width), int(height or width))
            means, stds = (tuple(map(float, part.split(","))) for part in self.normalise.split("/"))
        except ValueError as error:
            raise UsageError(
                f"--size {self.size} --normalise {self.normalise}: expected as 64 or 96x112, and MEAN/STD as "
                "127.5/127.5 or 123.7,116.3,103.5/58.4,57.1,57.4"
            ) from error
        channels = 1 if self.colour == "grey" else 3
        mean, std = (part * channels if len(part) == 1 else part for part in (means, stds))
        return Preprocessing(self.colour, mean, std, _template(self.template, size_wh))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Source:
    """An encoder and what is known of it.

    Attributes:
        encoder: the .keras or .tflite file, or the SavedModel's folder.
        preprocessing: of its input.
        chips: faces it was trained and is measured on.
        lineage: where data and codes came from, one sentence each.
        run: what the manifest keeps of the run; the encoder's hash alone for a bare encoder.
        by_hand: the preprocessing was stated by a person, who may be wrong.
    """

    encoder: Path
    preprocessing: Preprocessing
    chips: Chips
    lineage: list[str]
    run: dict[str, Any]
    by_hand: bool


def open_source(path: Path, chips: Path | None, stated: Stated, lineage: list[str]) -> Source:
    """Open what is to be converted.

    Args:
        path: a run's folder, its encoder, a bare .keras or .tflite file, or a SavedModel's folder.
        chips: the chips file; default: the one the run names.
        stated: preprocessing of a bare encoder.
        lineage: of a bare encoder.

    Raises:
        InputError: files missing, unreadable, or not the run's.
        UsageError: values missing for a bare encoder, or given for a run, which has its own.
    """
    saved = (path / _SAVED_MODEL).is_file()
    folder = path if path.is_dir() else path.parent
    encoder = folder / _ENCODER_FILE if path.is_dir() and not saved else path
    if not saved and not encoder.is_file():
        raise InputError(
            f"{encoder}: expected a Keras encoder, found none; name a run of python -m train fit or a .keras"
        )
    run_file = folder / RUN_FILE
    if run_file.is_file() and encoder.name == _ENCODER_FILE:
        given = [f"--{name}" for name, value in {**vars(stated), "lineage": lineage}.items() if value]
        if given:
            raise UsageError(f"{' '.join(given)}: {run_file} says it already; leave it out")
        return _of_run(encoder, run_file, chips)
    if path.is_dir() and not saved:
        raise InputError(f"{run_file}: expected the run's record, found none; name {encoder} and its preprocessing")
    if chips is None:
        raise UsageError(f"{path}: expected --chips FILE, for there is no {RUN_FILE} that names one")
    digest = _folder_digest(encoder) if saved else file_digest(encoder)[0]
    return Source(encoder, stated.preprocessing(), Chips.load(chips), lineage, {"encoder_sha256": digest}, True)


def conditions(source: Path, evaluation: Path | None) -> dict[str, Any] | None:
    """What ``train evaluate --conditions`` found: ``splits``, ``fmr``, ``rows``; None where nobody looked.

    Args:
        source: what is converted; a run may have been evaluated.
        evaluation: the file that says it; None: the run's own.

    Raises:
        InputError: a file that was named and says no such thing.
    """
    path = evaluation or source / _EVALUATION_FILE
    if evaluation is None and not path.is_file():
        return None
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if evaluation is None and "conditions" not in document:
            return None
        found = document["conditions"]
        rows = [{key: row[key] for key in ("kind", "level", "photos", "people", "tmr", "fmr")} for row in found["rows"]]
        return {"splits": list(document["splits"]), "fmr": float(found["fmr"]), "rows": rows}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: expected figures of python -m train evaluate RUN --conditions, found none ({error!r}); "
            "evaluate the run so, or name another --evaluation"
        ) from error


def _folder_digest(folder: Path) -> str:
    """sha256 (hex) over names and digests of all files below."""
    lines = (f"{file_digest(p)[0]}  {p.relative_to(folder).as_posix()}\n" for p in folder.rglob("*") if p.is_file())
    return hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()


def _of_run(encoder: Path, run_file: Path, chips: Path | None) -> Source:
    try:
        document = json.loads(run_file.read_text(encoding="utf-8"))
        if document["schema"] != RUN_SCHEMA:
            raise InputError(f"{run_file}: expected schema {RUN_SCHEMA}, found {document['schema']!r}; fit it again")
        preprocessing = Preprocessing.from_json(document["preprocessing"])
        path, expected = Path(document["chips"]["path"]), str(document["chips"]["sha256"])
        lineage = [str(line) for line in document["lineage"]]
        keys = ("recipe_name", "recipe", "seed", "epochs_done", "finished", "commit", "versions")
        run = {key: document[key] for key in keys if key in document}
    except InputError:
        raise
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise InputError(
            f"{run_file}: a value is missing or wrong ({type(error).__name__}: {error}); fit it again"
        ) from error
    opened = Chips.load(chips or path)
    found = opened.sha256()
    if found != expected:
        raise InputError(
            f"{opened.path}: expected the chips of the run (sha256 {expected[:12]}…), found {found[:12]}…; "
            "name the run's own with --chips, or fit again"
        )
    if teacher := run.get("recipe", {}).get("teacher", {}).get("path"):
        # A bundle travels; where things lie on this machine is nobody's business.
        run["recipe"]["teacher"]["path"] = Path(teacher).name
    ids = {"run_sha256": file_digest(run_file)[0], "encoder_sha256": file_digest(encoder)[0], "chips_sha256": found}
    return Source(encoder, preprocessing, opened, lineage, ids | run, False)


def _template(text: str, size_wh: tuple[int, int]) -> Template:
    kind, _, margin = text.partition(":")
    if kind == "arcface":
        try:
            width, height = size_wh
            if width != height:
                raise UsageError(
                    f"--template arcface: expected a square --size, found {width}x{height}; give a JSON file"
                )
            return Template.arcface(width, float(margin or 0))
        except (ValueError, ZeroDivisionError) as error:
            if isinstance(error, UsageError):
                raise
            raise UsageError(f"--template {text}: expected arcface:MARGIN_PX, as arcface:6") from error
    try:
        points = json.loads(Path(text).read_text(encoding="utf-8"))["points"]
        return Template(tuple((float(x), float(y)) for x, y in points), size_wh)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"--template {text}: expected arcface[:MARGIN_PX] or a JSON file whose points are five [x, y] ({error})"
        ) from error
