"""What there is to know about a detector's file: in a bundle's manifest, or on a sheet beside the file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge_runtime.errors import BundleError


@dataclass(frozen=True, slots=True)
class DetectorSheet:
    """What there is to know about a detector's file, as data.

    Attributes:
        name: enters the preprocessing hash: codes of two detectors' alignments do not compare.
        file: the .tflite file's name.
        size_wh: width and height of its input, px.
        mean: of each channel (RGB), 0..255.
        std: of each channel, positive.
        score: faces with less are left out.
    """

    name: str
    file: str
    size_wh: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    score: float

    @classmethod
    def from_json(cls, document: Mapping[str, Any], where: str) -> DetectorSheet:
        """Read the keys of a JSON document; others are passed over.

        Raises:
            BundleError: a value missing or wrong.
        """
        try:
            width, height = (int(side) for side in document["size_wh"])
            mean = tuple(float(value) for value in document["mean"])
            std = tuple(float(value) for value in document["std"])
            sheet = cls(
                str(document["name"]),
                str(document["file"]),
                (width, height),
                mean,
                std,
                float(document["score"]),
            )
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise BundleError(f"{where}: detector: a value is missing or wrong ({error}); make it again") from error
        numbers = np.array([*mean, *std, sheet.score])
        if (
            not np.isfinite(numbers).all()
            or len(mean) != 3
            or len(std) != 3
            or min(std) <= 0
            or not 0 < sheet.score < 1
            or not 32 <= min(sheet.size_wh) <= max(sheet.size_wh) <= 4096
            or Path(sheet.file).name != sheet.file
        ):
            raise BundleError(
                f"{where}: detector: expected a plain file name, a size of 32 to 4096 px, three means and positive "
                f"stds, and a score in 0..1, found {sheet}; make it again"
            )
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
        }
