"""Turn a trained Keras encoder into a bundle: full int8, compared with the float model, with strangers and self-test.

A run brings its preprocessing, chips and lineage along. A bare .keras file must have them stated.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import datetime
import platform
import time
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from convert.bundle import check_target, drafted, write_manifest
from convert.card import make_card
from convert.chips import Chips
from convert.cohort import FEWEST_PEOPLE, Cohort, make_cohort, person_means
from convert.golden import golden_floor, make_golden
from convert.graph import int8_faults, read_graph
from convert.parity import Parity, compare
from convert.quantize import quantise
from convert.recipe import Recipe, load_recipe, recipe_names
from convert.source import Source, Stated, open_source
from edge_runtime.bundle import SCHEMA
from edge_runtime.encoder import TfliteEncoder
from edge_runtime.errors import BundleError, InputError
from edge_runtime.interpreters import open_interpreter
from edge_runtime.types import Pixels

ENCODER_FILE = "encoder.tflite"
_MOST_PROBES = 4000
_TIMED_RUNS = 200
_HELD_OUT = {
    "select": "people it was not fitted on",
    "train": "other photos of the people it was fitted on, for want of others",
}
_STEPS = 6


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", type=Path, metavar="RUN_OR_KERAS", help="a run's folder, or a .keras encoder")
    parser.add_argument("--out", type=Path, required=True, metavar="BUNDLE", help="the folder to make")
    parser.add_argument("--replace", action="store_true", help="put the new bundle in the place of an old one")
    parser.add_argument(
        "--recipe", default="int8", metavar="NAME|FILE", help=f"{', '.join(recipe_names())}, or a .toml"
    )
    parser.add_argument("--name", help="of the bundle (default: the folder's)")
    parser.add_argument(
        "--chips", type=Path, metavar="FILE", help="chips of python -m train prepare (default: the run's)"
    )
    parser.add_argument("--cohort", type=Path, metavar="FILE", help="chips of strangers (default: the chips' own)")
    parser.add_argument("--licence", metavar="TEXT", help="of the weights (default: that of what they were made from)")
    parser.add_argument(
        "--force", action="append", default=[], choices=("parity",), help="write it although it fails this"
    )
    bare = parser.add_argument_group("a bare .keras file, which has no run.json to say it")
    bare.add_argument("--size", metavar="SIDE|WxH", help="of a chip, px")
    bare.add_argument("--colour", choices=("rgb", "bgr", "grey"))
    bare.add_argument("--normalise", metavar="MEAN/STD", help="in 0..255, as 127.5/127.5")
    bare.add_argument("--template", metavar="arcface[:MARGIN]|JSON", help="where the five landmarks go")
    bare.add_argument(
        "--lineage", action="append", default=[], metavar="TEXT", help="what it was trained on; repeatable"
    )


def run(args: argparse.Namespace) -> int:
    stated = Stated(args.size, args.colour, args.normalise, args.template)
    recipe = load_recipe(args.recipe)
    check_target(args.out, args.replace)
    source = open_source(args.source, args.chips, stated, args.lineage)
    strangers = Chips.load(args.cohort) if args.cohort else None
    manifest = convert(
        source, args.out, recipe, args.name, strangers, args.licence, "parity" in args.force, args.replace
    )
    print(_summary(args.out, manifest))
    return 0


def convert(
    source: Source,
    out: Path,
    recipe: Recipe,
    name: str | None = None,
    strangers: Chips | None = None,
    licence: str | None = None,
    force_parity: bool = False,
    replace: bool = False,
) -> dict[str, Any]:
    """Make a bundle, whole or not at all; returns its manifest without ``files``.

    Args:
        source: what to convert.
        out: the bundle's folder.
        recipe: how.
        name: of the bundle; default: the folder's.
        strangers: chips of people to fit the cohort to; default: the source's.
        licence: of the weights.
        force_parity: write it although int8 costs more than the recipe allows; the manifest says so.
        replace: put it in the place of an old bundle.

    Raises:
        UsageError: ``out`` may not be written.
        InputError: model or chips cannot be used.
        BundleError: the model is not full int8 with fixed shapes, or its codes are too far from the float one's.
    """
    template = source.preprocessing.template
    with tqdm(total=_STEPS, unit="step", disable=None, delay=2, leave=False) as progress:

        def step(what: str) -> None:
            progress.set_description(what)
            progress.update()

        step("reading chips")
        picked = _pick(source.chips, recipe)
        calibration = source.chips.aligned(picked.calibration, template)
        probe = source.chips.aligned(picked.probe, template)
        names = source.chips.names[picked.probe].tolist()
        step("converting")
        made = quantise(source.encoder, source.preprocessing, calibration, probe, recipe.per_tensor_dense)
        _check_graph(made.model, source.encoder, recipe)
        with drafted(out, replace) as folder:
            (folder / ENCODER_FILE).write_bytes(made.model)
            interpreter = open_interpreter("auto", folder / ENCODER_FILE)
            (output,) = interpreter.outputs
            with contextlib.closing(TfliteEncoder(interpreter, source.preprocessing)) as encoder:
                step("comparing codes")
                units, norms = encoder.encode(probe)
                parity = compare(made.codes, units, norms, names)
                missed = _check_parity(parity, source.encoder, recipe, force_parity)
                speed = _speed(encoder, probe, interpreter.package)
                step("drawing strangers")
                held = None if picked.probe_split == "train" else person_means(units * norms[:, None], names)
                cohort, cohort_source = _cohort(encoder, source, strangers, held, recipe)
                step("golden outputs")
                chips, codes = make_golden(encoder, template.size_wh, recipe.golden_chips, recipe.seed)
                floor = golden_floor(encoder, chips, codes)
            np.savez_compressed(folder / "cohort.npz", codes=cohort.codes)
            np.savez_compressed(folder / "golden.npz", chips=chips, codes=codes)
            manifest = {
                "schema": SCHEMA,
                "name": name or out.absolute().name,
                "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
                "encoder": {
                    "file": ENCODER_FILE,
                    "input": _port(interpreter.input_shape, interpreter.input_dtype, interpreter.input_quantization),
                    "output": _port(output.shape, output.dtype, output.quantization),
                    **source.preprocessing.as_json(),
                    "code_size": encoder.code_size,
                },
                "detector": {"name": source.chips.detector},
                "cohort": {"people": cohort.people, "codes": len(cohort.codes), "source": cohort_source},
                "golden": {"chips": len(chips), "cosine": floor},
                "recipe": dataclasses.asdict(recipe) | {"calibrated_on": len(calibration)},
                "run": source.run,
                "metrics": {
                    "encoder_bytes": len(made.model),
                    "parity": parity.as_json() | {"held_out": _HELD_OUT[picked.probe_split], "forced": missed},
                    "cohort": cohort.as_json(),
                    "speed": speed,
                },
                "lineage": source.lineage,
                "licence": licence or _licence(source),
                "versions": made.versions | _versions(),
            }
            (folder / "CARD.md").write_text(make_card(manifest), encoding="utf-8")
            write_manifest(folder, manifest)
            step("checking")
    return manifest


@dataclass(frozen=True)
class _Picked:
    """Which faces of the chips are used for what: indices, int64, and the split that is compared on."""

    calibration: NDArray[np.int64]
    probe: NDArray[np.int64]
    probe_split: str


def _pick(chips: Chips, recipe: Recipe) -> _Picked:
    """Calibrate on people the model was fitted on, compare on others; without others, on other photos."""
    rng = np.random.default_rng(recipe.seed)
    train, select = rng.permutation(chips.indices("train")), rng.permutation(chips.indices("select"))
    calibration = train[
        : recipe.calibration_chips if len(select) else max(min(recipe.calibration_chips, len(train) // 2), 1)
    ]
    split, rest = ("select", select) if len(select) else ("train", train[len(calibration) :])
    if not len(train) or not len(rest):
        raise InputError(
            f"{chips.path}: expected faces to calibrate on and others to compare on, found {len(train)} of the split "
            f"train and {len(select)} of select; run python -m train prepare with more photos"
        )
    return _Picked(np.sort(calibration), np.sort(rest[:_MOST_PROBES]), split)


def _check_graph(model: bytes, encoder: Path, recipe: Recipe) -> None:
    faults = int8_faults(read_graph(model, str(encoder)), recipe.per_tensor_dense)
    if faults:
        more = f" ({len(faults)} faults in all)" if len(faults) > 1 else ""
        raise BundleError(
            f"{encoder}: not full int8: {faults[0]}{more}; take that layer out of the model "
            "(a code is normalised on the host)"
        )


def _check_parity(parity: Parity, encoder: Path, recipe: Recipe, force: bool) -> list[str]:
    """How the model misses the recipe's floors, if that is allowed."""
    missed = parity.faults(recipe)
    if missed and not force:
        raise BundleError(
            f"{encoder}: int8 loses too much: {'; '.join(missed)}; train it longer or with other activations, "
            "or write it all the same with --force parity"
        )
    return missed


def _cohort(
    encoder: TfliteEncoder, source: Source, given: Chips | None, held: NDArray[np.float64] | None, recipe: Recipe
) -> tuple[Cohort, str]:
    """Strangers, and where they come from: chips given, else the cohort split, else the held-out people."""
    chips = given or source.chips
    indices = chips.indices("cohort")
    if given and not len(indices):
        indices = np.arange(len(chips.names))
    units, norms = encoder.encode(chips.aligned(indices, source.preprocessing.template))
    people = person_means(units * norms[:, None], chips.names[indices].tolist())
    if given or len(people) >= FEWEST_PEOPLE or held is None or len(people) > len(held):
        return make_cohort(people, held, recipe.cohort_codes, recipe.seed), f"strangers of: {chips.source}"
    return (
        make_cohort(held, None, recipe.cohort_codes, recipe.seed),
        f"the held-out people, for want of a cohort, of: {chips.source}",
    )


def _speed(encoder: TfliteEncoder, chips: Pixels, package: str) -> dict[str, Any]:
    """Milliseconds of one encoding on one thread, here: the median of some."""
    chip = chips[:1]
    taken = []
    for _ in range(_TIMED_RUNS):
        start = time.perf_counter()
        encoder.encode(chip)
        taken.append(time.perf_counter() - start)
    return {
        "encode_ms": round(float(np.median(taken)) * 1000, 3),
        "threads": 1,
        "interpreter": f"{package} {version(package)}",
        "machine": platform.machine(),
    }


def _port(shape: tuple[int, ...], dtype: np.dtype[Any], quantisation: tuple[float, int]) -> dict[str, Any]:
    scale, zero_point = quantisation
    return {"shape": list(shape), "dtype": dtype.name, "scale": scale, "zero_point": zero_point}


def _licence(source: Source) -> str:
    origin = [line.rstrip(".") for line in source.lineage] or [f"measured on: {source.chips.source}"]
    return (
        "The weights come under the terms of what they were made from, and no wider: "
        f"{'; '.join(origin)}. The code of Familiar (Apache-2.0) gives no right to them."
    )


def _versions() -> dict[str, str]:
    try:
        own = version("familiar-edge")
    except PackageNotFoundError:
        own = "not installed"
    return {"familiar-edge": own, "python": platform.python_version()}


def _summary(out: Path, manifest: dict[str, Any]) -> str:
    metrics, cohort = manifest["metrics"], manifest["cohort"]
    parity, speed = metrics["parity"], metrics["speed"]
    cosine = parity["cosine"]
    lines = [
        f"{out}: {metrics['encoder_bytes']:,} bytes int8, {speed['encode_ms']} ms a face on one thread here",
        f"float and int8 on {parity['chips']:,} chips ({parity['held_out']}): cosine mean {cosine['mean']:.4f}, "
        f"first percentile {cosine['p1']:.4f}, least {cosine['min']:.4f}",
    ]
    if parity["pair_accuracy"]:
        accuracy = parity["pair_accuracy"]
        lines.append(
            f"accuracy on {parity['pairs']:,} pairs: float {accuracy['float']:.2%}, int8 {accuracy['int8']:.2%}"
        )
    if parity["forced"]:
        lines.append(f"written by --force parity although: {'; '.join(parity['forced'])}")
    if metrics["cohort"]["lenient"]:
        lines.append(f"take care: {metrics['cohort']['lenient']}")
    lines.append(f"{cohort['codes']:,} strangers drawn like {cohort['people']:,} people; {cohort['source']}")
    return "\n".join(lines)
