"""``CARD.md``: what a bundle's model is, out of its manifest's own figures (Mitchell et al., "Model Cards", 2019)."""

from __future__ import annotations

import math
from typing import Any

from convert.cohort.alike import in_words as in_words_of_looks
from convert.report.mirroring import in_words
from convert.report.page import figures
from edge_runtime.bundle.cohort_correction import CohortCorrection
from edge_runtime.bundle.detector_spec import DetectorSheet
from edge_runtime.bundle.manifest import CohortSpec, Manifest

_ALIKE = "## Strangers who look like the household"
_KINDS = {
    "int8": "full int8",
    "int8_qat": "full int8, trained to be",
    "float16": "weights in half precision",
    "dynamic": "weights in int8",
    "none": "taken as it was",
}


def make_card(manifest: Manifest) -> str:
    """The card, Markdown.

    Args:
        manifest: as it is about to be written.
    """
    preprocessing, run, metrics = manifest.preprocessing, manifest.run, manifest.metrics
    width, height = preprocessing.template.size_wh
    trained = (
        f"recipe `{run['recipe_name']}`, seed {run['seed']}, {run['epochs_done']} epochs"
        if "seed" in run
        else "elsewhere"
    )
    unfinished = "" if run.get("finished", True) else " The run had not come to its end."
    sections = [
        f"# {manifest.name}",
        f"A face encoder for Familiar: {width}x{height} px, {preprocessing.colour}, to a code of "
        f"{manifest.embedding_size} numbers; {_KINDS[manifest.recipe['quantisation']]}, "
        f"{metrics.encoder_bytes:,} bytes. Trained: {trained}.{unfinished} "
        f"Converted {manifest.created} by the recipe `{manifest.recipe['name']}`.",
        "## Where it comes from",
        "\n".join(f"- {line}" for line in manifest.lineage) or "- not stated by whoever converted it",
        "## Licence",
        manifest.licence,
        "## For",
        "Telling a few familiar people, enrolled with their consent, from strangers, on their own device; "
        f"faces found by the detector `{manifest.detector}` and aligned to this bundle's template.",
        "## Not for",
        "Access control, payment, policing, or any decision with consequences for a person; finding somebody in a "
        "crowd; faces of children; other detectors or crops than the ones above. It does not tell a face from a photo "
        "of one.",
        "## How well it recognises, and what the conversion costs",
        _parity(metrics.parity),
        *([f"On a device {in_words(metrics.mirroring)}."] if metrics.mirroring else []),
        *_conditions(metrics.conditions),
        "## Strangers in the bundle",
        _cohort(manifest.cohort, metrics.cohort),
        *_looks(manifest),
        *_detector(manifest.detector_sheet),
        "## Limits",
        _limits(manifest),
    ]
    return "\n\n".join(sections) + "\n"


def _detector(detector: DetectorSheet) -> list[str]:
    """Heading and text about the detector that the bundle brings; nothing if it brings none."""
    if not detector.lineage:
        return []
    rows = [f"`{detector.name}`, {detector.metrics['bytes']:,} bytes; Edge TPU: {detector.metrics['edgetpu']}."]
    rows += ["", *(f"- {line}" for line in detector.lineage)]
    measured = detector.metrics["evaluation"]
    if measured:
        photos, scenes = measured["photos"], measured["scenes"]
        rows += [
            "",
            f"On {photos['photos']:,} photos of people of `{measured['people']}`, whom it never saw (labels: "
            f"{measured['labels']}): central face found {photos['central_found']:.2%}; boxes without a label "
            f"{photos['unconfirmed_a_photo']:.3f} a photo; landmarks off by {photos['landmark_error_mean']:.1%} of the "
            f"eyes' distance; {measured['faceless']['boxes']} boxes in {measured['faceless']['pictures']} drawings "
            "without a face.",
            "",
            f"Recall on {scenes['scenes']} scenes of 320x240, by the face's size in px, where there are so many false "
            "alarms a scene:",
            "",
            f"| | {' | '.join(f'from {low:g}' for low in scenes['sizes_px'])} |",
            "|---" * (len(scenes["sizes_px"]) + 1) + "|",
        ]
        for name, rates in scenes.items():
            for rate, row in rates.items() if isinstance(rates, dict) else ():
                shares = " | ".join("-" if share is None else f"{share:.1%}" for share in row["recall"])
                rows.append(f"| {name}, {rate} | {shares} |")
    return ["## The detector in it", "\n".join(rows)]


def _parity(parity: dict[str, Any]) -> str:
    label, cosine, ratio = parity["label"], parity["cosine"], parity["norm_ratio"]
    models = list(parity["rejected"])
    people = f" of {parity['people']} people" if parity["people"] else ""
    what = f"Float against {label}" if cosine else "Measured"
    rows = [
        f"{what} on {parity['chips']:,} chips{people} ({parity['held_out']}):",
        "",
        f"| figure | {' | '.join(models)} |",
        "|---" * (len(models) + 1) + "|",
    ]
    if cosine:
        rows.append(
            f"| cosine of the two codes: mean / first percentile / least | 1 | {cosine['mean']:.4f} / "
            f"{cosine['p1']:.4f} / {cosine['min']:.4f} |"
        )
    if ratio:
        rows.append(
            f"| length of the code: mean (1 % to 99 %) | 1 | {ratio['mean']:.3f} "
            f"({ratio['p1']:.3f} to {ratio['p99']:.3f}) |"
        )
    rows += [f"| {name} | {' | '.join(values[m] for m in models)} |" for name, values in figures(parity)]
    if found := parity["identification"]:
        rows += [
            "",
            f"DIR: {found['people']} people drawn {found['draws']} times, enrolled from {found['photos']} photos each, "
            "everybody else a stranger; one photo a search; mean and standard deviation over the draws.",
        ]
    if parity.get("beside"):
        rows += ["", parity["beside"]]
    if parity.get("unsure"):
        rows += ["", f"**Take care**: {parity['unsure']}."]
    if parity["forced"]:
        missed = "; ".join(f"{name}: {parity['failed'][name]}" for name in parity["forced"])
        rows += ["", f"**Below the recipe's floors, written by --force**: {missed}."]
    return "\n".join(rows)


def _conditions(found: dict[str, Any]) -> list[str]:
    """Heading and table of worse photos and of groups; nothing where nobody looked."""
    if not found:
        return []
    rows = [
        f"Float encoder, photos of {' and '.join(f'`{name}`' for name in found['splits'])}; one threshold, set on the "
        f"photos as they are for a false match rate of {found['fmr']:.4%}. Each probe is compared with the unchanged "
        "photos of the same person, every person weighing the same, and with everybody else's.",
        "",
        "| probes | true matches | false match rate | photos, people |",
        "|---|---|---|---|",
    ]
    for row in found["rows"]:
        tmr = "too few people" if row["tmr"] is None else f"{row['tmr']:.1%}"
        fmr = "-" if row["fmr"] is None else f"{row['fmr']:.4%}"
        rows.append(f"| {row['kind']}: {row['level']} | {tmr} | {fmr} | {row['photos']:,}, {row['people']} |")
    return ["## In worse photos, and among groups of them", "\n".join(rows)]


def _cohort(cohort: CohortSpec, measured: dict[str, Any]) -> str:
    quantiles = measured["quantiles"]
    lines = [
        f"{cohort.codes:,} codes drawn from a distribution fitted to {cohort.people:,} people "
        f"({cohort.source}); no real person's code is in the bundle. Best scores of strangers against galleries of "
        f"{measured['gallery']} people:",
        "",
        "| quantile | real strangers | drawn strangers |",
        "|---|---|---|",
        *(f"| {q} | {quantiles['real'][q]:.4f} | {quantiles['drawn'][q]:.4f} |" for q in quantiles["real"]),
    ]
    if measured["rates"]:
        lines += [
            "",
            "Meant to let a share of strangers pass, a threshold lets pass, of others than it was set on:",
            "",
            "| meant | set by drawn strangers | set by as many real ones | by a plain Gaussian |",
            "|---|---|---|---|",
            *(
                f"| {float(r):.1%} | {measured['rates']['drawn'][r]:.2%} | {measured['rates']['real'][r]:.2%} | "
                f"{measured['rates']['plain'][r]:.2%} |"
                for r in measured["rates"]["drawn"]
            ),
        ]
    lines += ["", _realism(measured["realism"])]
    if measured["lenient"]:
        lines += ["", f"**Ask for fewer false accepts than you want**: {measured['lenient']}."]
    return "\n".join(lines)


def _realism(like: dict[str, Any]) -> str:
    """What a device corrects by, in words."""
    known = CohortCorrection.from_json(like)
    ratios = {people: known.picture().real(0.01, people) / 0.01 for people in (5, 50, 500)}
    text = "Where 1 % of the drawn strangers pass, of real ones pass " + ", ".join(
        f"{ratio:.1f} % with {people} enrolled" for people, ratio in ratios.items()
    )
    if known.track_people:
        factor = math.exp(known.track)
        text += f", and {factor:.1f} times as many of tracks (measured on {known.track_people} people)"
    return f"{text}; the device corrects for that."


def _limits(manifest: Manifest) -> str:
    people = manifest.strangers
    limits = [
        f"- {people:,} strangers support no rate below {3 / people:.2%} (rule of three, ISO/IEC 19795-1).",
        "- Everything here is measured on faces like those it was trained on; other cameras, light, ages and origins "
        "than theirs do worse, by how much nobody has measured.",
        "- Codes of this encoder compare with codes of this encoder only; another bundle needs a new enrolment.",
    ]
    if manifest.metrics.pairs_right:
        wrong = 1 - manifest.metrics.pairs_right[1]
        limits.insert(0, f"- Of two photos of people it has not seen it misjudges {wrong:.1%} as same or different.")
    return "\n".join(limits)


def _looks(manifest: Manifest) -> list[str]:
    sheet = manifest.looks
    return [_ALIKE, f"{in_words_of_looks(sheet)} ({sheet.source})."] if sheet else []


def looks_section(card: str, told: str, source: str) -> str:
    """A card with what its bundle knows of strangers who look alike, in the place of what it said before."""
    start = card.find(_ALIKE)
    end = card.find("\n## ", start + 1) if start >= 0 else -1
    rest = card if start < 0 else card[:start] + (card[end + 1 :] if end >= 0 else "")
    return f"{rest.rstrip()}\n\n{_ALIKE}\n\n{told} ({source}).\n"
