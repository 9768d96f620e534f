"""What goes to a device: a folder with a manifest, checked byte for byte when it is opened.

The manifest carries the preprocessing as data, so that nothing about a model is guessed from its shape.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_runtime.bundle.left_out import ARRAYS as LEFT_OUT
from edge_runtime.bundle.looks import Looks
from edge_runtime.bundle.manifest import MANIFEST, Manifest
from edge_runtime.bundle.signature import SIGNATURE, check_signature
from edge_runtime.errors import BundleError, InputError
from edge_runtime.geometry.embeddings import normalise
from edge_runtime.schema.given_file import read_given
from edge_runtime.types import Floats, Pixels

LOOKS_FILE = "looks.npz"

_CARD = "CARD.md"
_MAX_MANIFEST_BYTES = 1 << 20


def file_digest(path: Path) -> tuple[str, int]:
    """(sha256 in hex, size in bytes) of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest(), path.stat().st_size


_MAX_ARRAYS_BYTES = 64 << 20
"""Of one .npz file of a bundle, unpacked; a device has little memory, and a small file can ask for all of it."""


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
            if manifest_path.is_symlink():
                raise OSError(f"{MANIFEST} is a link")
            data = read_given(manifest_path, _MAX_MANIFEST_BYTES)
            text = data.decode()
        except (OSError, UnicodeDecodeError) as error:
            raise BundleError(
                f"{self.path}: expected a bundle (a folder with {MANIFEST}), found none that can be read; "
                "run familiar bundle install released, make one with python -m convert model, or set [bundle] path"
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

    def card(self) -> str:
        """The model card, Markdown; "" where the bundle has none."""
        return (self.path / _CARD).read_text(errors="replace") if _CARD in self.manifest.files else ""

    def strangers(self) -> Floats:
        """The cohort's embeddings, float32 (N, D) of unit length.

        Raises:
            BundleError: the file is absent or of another shape.
        """
        (embeddings,) = self.arrays("cohort.npz", "codes")
        if (
            embeddings.dtype != np.int8
            or embeddings.ndim != 2
            or embeddings.shape[1] != self.manifest.embedding_size
            or not len(embeddings)
        ):
            raise BundleError(
                f"{self.path}/cohort.npz: expected int8 (N, {self.manifest.embedding_size}), "
                f"found {embeddings.dtype} {embeddings.shape}; make the bundle again"
            )
        return normalise(embeddings.astype(np.float32))[0]

    @cached_property
    def looks(self) -> Looks | None:
        """What is known of strangers by their look; None in a bundle that does not say.

        Raises:
            BundleError: file and manifest do not fit together.
        """
        sheet = self.manifest.looks
        if sheet is None:
            return None
        names = ("weights", "bias", "log_reached", "means", *(LEFT_OUT if sheet.cases else ()))
        arrays = dict(zip(names, self.arrays(LOOKS_FILE, *names), strict=True))
        try:
            looks = Looks.from_arrays(arrays, sheet)
        except (InputError, KeyError, TypeError, ValueError, IndexError) as error:
            raise BundleError(f"{self.path / LOOKS_FILE}: a value is wrong ({error}); make the bundle again") from error
        if looks.weights.shape[1] != self.manifest.embedding_size:
            raise BundleError(
                f"{self.path / LOOKS_FILE}: expected codes of {self.manifest.embedding_size}, found "
                f"{looks.weights.shape[1]}; make the bundle again"
            )
        return looks

    def golden(self) -> tuple[Pixels, Floats]:
        """Generated chips uint8 (N, h, w, 3) RGB and the embeddings float32 (N, D) of unit length they must give.

        Raises:
            BundleError: the file is absent, empty, or of another shape.
        """
        chips, embeddings = self.arrays("golden.npz", "chips", "codes")
        width, height = self.manifest.preprocessing.template.size_wh
        expected = (len(embeddings) if embeddings.ndim else 0, height, width, 3)
        if (
            chips.dtype != np.uint8
            or chips.shape != expected
            or embeddings.dtype.kind != "f"
            or embeddings.shape != (len(chips), self.manifest.embedding_size)
            or not len(chips)
        ):
            raise BundleError(
                f"{self.path}/golden.npz: expected chips uint8 (N, {height}, {width}, 3) and codes float "
                f"(N, {self.manifest.embedding_size}), found {chips.dtype} {chips.shape} and "
                f"{embeddings.dtype} {embeddings.shape}; "
                "make the bundle again"
            )
        return chips, np.asarray(embeddings, np.float32)

    def arrays(self, name: str, *keys: str) -> list[NDArray[Any]]:
        """Arrays of one of the bundle's .npz files.

        Raises:
            BundleError: it is not listed, damaged, or lacks one.
        """
        if name not in self.manifest.files:
            raise BundleError(f"{self.path}: expected {name}, which the manifest does not list; make the bundle again")
        try:
            with zipfile.ZipFile(self.path / name) as packed:
                size = sum(entry.file_size for entry in packed.infolist())
            if size > _MAX_ARRAYS_BYTES:
                raise ValueError(f"{size >> 20} MiB once unpacked, of at most {_MAX_ARRAYS_BYTES >> 20}")
            with np.load(self.path / name, allow_pickle=False) as archive:
                return [archive[key] for key in keys]
        # numpy reads headers with Python's tokeniser: a damaged archive raises whatever that and zipfile come to.
        except Exception as error:
            raise BundleError(f"{self.path / name}: cannot be read ({error}); copy the bundle again") from error
