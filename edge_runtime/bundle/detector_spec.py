"""What there is to know about a detector's file: in a bundle's manifest, or on a sheet beside the file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from edge_runtime.bundle.figures import Record, record
from edge_runtime.errors import BundleError

_SIDES_PX = (32, 4096)


@dataclass(frozen=True, slots=True)
class RefinerSpec:
    """What there is to know about the network that looks at each face again.

    Attributes:
        file: the .tflite file's name.
        size: side of its input, px.
        mean: of each channel (RGB), 0..255.
        std: of each channel, positive.
        candidates: the detector's score below which no second look makes more of a face.
        edgetpu_file: the same compiled for the Edge TPU; None: it was not.
    """

    file: str
    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    candidates: float
    edgetpu_file: str | None = None

    @classmethod
    def from_json(cls, document: Mapping[str, Any], where: str) -> RefinerSpec:
        """As ``DetectorSpec.from_json``."""
        with _read(where, "refiner"):
            mean, std = _channels(document)
            compiled = _compiled(document)
            sheet = cls(
                str(document["file"]), int(document["size"]), mean, std, float(document["candidates"]), compiled
            )
        _check(where, "refiner", sheet.file, mean, std, sheet.candidates, sheet.size)
        return sheet

    def as_json(self) -> dict[str, Any]:
        """JSON-ready; the inverse of :meth:`from_json`."""
        return {
            "file": self.file,
            "size": self.size,
            "colour": "rgb",
            "mean": list(self.mean),
            "std": list(self.std),
            "candidates": self.candidates,
            **({"edgetpu_file": self.edgetpu_file} if self.edgetpu_file else {}),
        }


@dataclass(frozen=True, slots=True)
class DetectorSpec:
    """What there is to know about a detector's file, as data.

    Attributes:
        name: enters the preprocessing hash: embeddings of two detectors' alignments do not compare.
        file: the .tflite file's name.
        size_wh: width and height of its input, px.
        mean: of each channel (RGB), 0..255.
        std: of each channel, positive.
        score: faces with less are left out.
        refiner: the network that looks at each face again, if it brings one.
        edgetpu_file: the same compiled for the Edge TPU; None: it was not.
    """

    name: str
    file: str
    size_wh: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    score: float
    refiner: RefinerSpec | None = None
    edgetpu_file: str | None = None

    @property
    def files(self) -> list[str]:
        """Names of all its .tflite files."""
        return [self.file, *([self.refiner.file] if self.refiner else [])]

    @classmethod
    def from_json(cls, document: Mapping[str, Any], where: str) -> DetectorSpec:
        """Read the keys of a JSON document; others are passed over.

        Raises:
            BundleError: a value missing or wrong.
        """
        with _read(where, "detector"):
            width, height = (int(side) for side in document["size_wh"])
            mean, std = _channels(document)
            second = document.get("refiner")
            sheet = cls(
                str(document["name"]),
                str(document["file"]),
                (width, height),
                mean,
                std,
                float(document["score"]),
                None if second is None else RefinerSpec.from_json(second, where),
                _compiled(document),
            )
        _check(where, "detector", sheet.file, mean, std, sheet.score, *sheet.size_wh)
        return sheet

    def as_json(self) -> dict[str, Any]:
        """JSON-ready; the inverse of :meth:`from_json`."""
        return {
            "name": self.name,
            "file": self.file,
            "size_wh": list(self.size_wh),
            "colour": "rgb",
            "mean": list(self.mean),
            "std": list(self.std),
            "score": self.score,
            **({"refiner": self.refiner.as_json()} if self.refiner else {}),
            **({"edgetpu_file": self.edgetpu_file} if self.edgetpu_file else {}),
        }


@dataclass(frozen=True, slots=True)
class DetectorSheet:
    """A detector and where it comes from: the manifest's section ``detector``, or ``detector.json`` beside the file.

    Attributes:
        name: of the detector, as ``yunet``; the training chips were made with it.
        spec: of its file; None where the bundle does not bring the detector along.
        run: what is kept of its run.
        refiner_run: what is kept of its refiner's run.
        lineage: where data and labels came from, one sentence each.
        metrics: figures of the conversion, and of ``train evaluate`` as ``evaluation``.
        versions: of the packages that made it.
    """

    name: str
    spec: DetectorSpec | None = None
    run: Record = field(default_factory=dict)
    refiner_run: Record = field(default_factory=dict)
    lineage: tuple[str, ...] = ()
    metrics: Record = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    @classmethod
    def from_json(cls, document: Mapping[str, Any], where: str) -> DetectorSheet:
        """Read the keys of a JSON document; others are passed over.

        Raises:
            BundleError: a value missing or wrong.
        """
        with _read(where, "detector"):
            name = str(document["name"])
            run, metrics = record(document, "run"), record(document, "metrics")
            refiner_run = record(record(document, "refiner"), "run")
            lineage = tuple(map(str, document.get("lineage", ())))
            versions = {str(key): str(value) for key, value in record(document, "versions").items()}
            spec = DetectorSpec.from_json(document, where) if "file" in document else None
        return cls(name, spec, run, refiner_run, lineage, metrics, versions)

    def as_json(self) -> dict[str, Any]:
        """JSON-ready; the inverse of :meth:`from_json`."""
        document: Record = self.spec.as_json() if self.spec else {"name": self.name}
        if self.refiner_run and "refiner" in document:
            document["refiner"]["run"] = self.refiner_run
        told = {"run": self.run, "lineage": list(self.lineage), "metrics": self.metrics, "versions": self.versions}
        return document | {key: value for key, value in told.items() if value}


def _compiled(document: Mapping[str, Any]) -> str | None:
    name = document.get("edgetpu_file")
    return None if name is None else str(name)


@contextmanager
def _read(where: str, part: str) -> Iterator[None]:
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise BundleError(f"{where}: {part}: a value is missing or wrong ({error}); make it again") from error


def _channels(document: Mapping[str, Any]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and spread of each channel."""
    mean, std = (tuple(float(value) for value in document[key]) for key in ("mean", "std"))
    return mean, std


def _check(
    where: str, part: str, file: str, mean: tuple[float, ...], std: tuple[float, ...], score: float, *sides: int
) -> None:
    """What holds for each network's sheet.

    Raises:
        BundleError: a value that cannot be.
    """
    if (
        not np.isfinite([*mean, *std, score]).all()
        or len(mean) != 3
        or len(std) != 3
        or min(std) <= 0
        or not 0 < score < 1
        or not _SIDES_PX[0] <= min(sides) <= max(sides) <= _SIDES_PX[1]
        or Path(file).name != file
    ):
        raise BundleError(
            f"{where}: {part}: expected a plain file name, a size of {_SIDES_PX[0]} to {_SIDES_PX[1]} px, three means "
            f"and positive stds, and a score in 0..1, found {file!r}, {sides}, {mean}, {std} and {score}; make it again"
        )
