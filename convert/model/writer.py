"""Writes a bundle whole or not at all: in a folder beside the target, checked as a device checks it, then renamed."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_runtime.bundle.folder import Bundle, file_digest
from edge_runtime.bundle.manifest import MANIFEST, Manifest
from edge_runtime.errors import UsageError
from edge_runtime.storage.files import replacing_folder


def check_target(target: Path, replace: bool) -> None:
    """Say early that a bundle could not go to ``target``.

    Raises:
        UsageError: something is there that may not be replaced.
    """
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise UsageError(f"--out {target}: expected a new folder, found a file or link; name another")
    if not target.is_dir() or not any(target.iterdir()):
        return
    if not (target / MANIFEST).is_file():
        raise UsageError(f"--out {target}: expected a new folder or a bundle, found other files; name another")
    if not replace:
        raise UsageError(f"--out {target}: expected a new folder, found a bundle; name another or say --replace")


@contextlib.contextmanager
def drafted(target: Path, replace: bool = False) -> Iterator[Path]:
    """Give a folder to write a bundle's files to, which becomes ``target`` when the block ends well.

    With ``replace``, the old bundle is moved aside first and comes back if the new one cannot take its place.

    Raises:
        UsageError: as for :func:`check_target`.
        BundleError: what was written is not a bundle.
    """
    check_target(target, replace)
    with replacing_folder(target) as draft:
        yield draft
        Bundle(draft)
        check_target(target, replace)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write ``manifest.json`` over the files that lie in ``folder``: their sha256 and sizes enter it."""
    files = {path.name: file_digest(path) for path in sorted(folder.iterdir())}
    document = dataclasses.replace(manifest, files=files).as_json()
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write a compressed .npz file; numpy's own signature takes no mapping, for a name may be its keyword."""
    np.savez_compressed(path, allow_pickle=False, **arrays)
