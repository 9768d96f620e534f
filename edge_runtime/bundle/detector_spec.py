"""What there is to know about a detector's file: in a bundle's manifest, or on a sheet beside the file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

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
    """

    file: str
    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    candidates: float

    @classmethod
    def from_json(cls, document: Mapping[str, Any], where: str) -> RefinerSpec:
        """As ``DetectorSpec.from_json``."""
        with _read(where, "refiner"):
            mean, std = _channels(document)
            sheet = cls(str(document["file"]), int(document["size"]), mean, std, float(document["candidates"]))
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
    """

    name: str
    file: str
    size_wh: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    score: float
    refiner: RefinerSpec | None = None

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
        }


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
