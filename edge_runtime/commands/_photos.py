"""The photos that a command line names."""

from __future__ import annotations

import sys
from pathlib import Path

from edge_runtime.errors import InputError
from edge_runtime.pictures.folder import list_images


def list_photos(paths: list[Path]) -> list[Path]:
    """Every photo named, and every photo in the folders named, in order and once each.

    What a folder holds beside photos is said on standard error, in one line a folder.

    Raises:
        InputError: something named is not there, or a folder holds no photo.
    """
    found: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            found.update(dict.fromkeys(list_images(path, note)))
        elif path.is_file():
            found[path] = None
        else:
            raise InputError(f"{path}: expected a photo or a folder of photos, found neither; check the path")
    return list(found)


def note(text: str) -> None:
    """Say something that no result depends on."""
    print(f"familiar: note: {text}", file=sys.stderr)
