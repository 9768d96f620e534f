"""What goes to a device: a folder with a manifest, checked byte for byte when it is opened.

The manifest carries the preprocessing as data, so that nothing about a model is guessed from its shape.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_runtime.decision.realism import Realism
from edge_runtime.detectors._sheet import DetectorSheet
from edge_runtime.errors import BundleError, SelfTestError
from edge_runtime.faces.encoder import Preprocessing, TfliteEncoder, normalise
from edge_runtime.faces.occlusion import parse_reliance
from edge_runtime.interpreters import open_interpreter
from edge_runtime.protocols import Detector
from edge_runtime.signature import SIGNATURE, check_signature
from edge_runtime.types import Floats, Pixels

SCHEMA = 1
MANIFEST = "manifest.json"
DETECTOR_GOLDEN = "detector_golden.npz"
GOLDEN_COSINE = 0.99
"""Interpreters and kernels differ by a last bit here and there; a wrong model or colour order by far more."""

_GOLDEN_PX = 3.0
_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}\Z")
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
_MAX_MANIFEST_BYTES = 1 << 20


@dataclass(frozen=True)
class Manifest:
    """``manifest.json``, read and checked.

    Attributes:
        name: of the bundle.
        files: sha256 and size in bytes of every other file, by name.
        encoder_file: the .tflite file's name.
        preprocessing: what the encoder expects.
        code_size: length of a code.
        detector: name of the detector the training chips were made with, as ``yunet``.
        own_detector: that detector, where the bundle brings it along.
        strangers: how many real people stand behind the cohort's codes.
        golden_cosine: how near a device's outputs must come to the golden ones; at least ``GOLDEN_COSINE``.
        raw: the whole document, with recipe, run, metrics, licence, and lineage.
        realism: how real strangers differ from the cohort's; not at all where the bundle does not say.
        mirrored: whether a code is the mean of a face's and of its mirror image's.
        reliance: the least that an uncovered face's code relies on each part; empty where the bundle does not say.
    """

    name: str
    files: dict[str, tuple[str, int]]
    encoder_file: str
    preprocessing: Preprocessing
    code_size: int
    detector: str
    own_detector: DetectorSheet | None
    strangers: int
    golden_cosine: float
    raw: dict[str, Any] = field(repr=False)
    realism: Realism = field(default_factory=Realism)
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
                DetectorSheet.from_json(raw["detector"], where) if "file" in raw["detector"] else None,
                int(raw["cohort"]["people"]),
                max(GOLDEN_COSINE, float(raw.get("golden", {}).get("cosine", GOLDEN_COSINE))),
                raw,
                Realism.from_json(raw["cohort"]["realism"]) if "realism" in raw["cohort"] else Realism(),
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
        if manifest.code_size < 1 or manifest.strangers < 0:
            raise BundleError(
                f"{where}: expected a code size above 0 and a number of strangers, "
                f"found {manifest.code_size} and {manifest.strangers}; make the bundle again"
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


def file_digest(path: Path) -> tuple[str, int]:
    """(sha256 in hex, size in bytes) of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest(), path.stat().st_size


class Bundle:
    """A bundle on disk whose files all are what its manifest says."""

    def __init__(self, path: str | Path, trusted_keys: Sequence[str] = ()) -> None:
        """Read the manifest and check every file, and the signature if there is one.

        Args:
            path: the bundle's folder.
            trusted_keys: public keys, one of which must have signed it; empty: nobody need have.

        Raises:
            BundleError: no bundle there, a file missing, altered, or not listed, or a signature that is wrong,
                or missing although keys are trusted.
        """
        self.path = Path(path)
        manifest_path = self.path / MANIFEST
        try:
            if manifest_path.is_symlink() or manifest_path.stat().st_size > _MAX_MANIFEST_BYTES:
                raise OSError(f"{MANIFEST} is a link or larger than a manifest can be")
            data = manifest_path.read_bytes()
            text = data.decode()
        except (OSError, UnicodeDecodeError) as error:
            raise BundleError(
                f"{self.path}: expected a bundle (a folder with {MANIFEST}), found none that can be read; "
                "make one with python -m convert model, or set [bundle] path"
            ) from error
        # Before anything of it is believed.
        self.signed_by = check_signature(self.path, data, trusted_keys)
        self.manifest = Manifest.parse(text, str(manifest_path))
        self._check_files()
        self.hash = hashlib.sha256(data).hexdigest()
        self.encoder_hash = self.manifest.files[self.manifest.encoder_file][0]

    def _check_files(self) -> None:
        for name, (digest, size) in self.manifest.files.items():
            path = self.path / name
            if path.is_symlink() or not path.is_file():
                raise BundleError(f"{path}: expected a file of {size} bytes, found none; copy the bundle again")
            found_digest, found_size = file_digest(path)
            if (found_digest, found_size) != (digest, size):
                raise BundleError(
                    f"{path}: expected sha256 {digest[:12]}… and {size} bytes, "
                    f"found {found_digest[:12]}… and {found_size}; the file was altered, copy the bundle again"
                )
        listed = {*self.manifest.files, MANIFEST, SIGNATURE}
        extra = sorted(p.name for p in self.path.iterdir() if p.name not in listed and not p.name.startswith("."))
        if extra:
            raise BundleError(f"{self.path / extra[0]}: not listed in the manifest; remove it or make the bundle again")

    def open_encoder(self, interpreter: str = "auto", threads: int = 1) -> TfliteEncoder:
        """The bundle's encoder on an installed interpreter.

        Raises:
            InterpreterError: none is installed, or it refuses the model.
            BundleError: model and manifest do not fit together.
        """
        opened = open_interpreter(interpreter, self.path / self.manifest.encoder_file, threads)
        encoder = TfliteEncoder(opened, self.manifest.preprocessing, self.manifest.mirrored)
        if encoder.code_size != self.manifest.code_size:
            raise BundleError(
                f"{self.path}: expected codes of {self.manifest.code_size}, the model gives {encoder.code_size}; "
                "make the bundle again"
            )
        return encoder

    def strangers(self) -> Floats:
        """The cohort's codes, float32 (N, D) of unit length.

        Raises:
            BundleError: the file is absent or of another shape.
        """
        (codes,) = self._arrays("cohort.npz", "codes")
        if codes.dtype != np.int8 or codes.ndim != 2 or codes.shape[1] != self.manifest.code_size or not len(codes):
            raise BundleError(
                f"{self.path}/cohort.npz: expected int8 (N, {self.manifest.code_size}), "
                f"found {codes.dtype} {codes.shape}; make the bundle again"
            )
        return normalise(codes.astype(np.float32))[0]

    def golden(self) -> tuple[Pixels, Floats]:
        """Generated chips uint8 (N, h, w, 3) RGB and the codes float32 (N, D) of unit length they must give.

        Raises:
            BundleError: the file is absent, empty, or of another shape.
        """
        chips, codes = self._arrays("golden.npz", "chips", "codes")
        width, height = self.manifest.preprocessing.template.size_wh
        expected = (len(codes) if codes.ndim else 0, height, width, 3)
        if (
            chips.dtype != np.uint8
            or chips.shape != expected
            or codes.dtype.kind != "f"
            or codes.shape != (len(chips), self.manifest.code_size)
            or not len(chips)
        ):
            raise BundleError(
                f"{self.path}/golden.npz: expected chips uint8 (N, {height}, {width}, 3) and codes float "
                f"(N, {self.manifest.code_size}), found {chips.dtype} {chips.shape} and {codes.dtype} {codes.shape}; "
                "make the bundle again"
            )
        return chips, np.asarray(codes, np.float32)

    def check_golden(self, encoder: TfliteEncoder) -> float:
        """Encode the golden chips and compare; returns the smallest cosine.

        Raises:
            SelfTestError: a cosine below the manifest's: the device computes something else.
        """
        chips, expected = self.golden()
        codes, _ = encoder.encode(chips)
        lowest = float((codes * expected).sum(1).min())
        floor = self.manifest.golden_cosine
        if not math.isfinite(lowest) or lowest < floor:
            raise SelfTestError(
                f"{self.path}: expected the golden outputs (cosine >= {floor:.4f}), found {lowest:.4f}; "
                "this interpreter computes something else, install the other one"
            )
        return lowest

    def check_golden_faces(self, detector: Detector) -> None:
        """Look at the golden pictures and compare; nothing to do with a detector that is not the bundle's own.

        Raises:
            SelfTestError: other faces, or not where the bundle's maker found them: the device computes something else.
        """
        if self.manifest.own_detector is None or detector.name != self.manifest.own_detector.name:
            return
        keys = ("pictures", "faces", "xyxy", "landmarks")
        pictures, counts, xyxy, landmarks = self._arrays(DETECTOR_GOLDEN, *keys)
        ends = np.cumsum(counts)
        for picture, count, end in zip(pictures, counts, ends, strict=True):
            found = detector.detect(picture)
            expected = np.concatenate([xyxy, landmarks.reshape(-1, 10)], 1)[end - count : end]
            seen = np.concatenate([found.xyxy, found.landmarks.reshape(-1, 10)], 1)
            off = np.abs(expected[:, None] - seen[None]).max(2).min(1, initial=np.inf)
            if (worst := float(off.max(initial=0.0))) > _GOLDEN_PX:
                raise SelfTestError(
                    f"{self.path}: expected the golden faces and landmarks within {_GOLDEN_PX:g} px, found them "
                    f"{worst:.1f} px off; this interpreter computes something else, install the other one"
                )

    def _arrays(self, name: str, *keys: str) -> list[NDArray[Any]]:
        if name not in self.manifest.files:
            raise BundleError(f"{self.path}: expected {name}, which the manifest does not list; make the bundle again")
        try:
            with np.load(self.path / name, allow_pickle=False) as archive:
                return [archive[key] for key in keys]
        # numpy reads headers with Python's tokeniser: a damaged archive raises whatever that and zipfile come to.
        except Exception as error:
            raise BundleError(f"{self.path / name}: cannot be read ({error}); copy the bundle again") from error
