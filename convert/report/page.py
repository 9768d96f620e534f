"""The parity report: one self-contained page with a picture of every figure, and the same as JSON."""

from __future__ import annotations

import json
import math
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from convert.report.parity import FLOAT
from edge_runtime.storage.files import write_whole

_TEMPLATE = Path(__file__).with_name("report_template.html")
_BAR = 22
_CHECKS = {
    "cosine_mean": "mean cosine of the two codes of a chip",
    "cosine_p1": "the same at the first percentile",
    "layers": "signal against error, every layer",
    "pair_accuracy_loss": "accuracy on pairs",
    "tmr_loss": "true matches at one false match in 1,000",
    "dir_loss_1_percent": "enrolled people found (DIR) with 1 % of strangers named (FPIR)",
    "dir_loss_01_percent": "the same with 0.1 % of strangers named",
    "coin": "telling people apart better than a coin",
    "stated": "what was stated of colour and normalisation",
}


def write_report(beside: Path, document: dict[str, Any]) -> Path:
    """Write ``<beside>.parity.json`` and ``.parity.html``; returns the page's path.

    Args:
        beside: the bundle's folder, whether it exists or not.
        document: ``name``, ``parity``, ``layers``, ``planted``, ``failed``, ``forced`` and ``limits``.
    """
    page = beside.with_name(f"{beside.name}.parity.html")
    write_whole(beside.with_name(f"{beside.name}.parity.json"), json.dumps(document, indent=2) + "\n")
    write_whole(page, render(document))
    return page


def render(document: dict[str, Any]) -> str:
    """The page as HTML; see :func:`write_report`."""
    parity = document["parity"]
    label = parity["label"]
    failed = document["failed"]
    verdict = f"{len(failed)} of the checks failed" if failed else "every check passed"
    people = f" of {parity['people']:,} people" if parity["people"] else ""
    lead = f"{label} measured on {parity['chips']:,} chips{people} ({document['held_out']})."
    return Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        title=escape(document["name"]),
        verdict=f'<p class="{"bad" if failed else "good"}">{verdict}</p>',
        lead=escape(" ".join(filter(None, [lead, document.get("beside")]))),
        figures=_figures(parity),
        checks=_checks(document),
        histogram=_histogram(parity),
        layers=_layers(document["layers"], document["limits"].get("layer_snr_db")),
        planted=_planted(document["planted"]),
    )


def figures(parity: dict[str, Any]) -> list[tuple[str, dict[str, str]]]:
    """Every recognition figure with its value by model, as texts."""
    rows: list[tuple[str, dict[str, str]]] = []
    if parity["pair_accuracy"]:
        percents = {k: f"{v:.2%}" for k, v in parity["pair_accuracy"].items()}
        rows.append((f"accuracy on {parity['pairs']:,} pairs", percents))
        rows.append((_CHECKS["tmr_loss"], {k: f"{v:.2%}" for k, v in parity["tmr_at_fmr_1e_3"].items()}))
    for fpir, rates in (parity["identification"] or {"rates": {}})["rates"].items():
        name = f"enrolled people found (DIR) with {float(fpir):.1%} of strangers named (FPIR)"
        rows.append((name, {k: f"{v['mean']:.1%} ± {v['spread']:.1%}" for k, v in rates.items()}))
    rows.append(("chips without a code", {k: f"{v}" for k, v in parity["rejected"].items()}))
    return rows


def _figures(parity: dict[str, Any]) -> str:
    models = [name for name in (FLOAT, parity["label"]) if name in parity["rejected"]]
    models = list(dict.fromkeys(models))
    head = "".join(f"<th>{escape(name)}</th>" for name in models)
    rows = "".join(
        f"<tr><td>{escape(name)}</td>{''.join(f'<td class=n>{escape(values[m])}</td>' for m in models)}</tr>"
        for name, values in figures(parity)
    )
    return f"<table><tr><th></th>{head}</tr>{rows}</table>"


def _checks(document: dict[str, Any]) -> str:
    failed = document["failed"]
    wanted = {_check_of(key): _wanted(key, floor) for key, floor in document["limits"].items()}
    names, rows = list(wanted), []
    for name in [*names, *(extra for extra in failed if extra not in names)]:
        say = failed.get(name, "passed")
        forced = ", <b>forced</b>" if name in document["forced"] else ""
        rows.append(
            f"<tr><td><code>{escape(name)}</code></td><td>{escape(_CHECKS.get(name, name))}</td>"
            f"<td class=n>{wanted.get(name, '')}</td>"
            f'<td class="{"bad" if name in failed else "good"}">{escape(say)}{forced}</td></tr>'
        )
    return f"<table>{''.join(rows)}</table>" if rows else "<p>There was no float model to compare with.</p>"


def _check_of(key: str) -> str:
    """The check that a recipe's floor is for."""
    return "layers" if key == "layer_snr_db" else key


def _wanted(key: str, floor: float) -> str:
    """What a check asks for, in words."""
    if key == "layer_snr_db":
        return f"at least {floor:g} dB"
    return f"at least {floor:g}" if key.startswith("cosine") else f"loses at most {floor:.1%}"


def _histogram(parity: dict[str, Any]) -> str:
    if not parity["histogram"]:
        return ""
    edges, counts = parity["histogram"]["edges"], parity["histogram"]["counts"]
    width, height = 640, 160
    # By logarithm, or the few bad ones that matter could not be seen beside the many good ones.
    tall = [height * math.log1p(n) / math.log1p(max(counts)) for n in counts]
    step = width / len(counts)
    bars = "".join(
        f'<rect x="{i * step + 1:.1f}" y="{height - tall[i]:.1f}" width="{step - 2:.1f}" '
        f'height="{tall[i]:.1f}"><title>{edges[i]:.4f} to {edges[i + 1]:.4f}: {n} chips</title></rect>'
        for i, n in enumerate(counts)
    )
    marks = "".join(
        f'<text x="{x}" y="{height + 16}" text-anchor="{anchor}">{value:.3f}</text>'
        for x, anchor, value in (
            (0, "start", edges[0]), (width / 2, "middle", edges[len(edges) // 2]), (width, "end", edges[-1])
        )
    )  # fmt: skip
    cosine = parity["cosine"]
    return (
        f'<h2>Cosine of the two codes</h2><svg viewBox="0 0 {width} {height + 22}" role="img">{bars}{marks}</svg>'
        f"<p>mean {cosine['mean']:.4f}, first percentile {cosine['p1']:.4f}, least {cosine['min']:.4f}; "
        f"{max(counts):,} chips in the tallest bar, heights are logarithmic</p>"
    )


def _layers(layers: list[dict[str, Any]], floor: float | None) -> str:
    if not layers:
        return "<p>Layers were not compared: there is no float model of the same layers.</p>"
    most = max(max(layer["snr_db"] for layer in layers), 1.0)
    bad = max(layers, key=lambda layer: layer["added"])
    width, left = 640, 250
    scale = (width - left - 60) / most
    rows = []
    for i, layer in enumerate(layers):
        y, long = i * _BAR, max(layer["snr_db"], 0) * scale
        mark = "worst" if layer is bad else ""
        rows.append(
            f'<text x="{left - 8}" y="{y + 15}" text-anchor="end">{layer["index"]} {escape(layer["operator"])}</text>'
            f'<rect class="{mark}" x="{left}" y="{y + 3}" width="{long:.1f}" height="{_BAR - 6}">'
            f"<title>{escape(layer['name'])}</title></rect>"
            f'<text x="{left + long + 6:.1f}" y="{y + 15}">{layer["snr_db"]:.1f} dB</text>'
        )
    tall = len(layers) * _BAR
    line = (
        f'<line x1="{left + floor * scale:.1f}" x2="{left + floor * scale:.1f}" y1="0" y2="{tall}"/>' if floor else ""
    )
    return (
        f'<svg viewBox="0 0 {width} {tall}" role="img">{"".join(rows)}{line}</svg>'
        f"<p>Signal against error at the output of each layer; the line is the floor. Most error comes from "
        f"<b>{escape(bad['operator'])} {bad['index']}</b> (<code>{escape(bad['name'])}</code>): it adds "
        f"{bad['added']:.2%} of the signal's power.</p>"
    )


def _planted(planted: list[dict[str, Any]]) -> str:
    rows = []
    for mistake in planted:
        caught = ", ".join(mistake["caught_by"])
        say = f"caught by {caught}" if caught else "NOT caught"
        if mistake["better"]:
            say += "; it recognises people better than what was stated"
        cosine = f"{mistake['cosine']['mean']:.4f}" if mistake["cosine"] else ""
        rows.append(
            f"<tr><td>{escape(mistake['name'])}</td><td class=n>{cosine}</td>"
            f'<td class="{"good" if caught else "bad"}">{escape(say)}</td></tr>'
        )
    return f"<table><tr><th></th><th>mean cosine</th><th></th></tr>{''.join(rows)}</table>"
