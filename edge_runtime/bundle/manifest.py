"""``manifest.json``: what a bundle holds and how its models are to be used, as data; nothing is guessed from shapes."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from edge_runtime.bundle.cohort_correction import CohortCorrection
from edge_runtime.bundle.detector_spec import DetectorSpec
from edge_runtime.bundle.preprocessing import Preprocessing
from edge_runtime.errors import BundleError, InputError

SCHEMA = 1
MANIFEST = "manifest.json"
GOLDEN_COSINE = 0.99
"""Interpreters and kernels differ by a last bit here and there; a wrong model or colour order by far more."""
_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}\Z")
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
FACE_PARTS = ("eyes", "mouth")
"""What of a face may be covered."""


@dataclass(frozen=True)
class Manifest:
    """``manifest.json``, read and checked.

    Attributes:
        name: of the bundle.
        files: sha256 and size in bytes of every other file, by name.
        encoder_file: the .tflite file's name.
        preprocessing: what the encoder expects.
        embedding_size: length of an embedding.
        detector: name of the detector the training chips were made with, as ``yunet``.
        own_detector: that detector, where the bundle brings it along.
        strangers: how many real people stand behind the cohort's embeddings.
        golden_cosine: how near a device's outputs must come to the golden ones; at least ``GOLDEN_COSINE``.
        raw: the whole document, with recipe, run, metrics, licence, and lineage.
        realism: how real strangers differ from the cohort's; not at all where the bundle does not say.
        mirrored: whether an embedding is the mean of a face's and of its mirror image's.
        reliance: the least that an uncovered face's embedding relies on each part; empty where the bundle does not say.
    """

    name: str
    files: dict[str, tuple[str, int]]
    encoder_file: str
    preprocessing: Preprocessing
    embedding_size: int
    detector: str
    own_detector: DetectorSpec | None
    strangers: int
    golden_cosine: float
    raw: dict[str, Any] = field(repr=False)
    realism: CohortCorrection = field(default_factory=CohortCorrection)
    mirrored: bool = False
    reliance: dict[str, float] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str, where: str = MANIFEST) -> Manifest:
        """Read a manifest.

        Raises:
            BundleError: not JSON, of a newer schema, with a missing or wrong value or an unsafe file name.
        """
        try:
            raw = json.loads(text)
            schema = raw["schema"]
            if type(schema) is not int or schema != SCHEMA:
                newer = type(schema) is int and schema > SCHEMA
                raise BundleError(
                    f"{where}: expected schema {SCHEMA}, found {schema!r}; "
                    + ("upgrade familiar-edge" if newer else "make the bundle again")
                )
            files = {str(n): (str(f["sha256"]), int(f["bytes"])) for n, f in raw["files"].items()}
            unsafe = [n for n in files if not _SAFE_NAME.match(n) or n == MANIFEST]
            if unsafe:
                raise BundleError(f"{where}: expected plain file names, found {unsafe[0]!r}; do not use this bundle")
            vague = [n for n, (digest, size) in files.items() if not _SHA256.match(digest) or size < 0]
            if vague:
                raise BundleError(f"{where}: {vague[0]}: expected a sha256 and a size; make the bundle again")
            encoder = raw["encoder"]
            manifest = cls(
                str(raw["name"]),
                files,
                str(encoder["file"]),
                Preprocessing.from_json(encoder),
                int(encoder["code_size"]),
                str(raw["detector"]["name"]),
                DetectorSpec.from_json(raw["detector"], where) if "file" in raw["detector"] else None,
                int(raw["cohort"]["people"]),
                max(GOLDEN_COSINE, float(raw.get("golden", {}).get("cosine", GOLDEN_COSINE))),
                raw,
                CohortCorrection.from_json(raw["cohort"]["realism"])
                if "realism" in raw["cohort"]
                else CohortCorrection(),
                encoder.get("mirrored", False) is True,
                parse_reliance(encoder.get("reliance", {})),
            )
        except BundleError:
            raise
        except json.JSONDecodeError as error:
            raise BundleError(f"{where}: expected JSON, found none ({error}); copy the bundle again") from error
        except KeyError as error:
            raise BundleError(f"{where}: the value {error} is missing; make the bundle again") from error
        except (TypeError, IndexError, AttributeError, ValueError, OverflowError, RecursionError) as error:
            raise BundleError(f"{where}: a value is wrong ({error}); make the bundle again") from error
        named = [manifest.encoder_file, *(manifest.own_detector.files if manifest.own_detector else [])]
        if absent := [name for name in named if name not in files]:
            raise BundleError(f"{where}: names the file {absent[0]!r}, which it does not list; make the bundle again")
        if manifest.embedding_size < 1 or manifest.strangers < 0:
            raise BundleError(
                f"{where}: expected a code size above 0 and a number of strangers, "
                f"found {manifest.embedding_size} and {manifest.strangers}; make the bundle again"
            )
        return manifest

    def preprocessing_hash(self, detector_name: str) -> str:
        """sha256 over everything that shapes a chip before the encoder: alignment, template, colour, scale."""
        return preprocessing_hash(self.preprocessing, detector_name, self.mirrored)


def preprocessing_hash(preprocessing: Preprocessing, detector_name: str, mirrored: bool = False) -> str:
    """sha256 (hex) of the alignment's detector, the template, colour order, normalisation, and mirroring if any."""
    document: dict[str, Any] = {
        "alignment": detector_name,
        "colour": preprocessing.colour,
        "mean": list(preprocessing.mean),
        "std": list(preprocessing.std),
        "points": [list(point) for point in preprocessing.template.points],
        "size_wh": list(preprocessing.template.size_wh),
    }
    if mirrored:
        document["mirrored"] = True
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def parse_reliance(values: Mapping[str, object]) -> dict[str, float]:
    """What a manifest says of it.

    Raises:
        InputError: another part, or no number in 0..2.
    """
    least = {str(part): float(value) for part, value in values.items()}  # type: ignore[arg-type]
    if not set(least) <= set(FACE_PARTS) or not all(0 <= value <= 2 for value in least.values()):
        raise InputError(f"reliance: expected {', '.join(FACE_PARTS)} in 0..2, found {least}")
    return least
