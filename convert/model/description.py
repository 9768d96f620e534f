"""What a bundle says of itself: its manifest, and a summary for people."""

from __future__ import annotations

import datetime
import platform
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from convert.edgetpu.verdict import Verdict
from convert.model.golden import SelfTest
from convert.model.order import Candidate
from convert.model.source import Source
from convert.model.strangers import Strangers
from convert.report.mirroring import in_words
from convert.report.page import figures
from edge_runtime.bundle.detector_spec import DetectorSheet
from edge_runtime.bundle.encoder_spec import EncoderSpec, TensorSpec
from edge_runtime.bundle.figures import Metrics, Record
from edge_runtime.bundle.manifest import CohortSpec, Manifest
from edge_runtime.faces.encoder import TfliteEncoder
from edge_runtime.types import Pixels

ENCODER_FILE = "encoder.tflite"
_TIMED_RUNS = 200


def encoder_spec(encoder: TfliteEncoder, source: Source, strangers: Strangers) -> EncoderSpec:
    """What the manifest says of the encoder."""
    interpreter = encoder.interpreter
    (output,) = interpreter.outputs
    return EncoderSpec(
        ENCODER_FILE,
        source.preprocessing,
        encoder.embedding_size,
        _tensor(interpreter.input_shape, interpreter.input_dtype, interpreter.input_quantization),
        _tensor(output.shape, output.dtype, output.quantization),
        encoder.mirrored,
        strangers.reliance,
        least_length=strangers.least_length,
    )


def describe(
    name: str,
    source: Source,
    made: Candidate,
    encoder: EncoderSpec,
    detector: DetectorSheet,
    strangers: Strangers,
    golden: SelfTest,
    metrics: Metrics,
    recipe: Record,
    licence: str | None,
) -> Manifest:
    """The manifest, without its files.

    Args:
        name: of the bundle.
        source: what was converted.
        made: the model.
        encoder: see :func:`encoder_spec`.
        detector: of the chips.
        strangers: of the bundle.
        golden: of the bundle.
        metrics: what was measured.
        recipe: how it was converted.
        licence: of the weights; None: that of what they were made from.
    """
    cohort = strangers.cohort
    return Manifest(
        name,
        encoder,
        detector,
        CohortSpec(cohort.people, len(cohort.codes), strangers.source, cohort.realism),
        golden_cosine=golden.cosine,
        golden_chips=golden.chips,
        looks=strangers.looks,
        metrics=metrics,
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        recipe=recipe,
        run=source.run,
        lineage=tuple(source.lineage),
        licence=licence or _licence(source),
        versions=made.versions | _versions(),
    )


def speed(encoder: TfliteEncoder, chips: Pixels) -> Record:
    """Milliseconds of one encoding on one thread, here: the median of some."""
    chip, package = chips[:1], encoder.interpreter.package
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


def edgetpu(verdict: Verdict) -> Record:
    """What maps to an Edge TPU, for the manifest."""
    return {
        "maps_wholly": verdict.maps_wholly,
        "operators": len(verdict.operators),
        "mapped": sum(operator.maps for operator in verdict.operators),
        "why_not": verdict.why_not,
        "on_chip_bytes": verdict.on_chip_bytes,
    }


def _tensor(shape: tuple[int, ...], dtype: np.dtype[Any], quantisation: tuple[float, int]) -> TensorSpec:
    return TensorSpec(shape, dtype.name, *quantisation)


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


def summary(out: Path, manifest: Manifest) -> str:
    """What was made, in a few lines for people."""
    metrics, cohort = manifest.metrics, manifest.cohort
    parity, speed, edgetpu = metrics.parity, metrics.speed, metrics.edgetpu
    label = parity["label"]
    lines = [f"{out}: {metrics.encoder_bytes:,} bytes {label}, {speed['encode_ms']} ms a face on one thread here"]
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
    if metrics.mirroring:
        lines.append(in_words(metrics.mirroring))
    if parity["forced"]:
        lines.append(
            "written by --force although: "
            + "; ".join(f"{name}: {parity['failed'][name]}" for name in parity["forced"])
        )
    if parity["unsure"]:
        lines.append(f"take care: {parity['unsure']}")
    lines.append("Edge TPU: maps wholly" if edgetpu["maps_wholly"] else f"Edge TPU: no, {edgetpu['why_not']}")
    if metrics.cohort["lenient"]:
        lines.append(f"take care: {metrics.cohort['lenient']}")
    lines.append(f"{cohort.codes:,} strangers drawn like {cohort.people:,} people; {cohort.source}")
    return "\n".join(lines)
