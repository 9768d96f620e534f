"""What commands write: folders that must be new, and JSON files that are there whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from edge_runtime.errors import InputError
from edge_runtime.storage.files import replacing


def check_new_folder(folder: Path) -> None:
    """Refuse to write over anything.

    Raises:
        InputError: a folder with something in it, or a file.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder}: expected a new or empty folder, found something there; name another")


def write_json(path: str | Path, document: Any) -> None:
    """Write an indented JSON file whole or not at all."""
    with replacing(path) as draft:
        draft.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
