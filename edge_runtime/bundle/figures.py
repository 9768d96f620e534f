"""What was measured when a bundle was made: the manifest's section ``metrics``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

Record = dict[str, Any]
"""A JSON object that is kept as its maker wrote it, for people and reports."""


def record(document: Mapping[str, Any], key: str) -> Record:
    """One object of a document; empty where it does not say.

    Raises:
        TypeError: something else is there.
    """
    value = document.get(key)
    if value is not None and not isinstance(value, dict):
        raise TypeError(f"{key}: expected an object, found {type(value).__name__}")
    return value or {}


@dataclass(frozen=True, slots=True)
class Metrics:
    """Figures of the encoder; empty where the bundle does not say.

    Attributes:
        encoder_bytes: size of the file.
        parity: the encoder beside the float model; ``convert.report.parity`` says what is in it.
        edgetpu: what maps to an Edge TPU.
        cohort: how honest the cohort is.
        speed: of an encoding, where the bundle was made.
        mirroring: what averaging with the mirror image brings.
        conditions: recognition in worse photos, and among groups.
        edgetpu_compiler: what the compiler said.
    """

    encoder_bytes: int | None = None
    parity: Record = field(default_factory=dict)
    edgetpu: Record = field(default_factory=dict)
    cohort: Record = field(default_factory=dict)
    speed: Record = field(default_factory=dict)
    mirroring: Record = field(default_factory=dict)
    conditions: Record = field(default_factory=dict)
    edgetpu_compiler: Record = field(default_factory=dict)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`as_json`.

        Raises:
            TypeError, ValueError, AttributeError: a value of another kind.
        """
        size = document.get("encoder_bytes")
        names = ("parity", "edgetpu", "cohort", "speed", "mirroring", "conditions", "edgetpu_compiler")
        found = cls(None if size is None else int(size), *(record(document, name) for name in names))
        _ = found.pairs_right
        return found

    def as_json(self) -> Record:
        """JSON-ready; without what is not known."""
        fields = {name: getattr(self, name) for name in self.__slots__}
        return {name: value for name, value in fields.items() if value is not None and value != {}}

    @property
    def pairs_right(self) -> tuple[int, float] | None:
        """How many pairs of photos the encoder judged, and the share it judged right; None where nobody looked."""
        right = record(self.parity, "pair_accuracy").get(str(self.parity.get("label")))
        return None if right is None else (int(self.parity.get("pairs", 0)), float(right))
