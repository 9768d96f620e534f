"""``CARD.md``: what a bundle's model is, out of its manifest's own figures (Mitchell et al., "Model Cards", 2019)."""

from __future__ import annotations

from typing import Any


def make_card(manifest: dict[str, Any]) -> str:
    """The card, Markdown.

    Args:
        manifest: as it is about to be written, without ``files``.
    """
    encoder, run, metrics = manifest["encoder"], manifest["run"], manifest["metrics"]
    width, height = encoder["template"]["size_wh"]
    trained = (
        f"recipe `{run['recipe_name']}`, seed {run['seed']}, {run['epochs_done']} epochs"
        if "seed" in run
        else "elsewhere"
    )
    unfinished = "" if run.get("finished", True) else " The run had not come to its end."
    sections = [
        f"# {manifest['name']}",
        f"A face encoder for Familiar: {width}x{height} px, {encoder['colour']}, to a code of {encoder['code_size']} "
        f"numbers; full int8, {metrics['encoder_bytes']:,} bytes. Trained: {trained}.{unfinished} "
        f"Converted {manifest['created']} by the recipe `{manifest['recipe']['name']}`.",
        "## Where it comes from",
        "\n".join(f"- {line}" for line in manifest["lineage"]) or "- not stated by whoever converted it",
        "## Licence",
        manifest["licence"],
        "## For",
        "Telling a few familiar people, enrolled with their consent, from strangers, on their own device; "
        f"faces found by the detector `{manifest['detector']['name']}` and aligned to this bundle's template.",
        "## Not for",
        "Access control, payment, policing, or any decision with consequences for a person; finding somebody in a "
        "crowd; faces of children; other detectors or crops than the ones above. It does not tell a face from a photo "
        "of one.",
        "## How well it recognises, and what int8 costs",
        _parity(metrics["parity"]),
        "## Strangers in the bundle",
        _cohort(manifest["cohort"], metrics["cohort"]),
        "## Limits",
        _limits(manifest),
    ]
    return "\n\n".join(sections) + "\n"


def _parity(parity: dict[str, Any]) -> str:
    cosine, ratio = parity["cosine"], parity["norm_ratio"]
    people = f" of {parity['people']} people" if parity["people"] else ""
    rows = [
        f"Float against int8 on {parity['chips']:,} chips{people} ({parity['held_out']}):",
        "",
        "| figure | float | int8 |",
        "|---|---|---|",
        f"| cosine of the two codes: mean / first percentile / least | 1 | {cosine['mean']:.4f} / {cosine['p1']:.4f} / "
        f"{cosine['min']:.4f} |",
        f"| chips without a code | {parity['rejected']['float']} | {parity['rejected']['int8']} |",
    ]
    if ratio:
        rows.append(
            f"| length of the code: mean (1 % to 99 %) | 1 | {ratio['mean']:.3f} "
            f"({ratio['p1']:.3f} to {ratio['p99']:.3f}) |"
        )
    if parity["pair_accuracy"]:
        accuracy, tmr = parity["pair_accuracy"], parity["tmr_at_fmr_1e_3"]
        rows.append(f"| accuracy on {parity['pairs']:,} pairs | {accuracy['float']:.2%} | {accuracy['int8']:.2%} |")
        rows.append(f"| true matches at one false match in 1,000 | {tmr['float']:.2%} | {tmr['int8']:.2%} |")
    if parity["identification"]:
        found = parity["identification"]
        rows += [
            f"| enrolled people recognised (DIR) with {float(fpir):.1%} of strangers named (FPIR) "
            f"| {rate['float']['mean']:.1%} ± {rate['float']['spread']:.1%} "
            f"| {rate['int8']['mean']:.1%} ± {rate['int8']['spread']:.1%} |"
            for fpir, rate in found["rates"].items()
        ]
        rows += [
            "",
            f"DIR: {found['people']} people drawn {found['draws']} times, enrolled from {found['photos']} photos each, "
            "everybody else a stranger; one photo a search; mean and standard deviation over the draws.",
        ]
    if parity["forced"]:
        rows += ["", f"**Below the recipe's floors, written by --force parity**: {'; '.join(parity['forced'])}."]
    return "\n".join(rows)


def _cohort(cohort: dict[str, Any], measured: dict[str, Any]) -> str:
    quantiles = measured["quantiles"]
    lines = [
        f"{cohort['codes']:,} codes drawn from a distribution fitted to {cohort['people']:,} people "
        f"({cohort['source']}); no real person's code is in the bundle. Best scores of strangers against galleries of "
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
    if measured["lenient"]:
        lines += ["", f"**Ask for fewer false accepts than you want**: {measured['lenient']}."]
    return "\n".join(lines)


def _limits(manifest: dict[str, Any]) -> str:
    people = manifest["cohort"]["people"]
    limits = [
        f"- {people:,} strangers vouch for no rate below {3 / people:.2%} (rule of three, ISO/IEC 19795-1).",
        "- Everything here is measured on faces like those it was trained on; other cameras, light, ages and origins "
        "than theirs do worse, by how much nobody has measured.",
        "- Codes of this encoder compare with codes of this encoder only; another bundle needs a new enrolment.",
    ]
    if manifest["metrics"]["parity"]["pair_accuracy"]:
        wrong = 1 - manifest["metrics"]["parity"]["pair_accuracy"]["int8"]
        limits.insert(0, f"- Of two photos of people it has not seen it misjudges {wrong:.1%} as same or different.")
    return "\n".join(limits)
