"""From a .tflite encoder to a bundle: measured, checked, with strangers, self-test, manifest and card."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from convert.edgetpu.verdict import Verdict, gate
from convert.model.description import ENCODER_FILE, describe, edgetpu, encoder_spec, speed
from convert.model.detector import OWN, take_along
from convert.model.faces import Faces, read_faces
from convert.model.golden import SelfTest, write_self_test
from convert.model.order import Candidate, Order
from convert.model.source import Source
from convert.model.strangers import Strangers, draw_strangers
from convert.model.writer import drafted, write_manifest
from convert.report.beside import RELEASED
from convert.report.card import make_card
from convert.report.measurement import Measured, measure
from convert.report.page import write_report
from edge_runtime.bundle.detector_spec import DetectorSheet
from edge_runtime.bundle.figures import Metrics, Record
from edge_runtime.bundle.folder import Bundle
from edge_runtime.bundle.manifest import MANIFEST, Manifest
from edge_runtime.errors import BundleError
from edge_runtime.faces.encoder import TfliteEncoder
from edge_runtime.interpreters import open_interpreter
from edge_runtime.types import Pixels

_HELD_OUT = {
    "select": "people it was not fitted on",
    "train": "other photos of the people it was fitted on, for want of others",
    "unknown": "what it was fitted on is not known here",
}
_STEPS = 7


@dataclass(frozen=True)
class Compared:
    """What was measured, and what of it the manifest keeps.

    Attributes:
        measured: of the candidate.
        verdict: of the Edge TPU's rules.
        report: the parity report.
    """

    measured: Measured
    verdict: Verdict
    report: Record

    @property
    def parity(self) -> Record:
        """What the manifest keeps of the report."""
        told = ("held_out", "beside", "failed", "forced", "unsure")
        return {**self.report["parity"], **{key: self.report[key] for key in told}}


def assemble(source: Source, make: Callable[[Pixels, Pixels], Candidate], order: Order) -> Manifest:
    """Make a bundle, whole or not at all; returns its manifest, without its files.

    The parity report is written beside it, also where a check refuses the bundle, for it says why.

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
    name = order.name or order.out.absolute().name
    with _progress() as step, drafted(order.out, order.replace) as folder:
        step("reading chips")
        faces = read_faces(source, order.recipe)
        step("converting")
        made = convert(make, faces, folder)
        step("comparing embeddings")
        compared = compare(source, made, faces, order, name, folder)
        with contextlib.closing(_opened(source, folder)) as encoder:
            step("drawing strangers")
            strangers = draw_strangers(encoder, source, faces, compared.measured, order, folder)
            step("golden outputs")
            size_wh = source.preprocessing.template.size_wh
            golden = write_self_test(encoder, size_wh, order.recipe.golden_chips, order.recipe.seed, folder)
            step("writing manifest and card")
            manifest = write_description(encoder, source, made, faces, compared, strangers, golden, order, name, folder)
        step("checking")
        check(folder, order)
    write_report(order.out.absolute(), compared.report)
    return manifest


def convert(make: Callable[[Pixels, Pixels], Candidate], faces: Faces, folder: Path) -> Candidate:
    """Make the .tflite file and put it into the bundle's folder."""
    made = make(faces.fitting, faces.probe)
    (folder / ENCODER_FILE).write_bytes(made.model)
    return made


def compare(source: Source, made: Candidate, faces: Faces, order: Order, name: str, folder: Path) -> Compared:
    """Measure the model beside its float one, and stop if a check failed that was not forced.

    Raises:
        BundleError: one did.
    """
    verdict = gate(made.model, source.encoder.name)
    measured = measure(
        folder / ENCODER_FILE,
        made.reference,
        made.raw_float,
        source.preprocessing,
        faces.probe,
        faces.names,
        order.recipe,
        source.by_hand,
    )
    if order.recipe.edgetpu and not verdict.maps_wholly:
        measured.failed["edgetpu"] = verdict.why_not or "not wholly"
    report = measured.document(name, _HELD_OUT[faces.split], order.forced)
    _refuse(measured, source.encoder, order, report)
    return Compared(measured, verdict, report)


def write_description(
    encoder: TfliteEncoder,
    source: Source,
    made: Candidate,
    faces: Faces,
    compared: Compared,
    strangers: Strangers,
    golden: SelfTest,
    order: Order,
    name: str,
    folder: Path,
) -> Manifest:
    """Write the manifest and the model card."""
    recipe = dataclasses.asdict(order.recipe)
    recipe["calibrated_on"] = min(len(faces.fitting), order.recipe.calibration_chips)
    metrics = Metrics(
        len(made.model),
        compared.parity,
        edgetpu(compared.verdict),
        strangers.cohort.as_json(),
        speed(encoder, faces.probe),
        strangers.mirroring,
        order.conditions,
    )
    spec, sheet = encoder_spec(encoder, source, strangers), _detector(order, folder, source.chips.detector)
    manifest = describe(name, source, made, spec, sheet, strangers, golden, metrics, recipe, order.licence)
    (folder / "CARD.md").write_text(make_card(manifest), encoding="utf-8")
    write_manifest(folder, manifest)
    return manifest


def check(folder: Path, order: Order) -> None:
    """Sign it if that is wanted; and see that a device opens it.

    Raises:
        BundleError: it does not.
    """
    if order.finish is not None:
        order.finish(folder)
    Bundle(folder)


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """Says on a terminal which step is being done."""
    with tqdm(total=_STEPS, unit="step", disable=None, delay=2, leave=False) as progress:

        def step(what: str) -> None:
            progress.set_description(what)
            progress.update()

        yield step


def _opened(source: Source, folder: Path) -> TfliteEncoder:
    return TfliteEncoder(open_interpreter("auto", folder / ENCODER_FILE), source.preprocessing)


def _detector(order: Order, draft: Path, name: str) -> DetectorSheet:
    """What the manifest says of the chips' detector, whose files go into the bundle if they are at hand."""
    if order.detector is not None:
        return take_along(order.detector, draft, name)
    if (RELEASED / MANIFEST).is_file() and Bundle(RELEASED).manifest.detector == name and name.startswith(OWN):
        return take_along(RELEASED, draft, name)
    return DetectorSheet(name)


def _refuse(measured: Measured, encoder: Path, order: Order, report: Record) -> None:
    """Stop where a check failed that was not forced by name; the report stays, for it says why."""
    missed = {name: fault for name, fault in measured.failed.items() if name not in order.forced}
    if missed:
        page = write_report(order.out.absolute(), report)
        raise BundleError(
            f"{encoder}: {'; '.join(f'{name}: {fault}' for name, fault in missed.items())}; see {page}, state or "
            "train it anew, try another recipe, or write it all the same with "
            f"{' '.join(f'--force {name}' for name in missed)}"
        )
