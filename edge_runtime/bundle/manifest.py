"""``manifest.json``: what a bundle holds and how its models are to be used, as data; nothing is guessed from shapes.

One class reads and writes it, so that what ``convert`` writes is what a device reads.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from edge_runtime.bundle.cohort_correction import CohortCorrection
from edge_runtime.bundle.detector_spec import DetectorSheet, DetectorSpec
from edge_runtime.bundle.encoder_spec import EncoderSpec
from edge_runtime.bundle.figures import Metrics, Record, record
from edge_runtime.bundle.looks import LooksSheet
from edge_runtime.bundle.preprocessing import Preprocessing, preprocessing_hash
from edge_runtime.errors import BundleError

SCHEMA = 1
MANIFEST = "manifest.json"
GOLDEN_COSINE = 0.99
"""Interpreters and kernels differ by a last bit here and there; a wrong model or colour order by far more."""
_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}\Z")
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")


@dataclass(frozen=True, slots=True)
class CohortSpec:
    """The manifest's section ``cohort``.

    Attributes:
        people: how many real people stand behind the cohort's embeddings.
        codes: how many embeddings there are; None where the bundle does not say.
        source: whose faces stand behind them, in words.
        realism: how real strangers differ from the cohort's; not at all where the bundle does not say.
    """

    people: int
    codes: int | None = None
    source: str = ""
    realism: CohortCorrection = field(default_factory=CohortCorrection)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`as_json`.

        Raises:
            InputError: a value out of range.
            KeyError, TypeError, ValueError: a value missing, or of another kind.
        """
        codes, realism = document.get("codes"), document.get("realism")
        return cls(
            int(document["people"]),
            None if codes is None else int(codes),
            str(document.get("source", "")),
            CohortCorrection() if realism is None else CohortCorrection.from_json(realism),
        )

    def as_json(self) -> Record:
        """JSON-ready."""
        return {
            "people": self.people,
            **({} if self.codes is None else {"codes": self.codes}),
            **({"source": self.source} if self.source else {}),
            "realism": self.realism.as_json(),
        }


@dataclass(frozen=True)
class Manifest:
    """``manifest.json``, checked.

    Attributes:
        name: of the bundle.
        encoder: its file and how it is used.
        detector_sheet: the detector that the training chips were made with, and its file where the bundle has it.
        cohort: of the strangers behind the calibration.
        files: sha256 and size in bytes of every other file, by name.
        golden_cosine: how near a device's outputs must come to the golden ones; at least ``GOLDEN_COSINE``.
        golden_chips: how many golden outputs there are; None where the bundle does not say.
        looks: of strangers who look alike; None in a bundle that does not say.
        metrics: what was measured.
        created: when, ISO 8601.
        recipe: how it was converted.
        run: what is kept of the training.
        lineage: where data and embeddings came from, one sentence each.
        licence: of the weights.
        versions: of the packages that made it.
        unknown: keys that this version has no field for, by section. They change nothing and are written again.
    """

    name: str
    encoder: EncoderSpec
    detector_sheet: DetectorSheet
    cohort: CohortSpec
    files: dict[str, tuple[str, int]] = field(default_factory=dict)
    golden_cosine: float = GOLDEN_COSINE
    golden_chips: int | None = None
    looks: LooksSheet | None = None
    metrics: Metrics = field(default_factory=Metrics)
    created: str = ""
    recipe: Record = field(default_factory=dict)
    run: Record = field(default_factory=dict)
    lineage: tuple[str, ...] = ()
    licence: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    unknown: Record = field(default_factory=dict, repr=False)

    @classmethod
    def parse(cls, text: str, where: str = MANIFEST) -> Self:
        """Read a manifest.

        Raises:
            BundleError: not JSON, of a newer schema, with a missing or wrong value or an unsafe file name.
        """
        try:
            document = json.loads(text)
            _check_schema(document["schema"], where)
            manifest = cls._from_json(document, where)
        except BundleError:
            raise
        except json.JSONDecodeError as error:
            raise BundleError(f"{where}: expected JSON, cannot read it ({error}); copy the bundle again") from error
        except KeyError as error:
            raise BundleError(f"{where}: the value {error} is missing; make the bundle again") from error
        except (TypeError, IndexError, AttributeError, ValueError, OverflowError, RecursionError) as error:
            raise BundleError(f"{where}: a value is wrong ({error}); make the bundle again") from error
        manifest._check(where)
        return manifest

    @classmethod
    def _from_json(cls, document: Record, where: str) -> Self:
        golden = record(document, "golden")
        chips, looks = golden.get("chips"), document.get("looks")
        manifest = cls(
            name=str(document["name"]),
            encoder=EncoderSpec.from_json(document["encoder"]),
            detector_sheet=DetectorSheet.from_json(document["detector"], where),
            cohort=CohortSpec.from_json(document["cohort"]),
            files={str(name): (str(file["sha256"]), int(file["bytes"])) for name, file in document["files"].items()},
            golden_cosine=max(GOLDEN_COSINE, float(golden.get("cosine", GOLDEN_COSINE))),
            golden_chips=None if chips is None else int(chips),
            looks=None if looks is None else LooksSheet.from_json(looks),
            metrics=Metrics.from_json(record(document, "metrics")),
            created=str(document.get("created", "")),
            recipe=record(document, "recipe"),
            run=record(document, "run"),
            lineage=tuple(map(str, document.get("lineage", ()))),
            licence=str(document.get("licence", "")),
            versions={str(name): str(version) for name, version in record(document, "versions").items()},
        )
        return replace(manifest, unknown=_beyond(document, manifest.as_json()))

    def _check(self, where: str) -> None:
        """What must hold between the values.

        Raises:
            BundleError: it does not.
        """
        unsafe = [name for name in self.files if not _SAFE_NAME.match(name) or name == MANIFEST]
        if unsafe:
            raise BundleError(f"{where}: expected plain file names, found {unsafe[0]!r}; do not use this bundle")
        vague = [name for name, (digest, size) in self.files.items() if not _SHA256.match(digest) or size < 0]
        if vague:
            raise BundleError(f"{where}: {vague[0]}: expected a sha256 and a size; make the bundle again")
        named = [self.encoder_file, *(self.own_detector.files if self.own_detector else [])]
        if absent := [name for name in named if name not in self.files]:
            raise BundleError(f"{where}: names the file {absent[0]!r}, which it does not list; make the bundle again")
        if self.embedding_size < 1 or self.strangers < 0:
            raise BundleError(
                f"{where}: expected a code size above 0 and a number of strangers, "
                f"found {self.embedding_size} and {self.strangers}; make the bundle again"
            )

    def as_json(self) -> Record:
        """The whole document, JSON-ready; :meth:`parse` reads it back to an equal manifest."""
        golden = {"chips": self.golden_chips, "cosine": self.golden_cosine}
        told = {
            "created": self.created,
            "looks": self.looks.as_json() if self.looks else None,
            "recipe": self.recipe,
            "run": self.run,
            "metrics": self.metrics.as_json(),
            "lineage": list(self.lineage),
            "licence": self.licence,
            "versions": self.versions,
        }
        document = {
            "schema": SCHEMA,
            "name": self.name,
            "encoder": self.encoder.as_json(),
            "detector": self.detector_sheet.as_json(),
            "cohort": self.cohort.as_json(),
            "golden": {key: value for key, value in golden.items() if value is not None},
            **{key: value for key, value in told.items() if value},
            "files": {name: {"sha256": digest, "bytes": size} for name, (digest, size) in self.files.items()},
        }
        return _with(document, self.unknown)

    @property
    def encoder_file(self) -> str:
        """The .tflite file's name."""
        return self.encoder.file

    @property
    def preprocessing(self) -> Preprocessing:
        """What the encoder expects."""
        return self.encoder.preprocessing

    @property
    def embedding_size(self) -> int:
        """Length of an embedding."""
        return self.encoder.embedding_size

    @property
    def mirrored(self) -> bool:
        """Whether an embedding is the mean of a face's and of its mirror image's."""
        return self.encoder.mirrored

    @property
    def reliance(self) -> dict[str, float]:
        """The least that an uncovered face's embedding relies on each part."""
        return self.encoder.reliance

    @property
    def detector(self) -> str:
        """Name of the detector the training chips were made with."""
        return self.detector_sheet.name

    @property
    def own_detector(self) -> DetectorSpec | None:
        """That detector, where the bundle brings it along."""
        return self.detector_sheet.spec

    @property
    def strangers(self) -> int:
        """How many real people stand behind the cohort's embeddings."""
        return self.cohort.people

    @property
    def realism(self) -> CohortCorrection:
        """How real strangers differ from the cohort's."""
        return self.cohort.realism

    def preprocessing_hash(self, detector_name: str) -> str:
        """sha256 over everything that shapes a chip before the encoder: alignment, template, colour, scale."""
        return preprocessing_hash(self.preprocessing, detector_name, self.mirrored)


def _check_schema(schema: object, where: str) -> None:
    if type(schema) is not int or schema != SCHEMA:
        newer = type(schema) is int and schema > SCHEMA
        raise BundleError(
            f"{where}: expected schema {SCHEMA}, found {schema!r}; "
            + ("upgrade familiar-edge" if newer else "make the bundle again")
        )


def _beyond(document: Record, known: Record) -> Record:
    """What a document says besides what is known of it, section by section; a list of files is known whole."""
    beyond: Record = {}
    for key, value in document.items():
        if key not in known:
            beyond[key] = value
        elif key != "files" and isinstance(value, dict) and isinstance(known[key], dict):
            beyond[key] = _beyond(value, known[key])
    return {key: value for key, value in beyond.items() if value != {} or key not in known}


def _with(document: Record, more: Record) -> Record:
    """A document and what it lacks of another one."""
    whole = more | document
    for key in document.keys() & more.keys():
        if isinstance(document[key], dict) and isinstance(more[key], dict):
            whole[key] = _with(document[key], more[key])
    return whole
