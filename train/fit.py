"""``python -m train fit``: a recipe, a chips file and a seed make a run; a killed one goes on where it was."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from edge_runtime.config import Config, bundle_path
from edge_runtime.errors import UsageError
from edge_runtime.pictures.chips import Chips
from train.detector.fitting import DetectorRun
from train.detector.recipe import load_detector_recipe, load_refiner_recipe, recipe_kind
from train.encoder.fit import encoder_spec, fit
from train.encoder.recipe import load_recipe
from train.encoder.start import load_start
from train.encoder.tune import already, settle
from train.fitting.recipes import recipe_names
from train.runs.checkpoint import unless_refused


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--recipe", required=True, metavar="NAME|FILE", help=f"{', '.join(recipe_names())}, or a .toml")
    parser.add_argument(
        "--chips", required=True, metavar="FILE", help="from python -m train prepare; for a detector, from train label"
    )
    parser.add_argument(
        "--run", required=True, metavar="DIR", dest="folder", help="folder of the run; goes on if begun"
    )
    parser.add_argument("--also", action="append", default=[], metavar="FILE", help="further chips to fit on")
    parser.add_argument("--from", dest="start", type=Path, metavar="RUN", help="start from another run's weights")
    parser.add_argument(
        "--detector",
        metavar="NAME",
        help="for a refiner: whose faces it looks at (default: the released one's)",
    )
    parser.add_argument("--strangers", metavar="FILE", help="fine-tuning: chips of other people, to judge by")
    teacher = "the recipe's teacher: .onnx, .tflite or .keras; once more for each further one"
    parser.add_argument("--teacher", action="append", default=[], metavar="FILE", help=teacher)
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--epochs", type=int, metavar="N", help="instead of the recipe's")
    length.add_argument("--minutes", type=float, metavar="M", help="by the clock instead, the schedule ends with it")
    parser.add_argument("--seed", type=int, default=0, help="of every draw (default: 0)")
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="change the recipe")


def run(args: argparse.Namespace) -> int:
    with unless_refused(Path(args.folder)):
        return _fit(args)


def _fit(args: argparse.Namespace) -> int:
    overrides = list(args.set)
    if args.epochs is not None:
        overrides.append(f"fit.epochs={args.epochs}")
    if args.minutes is not None:
        overrides.append(f"fit.minutes={args.minutes}")
    for number, file in enumerate(args.teacher):
        section = f"teachers.{number - 1}" if number else "teacher"
        overrides.append(f"{section}.path={json.dumps(str(Path(file).resolve()))}")
    kind = recipe_kind(args.recipe)
    if args.detector and kind != "refiner":
        raise UsageError(f"--detector: expected with a refiner's recipe only, received it with {args.recipe}")
    if kind != "encoder":
        found = _fit_finder(kind, args, overrides)
        print(f"{found.path}: {found.epochs_done} epochs, {kind} in {found.model_path.name}")
        return 0
    if args.epochs is not None:
        overrides.append("fit.minutes=0")
    start = load_start(args.start) if args.start else None
    recipe = load_recipe(args.recipe, overrides)
    if recipe.teacher.path == "start":
        if start is None:
            raise UsageError(
                f"--recipe {args.recipe}: expected --from RUN, whose encoder is the teacher, received none"
            )
        # It stays an encoder of pictures of its own size, and hears itself of such.
        size = start.preprocessing.template.size_wh[0]
        overrides += [f"input.size={size}", f"teacher.size={size}"]
        overrides.append(f"teacher.path={json.dumps(str(start.encoder_path.resolve()))}")
        recipe = load_recipe(args.recipe, overrides)
    if bool(args.strangers) != (recipe.fit.hold_out > 0) or (args.strangers and start is None):
        raise UsageError(
            "--strangers: expected together with --from and a recipe that holds photos out (finetune), to judge by"
        )
    chips, also = Chips.load(args.chips), [Chips.load(file) for file in args.also]
    fitted = fit(recipe, chips, args.folder, args.seed, also, overrides, start)
    if args.strangers and start and not already(fitted.path):
        verdict = settle(fitted, start, encoder_spec(recipe), chips, Chips.load(args.strangers), recipe.fit.hold_out)
        print(f"{fitted.path}: {verdict.sentence()}")
    print(f"{fitted.path}: {fitted.epochs_done} epochs, encoder in {fitted.encoder_path.name}")
    return 0


def _fit_finder(kind: str, args: argparse.Namespace, overrides: Sequence[str]) -> DetectorRun:
    """Fit what finds faces: a detector, or a refiner."""
    from train.detector.fit import fit_detector
    from train.detector.refiner import fit_refiner

    files = [args.chips, *args.also]
    if kind == "detector":
        recipe = load_detector_recipe(args.recipe, overrides)
        return fit_detector(recipe, files, args.folder, args.seed, args.start)
    detector = args.detector or f"bundle:{bundle_path(Config())}"
    second = load_refiner_recipe(args.recipe, overrides)
    return fit_refiner(second, files, args.folder, detector, args.seed, args.start)
