"""``python -m train slim``: a run's float encoder in half the bytes, to be kept beside a bundle and tuned from."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from edge_runtime.errors import InputError
from edge_runtime.storage.files import replacing
from train.data.files import check_new_folder
from train.encoder.fit import encoder_spec
from train.encoder.recipe import parse_recipe
from train.runs.models import open_model
from train.runs.run import Run, load_run


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``python -m train slim``."""
    parser.add_argument("run_dir", type=Path, metavar="RUN", help="folder of a finished run")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="new folder for encoder and run.json")


def run(args: argparse.Namespace) -> int:
    """Write the folder."""
    kept = slim(load_run(args.run_dir), args.out)
    size = kept.encoder_path.stat().st_size / 1e6
    print(f"{kept.path}: float16 encoder, {size:.1f} MB; tune it with python -m train fit --from {kept.path}")
    return 0


def slim(whole: Run, folder: Path) -> Run:
    """Keep what ``fit --from`` needs of a run: its encoder as float16, and where it came from, without local paths.

    Raises:
        InputError: an unfinished run, or a folder with something in it.
    """
    if not whole.finished:
        raise InputError(f"{whole.path}: expected a finished run, this one is not; fit it to its end")
    check_new_folder(folder)
    recipe = parse_recipe(whole.recipe, whole.recipe_name)
    kept = dataclasses.replace(
        whole,
        path=folder,
        recipe=recipe.values() | {"teacher": whole.recipe["teacher"] | {"path": Path(recipe.teacher.path).name}},
        overrides=[change for change in whole.overrides if ".path=" not in change],
        chips_file=_named(whole.chips_file),
        also=[_named(chips) for chips in whole.also],
        precision="float16",
        history=[],
    )
    half = encoder_spec(recipe).build("float16")
    half.set_weights(open_model(whole.encoder_path).get_weights())
    with replacing(kept.encoder_path) as draft:
        half.save(draft)
    kept.save()
    return kept


def _named(chips: dict[str, str]) -> dict[str, str]:
    return chips | {"path": Path(chips["path"]).name}
