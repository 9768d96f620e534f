"""A run's folder: ``run.json`` with everything needed to repeat it, its models, history and curves."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import platform
import subprocess
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from edge_runtime.bundle.preprocessing import Preprocessing
from edge_runtime.errors import InputError
from edge_runtime.pictures.chips import Chips
from edge_runtime.storage.files import replacing, write_whole
from train.data.files import write_json

SCHEMA = 1
RUN_FILE = "run.json"
_PACKAGES = ("keras", "tensorflow", "numpy", "opencv-python-headless")


@dataclass(frozen=True)
class Run:
    """One training run, as its folder tells it.

    Attributes:
        path: the folder.
        recipe: every section and key of the recipe, ``--set`` included.
        recipe_name: name of the recipe's file.
        recipe_text: the file's text.
        overrides: what ``--set`` and other options changed.
        seed: of all draws.
        epochs_done: whole epochs.
        finished: whether it came to its end.
        chips_file: ``path``, ``sha256``, ``preprocessing_hash``, ``detector`` of the chips.
        also: the same of further chips it was fitted on.
        preprocessing: of the encoder's input.
        code_size: length of a code.
        versions: Python's and the packages'.
        commit: of the code, or None outside a git checkout.
        precision: Keras dtype policy it was fitted with.
        lineage: where data and codes came from, one sentence each.
        history: one mapping an epoch.
    """

    path: Path
    recipe: dict[str, Any]
    recipe_name: str
    recipe_text: str
    overrides: list[str]
    seed: int
    epochs_done: int
    finished: bool
    chips_file: dict[str, str]
    also: list[dict[str, str]]
    preprocessing: Preprocessing
    code_size: int
    versions: dict[str, str]
    commit: str | None
    precision: str
    lineage: list[str]
    history: list[dict[str, float]] = field(default_factory=list)

    @property
    def encoder_path(self) -> Path:
        return self.path / "encoder.keras"

    @property
    def decoder_path(self) -> Path:
        return self.path / "decoder.keras"

    def chips(self) -> Chips:
        """The chips it was fitted on, if they are still the same.

        Raises:
            InputError: gone, or altered since.
        """
        return same_chips(self.chips_file)

    def save(self) -> None:
        """Write ``run.json`` and ``history.csv``, each whole or not at all."""
        document = {
            "schema": SCHEMA,
            **{key: getattr(self, key) for key in ("recipe_name", "seed", "epochs_done", "finished")},
            "chips": self.chips_file,
            "also": self.also,
            "preprocessing": self.preprocessing.as_json(),
            **{key: getattr(self, key) for key in ("code_size", "precision", "versions", "commit", "lineage")},
            **{key: getattr(self, key) for key in ("recipe", "overrides", "recipe_text", "history")},
        }
        write_json(self.path / RUN_FILE, document)
        columns = list(dict.fromkeys(key for row in self.history for key in row))
        table = io.StringIO()
        writer = csv.DictWriter(table, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.history)
        write_whole(self.path / "history.csv", table.getvalue())

    def draw_curves(self) -> None:
        """Write ``curves.png``: the loss and its terms, and what the held-out people say."""
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot

        columns = [key for key in dict.fromkeys(k for row in self.history for k in row) if key not in _NOT_CURVES]
        losses = [key for key in columns if not key.startswith("val_pair") and not key.startswith("val_tmr")]
        figure, axes = pyplot.subplots(1, 2, figsize=(11, 4), layout="constrained")
        for axis, keys, title in (
            (axes[0], losses, "loss and its terms"),
            (axes[1], [key for key in columns if key not in losses], "people it has not seen"),
        ):
            for key in keys:
                rows = [(row["epoch"], row[key]) for row in self.history if key in row]
                axis.plot(*zip(*rows, strict=True), "--" if key.startswith("val_") else "-", label=key)
            axis.set(title=title, xlabel="epoch")
            if keys:
                axis.legend(fontsize=7)
        if losses and all(row[key] > 0 for row in self.history for key in losses if key in row):
            axes[0].set_yscale("log")
        with replacing(self.path / "curves.png") as draft:
            figure.savefig(draft, dpi=110)
        pyplot.close(figure)


_NOT_CURVES = ("epoch", "seconds", "waited", "learning_rate", "progress")


def load_run(folder: str | Path) -> Run:
    """Read a run's folder.

    Raises:
        InputError: no run there, of another version, or damaged.
    """
    path = Path(folder)
    file = path / RUN_FILE
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
        if document["schema"] != SCHEMA:
            raise InputError(f"{file}: expected schema {SCHEMA}, found {document['schema']!r}; fit it again")
        chips = {key: str(document["chips"][key]) for key in ("path", "sha256", "preprocessing_hash", "detector")}
        plain = {
            item.name: document[item.name]
            for item in dataclasses.fields(Run)
            if item.name not in ("path", "chips_file", "preprocessing")
        }
        preprocessing = Preprocessing.from_json(document["preprocessing"])
        return Run(path=path, chips_file=chips, preprocessing=preprocessing, **plain)
    except OSError as error:
        raise InputError(
            f"{path}: expected the folder of a run with {RUN_FILE}, found none; make one with python -m train fit"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{file}: a value is missing or wrong ({type(error).__name__}: {error}); fit it again"
        ) from error


def describe_chips(chips: Chips) -> dict[str, str]:
    """What ``run.json`` keeps of a chips file."""
    return {
        "path": str(chips.path.resolve()),
        "sha256": chips.sha256(),
        "preprocessing_hash": chips.preprocessing_hash,
        "detector": chips.detector,
    }


def same_chips(described: dict[str, str]) -> Chips:
    """Open a chips file that ``describe_chips`` described.

    Raises:
        InputError: gone, or altered since.
    """
    chips = Chips.load(described["path"])
    if (found := chips.sha256()) != described["sha256"]:
        raise InputError(
            f"{chips.path}: expected the chips of the run (sha256 {described['sha256'][:12]}…), "
            f"found {found[:12]}…; put the old file back or fit again"
        )
    return chips


def versions() -> dict[str, str]:
    """Python's version and the packages' that shape a run."""
    found = {"python": platform.python_version(), "machine": platform.machine()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "absent"
    return found


def commit() -> str | None:
    """Commit of the checkout this file is in, with ``+`` after it if files differ; None outside of git."""
    here = Path(__file__).parent
    try:
        head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, check=True)
        changed = subprocess.run(
            ["git", "status", "--porcelain", "-uno"], cwd=here, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return head.stdout.strip() + ("+" if changed.stdout.strip() else "")
