"""``python -m train report``: one self-contained page about a run; no scripts, nothing loaded from elsewhere."""

from __future__ import annotations

import argparse
import base64
import json
import shlex
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from matplotlib.figure import Figure

from edge_runtime.errors import InputError
from edge_runtime.storage.files import write_whole
from train.evaluation.conditions import condition_lines
from train.evaluation.evaluate import EVALUATION_FILE
from train.evaluation.evaluate import SCHEMA as EVALUATION_SCHEMA
from train.evaluation.figures import DARK, LIGHT, history_figures, identification_figure, roc_figure, svg
from train.evaluation.recognition import percent, recognition_lines
from train.runs.run import Run, load_run

_TEMPLATE = Path(__file__).with_name("report_template.html")
_COLOURS = {"rgb": "colour", "bgr": "colour", "grey": "grey"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``python -m train report``."""
    parser.add_argument("run_dir", type=Path, metavar="RUN", help="folder of a run, best after train evaluate")
    parser.add_argument("--out", type=Path, metavar="FILE", help="the page (default: report.html in the run's folder)")


def run(args: argparse.Namespace) -> int:
    """Write the page."""
    out = args.out or args.run_dir / "report.html"
    write_whole(out, page(load_run(args.run_dir)))
    print(f"saved: {out}")
    return 0


def page(fitted: Run) -> str:
    """The whole page as HTML.

    Raises:
        InputError: an ``evaluation.json`` that cannot be read.
    """
    measured = read_evaluation(fitted.path)
    return Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        title=escape(fitted.path.resolve().name),
        lead=_lead(fitted, measured),
        facts="".join(f"<li>{name} <b>{escape(value)}</b></li>" for name, value in _facts(fitted)),
        notes=_notes(fitted, measured),
        tiles=_tiles(measured),
        recognition=_recognition(measured) + _conditions(measured),
        reconstruction=_reconstruction(fitted, measured),
        curves=_curves(fitted),
        repeat=_repeat(fitted),
        recipe=escape(fitted.recipe_text.strip() or json.dumps(fitted.recipe, indent=2)),
        versions="".join(
            f"<tr><th>{escape(name)}</th><td><code>{escape(value)}</code></td></tr>" for name, value in _origin(fitted)
        ),
    )


def read_evaluation(folder: Path) -> dict[str, Any] | None:
    """What ``train evaluate`` found of a run; None before it was measured.

    Raises:
        InputError: an ``evaluation.json`` that cannot be read.
    """
    path = folder / EVALUATION_FILE
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["schema"] != EVALUATION_SCHEMA or document["kind"] != "run":
            raise KeyError("schema")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: expected an evaluation of schema {EVALUATION_SCHEMA}, cannot use it ({error}); "
            "run python -m train evaluate again"
        ) from error
    return dict(document)


def _lead(fitted: Run, measured: dict[str, Any] | None) -> str:
    width, height = fitted.preprocessing.template.size_wh
    text = (
        f"An autoencoder that turns a {width}×{height} {_COLOURS[fitted.preprocessing.colour]} face into "
        f"{fitted.code_size} numbers and draws the face again from them. Recipe <b>{escape(fitted.recipe_name)}</b>."
    )
    if measured:
        people = f"{measured['people']:,} people ({', '.join(measured['splits'])})"
        never = "" if "train" in measured["splits"] else " that nothing was fitted on"
        text += f" Measured on {measured['photos']:,} photos of {people}{never}."
    return text


def _facts(fitted: Run) -> list[tuple[str, str]]:
    state = f"{fitted.epochs_done}" + ("" if fitted.finished else ", not finished")
    return [
        ("epochs", state),
        ("code", f"{fitted.code_size} numbers"),
        ("detector", fitted.chips_file["detector"]),
        ("precision", fitted.precision),
        ("seed", str(fitted.seed)),
    ]


def _notes(fitted: Run, measured: dict[str, Any] | None) -> str:
    notes = list(measured["notes"]) if measured else []
    if measured is None:
        notes.append(f"not measured yet: run python -m train evaluate {fitted.path}, then the report again")
    elif measured["epochs_done"] != fitted.epochs_done:
        notes.append(
            f"measured after {measured['epochs_done']} epochs, now fitted for {fitted.epochs_done}: evaluate it again"
        )
    return "".join(f'<p class="note">{escape(note[:1].upper() + note[1:])}</p>' for note in notes)


def _tiles(measured: dict[str, Any] | None) -> str:
    tiles: list[tuple[str, str, str]] = []
    if measured and (pairs := measured["verification"]):
        figure = f"{percent(pairs['accuracy'], 1)} <small>± {100 * pairs['standard_error']:.1f}</small>"
        tiles.append(("Pair accuracy", figure, "the same person or not, rightly told; a coin reaches 50 %"))
    if measured and (found := measured["identification"]):
        for rate in found["rates"]:
            figure = f"{percent(rate['dir_mean'], 1)} <small>± {100 * rate['dir_std']:.1f}</small>"
            say = f"enrolled people named while {_one_in(rate['fpir'])} photos of strangers is named too"
            tiles.append((f"DIR at FPIR {100 * rate['fpir']:g} %", figure, say))
    if measured:
        drawn = measured["reconstruction"]
        psnr = drawn["psnr_db"]["mean"]
        say = "likeness of the drawn faces; 1 is the photo itself" + (f" ({psnr:.1f} dB PSNR)" if psnr else "")
        tiles.append(("SSIM", f"{drawn['ssim']['mean']:.3f}", say))
    cells = "".join(
        f'<div class="tile"><div class="name">{name}</div><div class="figure">{figure}</div>'
        f'<div class="say">{say}</div></div>'
        for name, figure, say in tiles
    )
    return f'<div class="tiles">{cells}</div>' if cells else ""


def _one_in(rate: float) -> str:
    return f"1 in {round(1 / rate):,}"


def _recognition(measured: dict[str, Any] | None) -> str:
    if measured is None:
        return ""
    rows = "".join(
        f'<tr><td>{escape(name)}</td><td class="n">{escape(figure)}</td><td class="soft">{escape(how)}</td></tr>'
        for name, figure, how in recognition_lines(measured)
    )
    pictures = ""
    if pairs := measured["verification"]:
        pictures += _figure(
            [roc_figure(pairs, palette) for palette in (LIGHT, DARK)],
            "ROC curve of the pairs",
            f"ROC of {pairs['pairs']:,} pairs; the lower the false match rate it holds up at, the better.",
        )
    if found := measured["identification"]:
        pictures += _figure(
            [identification_figure(found, palette) for palette in (LIGHT, DARK)],
            "DIR over FPIR",
            f"Open set: {found['people']} people enrolled with {found['photos']} photos each, everybody else a "
            f"stranger; mean and spread of {found['draws']} draws.",
        )
    return (
        "<section><h2>Telling people apart</h2>"
        '<div class="scroll"><table><thead><tr><th>measure</th><th>figure</th><th>how it was measured</th></tr></thead>'
        f'<tbody>{rows}</tbody></table></div><div class="pair">{pictures}</div></section>'
    )


def _conditions(measured: dict[str, Any] | None) -> str:
    held = (measured or {}).get("conditions")
    if not held:
        return ""
    rows = "".join(
        f'<tr><td>{escape(name)}</td><td class="n">{escape(figure)}</td><td class="soft">{escape(how)}</td></tr>'
        for name, figure, how in condition_lines(held)
    )
    return (
        f'<section><h2>In worse conditions</h2><p class="soft">True matches of changed photos, and of groups of '
        f"photos, at the threshold that gives {100 * held['fmr']:g} % false matches on the photos as they are.</p>"
        f'<div class="scroll"><table><thead><tr><th>probe</th><th>TMR</th><th></th></tr></thead><tbody>{rows}</tbody>'
        "</table></div></section>"
    )


def _reconstruction(fitted: Run, measured: dict[str, Any] | None) -> str:
    grid = fitted.path / "reconstruction.png"
    if measured is None or not grid.is_file():
        return ""
    drawn = measured["reconstruction"]
    names = {"mse": ("MSE", "{:.5f}"), "psnr_db": ("PSNR, dB", "{:.2f}"), "ssim": ("SSIM", "{:.3f}")}
    rows = "".join(
        f"<tr><td>{name}</td>"
        + "".join(f'<td class="n">{_number(drawn[key][q], form)}</td>' for q in _QUANTILES)
        + "</tr>"
        for key, (name, form) in names.items()
    )
    share = 1 - drawn["mse"]["mean"] / drawn["mse_of_mean_face"] if drawn["mse_of_mean_face"] else 0.0
    return (
        "<section><h2>Drawing faces again</h2>"
        f'<p class="soft">{drawn["photos"]:,} held-out photos. Of what sets a face apart from the mean face, '
        f"{percent(max(share, 0), 0)} comes back (share of the squared difference).</p>"
        f'<div class="scroll"><table><thead><tr><th></th><th>mean</th><th>10th percentile</th><th>90th percentile</th>'
        f"</tr></thead><tbody>{rows}</tbody></table></div>"
        f'<figure class="faces"><img alt="original, reconstruction and difference of twelve faces" '
        f'src="{_uri(grid.read_bytes(), "image/png")}"><figcaption>Each face: original, reconstruction, difference; '
        "from the best to the worst SSIM, evenly over the ranks. In the difference, red is too light, blue too dark, "
        "full colour at half the range.</figcaption>"
        "</figure></section>"
    )


_QUANTILES = ("mean", "p10", "p90")


def _number(value: float | None, form: str) -> str:
    return "∞" if value is None else form.format(value)


def _curves(fitted: Run) -> str:
    if not fitted.history:
        return ""
    seconds = sum(row.get("seconds", 0.0) for row in fitted.history)
    spent = f" {seconds / 60:.0f} minutes." if seconds >= 90 else f" {seconds:.0f} seconds."
    drawn = zip(*(history_figures(fitted.history, palette) for palette in (LIGHT, DARK)), strict=True)
    curves = "".join(_figure(list(figures), "curve of training") for figures in drawn)
    text = f"{fitted.epochs_done} epochs,{spent} Blue: people it is fitted on; orange: people it has not seen."
    return f'<section><h2>Training</h2><p class="soft">{text}</p><div class="pair">{curves}</div></section>'


def _repeat(fitted: Run) -> str:
    chips = "--chips CHIPS" + " --also CHIPS" * len(fitted.also)
    command = ["python -m train fit --recipe", fitted.recipe_name, chips, "--run RUN --seed", str(fitted.seed)]
    for change in fitted.overrides:
        key, _, value = change.partition("=")
        # A page that is passed on does not tell where somebody keeps their files.
        name = Path(value.strip("\"'")).name
        shown = f"{key}={json.dumps(name)}" if key.endswith(".path") else change
        command.append(f"--set {shlex.quote(shown)}")
    lineage = "; ".join(fitted.lineage)
    return f"<code>{escape(' '.join(command))}</code><br>{escape(lineage[:1].upper() + lineage[1:])}."


def _origin(fitted: Run) -> list[tuple[str, str]]:
    chips = [fitted.chips_file, *fitted.also]
    files = [(f"chips {i + 1}" if len(chips) > 1 else "chips", c) for i, c in enumerate(chips)]
    # The folder is the owner's business, the name and the sum are enough to find the file again.
    rows = [(name, f"{Path(c['path']).name}, sha256 {c['sha256'][:16]}") for name, c in files]
    return [*fitted.versions.items(), ("commit", (fitted.commit or "not a git checkout")[:20]), *rows]


def _figure(drawn: list[Figure], alt: str, caption: str = "") -> str:
    """A figure that follows the page's colours: light first, dark where the reader prefers it."""
    light, dark = (_uri(svg(figure), "image/svg+xml") for figure in drawn)
    below = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return (
        f'<figure><picture><source media="(prefers-color-scheme: dark)" srcset="{dark}">'
        f'<img alt="{escape(alt)}" src="{light}"></picture>{below}</figure>'
    )


def _uri(data: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
