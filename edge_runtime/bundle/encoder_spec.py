"""What there is to know about a bundle's encoder: the manifest's section ``encoder``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from edge_runtime.bundle.preprocessing import Preprocessing
from edge_runtime.errors import InputError

FACE_PARTS = ("eyes", "mouth")
"""What of a face may be covered."""
_LONGEST = 1e9


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """An input or output of the .tflite file, as whoever made the bundle found it.

    Attributes:
        shape: with the batch.
        dtype: as numpy calls it.
        scale, zero_point: of the quantisation; 0 and 0 for a float tensor.
    """

    shape: tuple[int, ...]
    dtype: str
    scale: float
    zero_point: int

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`as_json`.

        Raises:
            KeyError, TypeError, ValueError: a value missing, or of another kind.
        """
        shape = tuple(int(side) for side in document["shape"])
        return cls(shape, str(document["dtype"]), float(document["scale"]), int(document["zero_point"]))

    def as_json(self) -> dict[str, Any]:
        return {"shape": list(self.shape), "dtype": self.dtype, "scale": self.scale, "zero_point": self.zero_point}


@dataclass(frozen=True, slots=True)
class EncoderSpec:
    """The encoder's file and how it is used.

    Attributes:
        file: the .tflite file's name.
        preprocessing: of its input.
        embedding_size: length of an embedding; ``code_size`` in the document.
        input, output: of the file, for whoever reads the manifest; None where the bundle does not say.
        mirrored: whether an embedding is the mean of a face's and of its mirror image's.
        reliance: the least that an uncovered face's embedding relies on each part; empty where the bundle does not say.
        edgetpu_file: the same compiled for the Edge TPU; None: it was not.
        least_length: what is encoded shorter than this, before it is brought to unit length, is no face; 0 where the
            bundle does not say.
    """

    file: str
    preprocessing: Preprocessing
    embedding_size: int
    input: TensorSpec | None = None
    output: TensorSpec | None = None
    mirrored: bool = False
    reliance: dict[str, float] = field(default_factory=dict)
    edgetpu_file: str | None = None
    least_length: float = 0.0

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`as_json`.

        Raises:
            InputError: a value out of range.
            KeyError, TypeError, ValueError, IndexError: a value missing, or of another kind.
        """
        source, result = (
            TensorSpec.from_json(document[name]) if name in document else None for name in ("input", "output")
        )
        compiled = document.get("edgetpu_file")
        return cls(
            str(document["file"]),
            Preprocessing.from_json(document),
            int(document["code_size"]),
            source,
            result,
            document.get("mirrored", False) is True,
            _reliance(document.get("reliance", {})),
            None if compiled is None else str(compiled),
            _length(document.get("least_length", 0.0)),
        )

    def as_json(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "file": self.file,
            **({"input": self.input.as_json()} if self.input else {}),
            **({"output": self.output.as_json()} if self.output else {}),
            **self.preprocessing.as_json(),
            "code_size": self.embedding_size,
            "mirrored": self.mirrored,
            "reliance": self.reliance,
            **({"least_length": self.least_length} if self.least_length else {}),
            **({"edgetpu_file": self.edgetpu_file} if self.edgetpu_file else {}),
        }


def _length(value: Any) -> float:
    length = float(value)
    if not 0 <= length < _LONGEST:
        raise InputError(f"least_length: expected 0 or more, below {_LONGEST:g}, found {length:g}")
    return length


def _reliance(values: Mapping[str, Any]) -> dict[str, float]:
    least = {str(part): float(value) for part, value in values.items()}
    if not set(least) <= set(FACE_PARTS) or not all(0 <= value <= 2 for value in least.values()):
        raise InputError(f"reliance: expected {', '.join(FACE_PARTS)} in 0..2, found {least}")
    return least
