"""From a .tflite encoder to a bundle: measured, checked, with strangers, self-test, manifest and card."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from convert.cohort.correction import Track
from convert.cohort.draw import FEWEST_PEOPLE, Cohort, make_cohort, person_means, person_tracks
from convert.edgetpu.verdict import Verdict, gate
from convert.model.chips import Chips
from convert.model.detector import OWN, take_along
from convert.model.golden import golden_floor, make_golden
from convert.model.looks import looks_where_known
from convert.model.source import Source
from convert.model.writer import drafted, write_manifest
from convert.recipe import Recipe
from convert.report.beside import RELEASED
from convert.report.card import make_card
from convert.report.measurement import Measured, measure
from convert.report.mirroring import in_words, try_mirroring
from convert.report.page import figures, write_report
from edge_runtime.bundle.folder import LOOKS_FILE, Bundle
from edge_runtime.bundle.manifest import MANIFEST, SCHEMA
from edge_runtime.errors import BundleError, InputError
from edge_runtime.faces.encoder import TfliteEncoder
from edge_runtime.faces.occlusion import reliance
from edge_runtime.geometry.alignment import Template
from edge_runtime.interpreters import open_interpreter
from edge_runtime.types import Floats, Pixels

ENCODER_FILE = "encoder.tflite"
_MOST_PROBES = 4000
_COVERED = 0.005
"""Share of the chips that may be taken for covered by mistake; with fewer than its inverse, nothing is stated."""
_MOST_COVERED = 1000
_TIMED_RUNS = 200
_HELD_OUT = {
    "select": "people it was not fitted on",
    "train": "other photos of the people it was fitted on, for want of others",
    "unknown": "what it was fitted on is not known here",
}
_STEPS = 6


@dataclass(frozen=True)
class Candidate:
    """A model that is to become a bundle's encoder.

    Attributes:
        model: the .tflite file.
        reference: the same in float32; None: there is none.
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
    conditions: dict[str, Any] | None = None


@dataclass(frozen=True)
class Picked:
    """Which faces of the chips are used for what.

    Attributes:
        fitting: int64 (n,), people the model was fitted on.
        probe: int64 (m,), others.
        split: what is compared on: ``select`` or ``train``, or ``unknown`` for a model from elsewhere.
    """

    fitting: NDArray[np.int64]
    probe: NDArray[np.int64]
    split: str


def pick(chips: Chips, recipe: Recipe) -> Picked:
    """Calibrate on people the model was fitted on, compare on others; without others, on other photos.

    Raises:
        InputError: too few faces.
    """
    rng = np.random.default_rng(recipe.seed)
    train, select = rng.permutation(chips.indices("train")), rng.permutation(chips.indices("select"))
    wanted = max(recipe.calibration_chips, recipe.qat_chips)
    fitting = train[: wanted if len(select) else min(wanted, len(train) // 2 or 1)]
    split, rest = ("select", select) if len(select) else ("train", train[len(fitting) :])
    if recipe.quantisation == "none":
        others = rng.permutation(np.flatnonzero(chips.split != "cohort").astype(np.int64))
        split, rest = "unknown", select if len(select) else others
    if (wanted and not len(train)) or not len(rest):
        raise InputError(
            f"{chips.path}: expected faces to calibrate on and others to compare on, found {len(train)} of the split "
            f"train and {len(select)} of select; run python -m train prepare with more photos"
        )
    return Picked(np.sort(fitting), np.sort(rest[:_MOST_PROBES]), split)


def assemble(source: Source, make: Callable[[Pixels, Pixels], Candidate], order: Order) -> dict[str, Any]:
    """Make a bundle, whole or not at all; returns its manifest without ``files``.

    The parity report is written beside it in any case, for it says why a bundle was refused.

    Args:
        source: what is known of the model.
        make: from chips of people it was fitted on and chips to compare on, both uint8 (N, h, w, 3) RGB, to the
            .tflite file.
        order: how it is wanted.

    Raises:
        UsageError: the folder may not be written.
        InputError: model or chips cannot be used.
        BundleError: a check failed that was not forced.
    """
    recipe, template = order.recipe, source.preprocessing.template
    with tqdm(total=_STEPS, unit="step", disable=None, delay=2, leave=False) as progress:

        def step(what: str) -> None:
            progress.set_description(what)
            progress.update()

        step("reading chips")
        picked = pick(source.chips, recipe)
        fitting = source.chips.aligned(picked.fitting, template)
        probe = source.chips.aligned(picked.probe, template)
        names = source.chips.names[picked.probe].tolist()
        step("converting")
        made = make(fitting, probe)
        verdict = gate(made.model, source.encoder.name)
        with drafted(order.out, order.replace) as folder:
            (folder / ENCODER_FILE).write_bytes(made.model)
            step("comparing codes")
            measured = measure(
                folder / ENCODER_FILE,
                made.reference,
                made.raw_float,
                source.preprocessing,
                probe,
                names,
                recipe,
                source.by_hand,
            )
            if recipe.edgetpu and not verdict.maps_wholly:
                measured.failed["edgetpu"] = verdict.why_not
            name = order.name or order.out.absolute().name
            report = measured.document(name, _HELD_OUT[picked.split], order.forced)
            page = write_report(order.out.absolute(), report)
            _refuse(measured, source.encoder, order.forced, page)
            step("drawing strangers")
            interpreter = open_interpreter("auto", folder / ENCODER_FILE)
            (output,) = interpreter.outputs
            with contextlib.closing(TfliteEncoder(interpreter, source.preprocessing)) as encoder:
                mirroring, (units, norms) = None, (measured.units, measured.norms)
                if recipe.mirror:
                    mirroring, (units, norms) = try_mirroring(encoder, probe, names, (units, norms))
                speed = _speed(encoder, probe, interpreter.package)
                held = None if picked.split == "train" else person_means(units * norms[:, None], names)
                tracks = person_tracks(units, names) if held is not None else []
                cohort, cohort_source = _cohort(encoder, source, order.strangers, held, recipe, tracks)
                relied = _relied(encoder, probe, template)
                looks = looks_where_known(encoder, template, order.strangers or source.chips, source.chips)
                step("golden outputs")
                chips, codes = make_golden(encoder, template.size_wh, recipe.golden_chips, recipe.seed)
                floor = golden_floor(encoder, chips, codes)
            np.savez_compressed(folder / "cohort.npz", codes=cohort.codes)
            if looks is not None:
                np.savez_compressed(folder / LOOKS_FILE, **looks.as_arrays())
            np.savez_compressed(folder / "golden.npz", chips=chips, codes=codes)
            manifest = {
                "schema": SCHEMA,
                "name": name,
                "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
                "encoder": {
                    "file": ENCODER_FILE,
                    "input": _port(interpreter.input_shape, interpreter.input_dtype, interpreter.input_quantization),
                    "output": _port(output.shape, output.dtype, output.quantization),
                    **source.preprocessing.as_json(),
                    "code_size": encoder.embedding_size,
                    "mirrored": encoder.mirrored,
                    "reliance": relied,
                },
                "detector": _detector(order, folder, source.chips.detector),
                "cohort": {
                    "people": cohort.people,
                    "codes": len(cohort.codes),
                    "source": cohort_source,
                    "realism": cohort.realism.as_json(),
                },
                **({} if looks is None else {"looks": looks.as_json() | {"source": cohort_source}}),
                "golden": {"chips": len(chips), "cosine": floor},
                "recipe": dataclasses.asdict(recipe) | {"calibrated_on": min(len(fitting), recipe.calibration_chips)},
                "run": source.run,
                "metrics": {
                    "encoder_bytes": len(made.model),
                    "parity": report["parity"]
                    | {key: report[key] for key in ("held_out", "beside", "failed", "forced")},
                    "edgetpu": _edgetpu(verdict),
                    "cohort": cohort.as_json(),
                    "speed": speed,
                    "mirroring": mirroring,
                    "conditions": order.conditions,
                },
                "lineage": source.lineage,
                "licence": order.licence or _licence(source),
                "versions": made.versions | _versions(),
            }
            (folder / "CARD.md").write_text(make_card(manifest), encoding="utf-8")
            write_manifest(folder, manifest)
            step("checking")
            if order.finish is not None:
                order.finish(folder)
    return manifest


def _detector(order: Order, draft: Path, name: str) -> dict[str, Any]:
    """The manifest's section about the chips' detector, whose files go into the bundle if they are at hand."""
    if order.detector is not None:
        return take_along(order.detector, draft, name)
    if (RELEASED / MANIFEST).is_file() and Bundle(RELEASED).manifest.detector == name and name.startswith(OWN):
        return take_along(RELEASED, draft, name)
    return {"name": name}


def _refuse(measured: Measured, encoder: Path, forced: tuple[str, ...], page: Path) -> None:
    """Stop where a check failed that was not forced by name."""
    missed = {name: fault for name, fault in measured.failed.items() if name not in forced}
    if missed:
        raise BundleError(
            f"{encoder}: {'; '.join(f'{name}: {fault}' for name, fault in missed.items())}; see {page}, state or "
            "train it anew, try another recipe, or write it all the same with "
            f"{' '.join(f'--force {name}' for name in missed)}"
        )


def _edgetpu(verdict: Verdict) -> dict[str, Any]:
    return {
        "maps_wholly": verdict.maps_wholly,
        "operators": len(verdict.operators),
        "mapped": sum(operator.maps for operator in verdict.operators),
        "why_not": verdict.why_not,
        "on_chip_bytes": verdict.on_chip_bytes,
    }


def _cohort(
    encoder: TfliteEncoder,
    source: Source,
    given: Chips | None,
    held: NDArray[np.float64] | None,
    recipe: Recipe,
    tracks: list[Track],
) -> tuple[Cohort, str]:
    """Strangers, and where they come from: chips given, else the cohort split, else the held-out people."""
    chips = given or source.chips
    indices = chips.indices("cohort")
    if given and not len(indices):
        indices = np.arange(len(chips.names))
    units, norms = encoder.encode(chips.aligned(indices, source.preprocessing.template))
    people = person_means(units * norms[:, None], chips.names[indices].tolist())
    if given or len(people) >= FEWEST_PEOPLE or held is None or len(people) > len(held):
        return make_cohort(people, held, recipe.cohort_codes, recipe.seed, tracks), f"strangers of: {chips.source}"
    return (
        make_cohort(held, None, recipe.cohort_codes, recipe.seed),
        f"the held-out people, for want of a cohort, of: {chips.source}",
    )


def _relied(encoder: TfliteEncoder, chips: Pixels, template: Template) -> dict[str, float]:
    """The least that the code of an uncovered face relies on each part, but for a few that may be covered."""
    if len(chips) < 1 / _COVERED:
        return {}
    found = reliance(encoder, chips[:_MOST_COVERED], template)
    return {part: round(max(float(np.quantile(values, _COVERED)), 0.0), 4) for part, values in found.items()}


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


def summary(out: Path, manifest: dict[str, Any]) -> str:
    """What was made, in a few lines for people."""
    metrics, cohort = manifest["metrics"], manifest["cohort"]
    parity, speed, edgetpu = metrics["parity"], metrics["speed"], metrics["edgetpu"]
    label = parity["label"]
    lines = [f"{out}: {metrics['encoder_bytes']:,} bytes {label}, {speed['encode_ms']} ms a face on one thread here"]
    chips = f"{parity['chips']:,} chips ({parity['held_out']})"
    if cosine := parity["cosine"]:
        lines.append(
            f"float and {label} on {chips}: cosine mean {cosine['mean']:.4f}, "
            f"first percentile {cosine['p1']:.4f}, least {cosine['min']:.4f}"
        )
    else:
        lines.append(f"measured on {chips}; no float model to compare with")
    lines += [
        f"{name}: {', '.join(f'{model} {value}' for model, value in values.items())}"
        for name, values in figures(parity)[:-1]
    ]
    if metrics["mirroring"]:
        lines.append(in_words(metrics["mirroring"]))
    if parity["forced"]:
        lines.append(
            "written by --force although: "
            + "; ".join(f"{name}: {parity['failed'][name]}" for name in parity["forced"])
        )
    lines.append("Edge TPU: maps wholly" if edgetpu["maps_wholly"] else f"Edge TPU: no, {edgetpu['why_not']}")
    if metrics["cohort"]["lenient"]:
        lines.append(f"take care: {metrics['cohort']['lenient']}")
    lines.append(f"{cohort['codes']:,} strangers drawn like {cohort['people']:,} people; {cohort['source']}")
    return "\n".join(lines)
