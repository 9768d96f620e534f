"""Files that are there whole or not at all."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Give a path to write to, which takes the place of ``path`` when the block ends well and is removed if not.

    The name keeps its suffix (Keras and matplotlib go by it) and starts with a dot; a process killed in the
    middle leaves at most that one file, which the next attempt overwrites.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".partial-{target.name}")
    try:
        yield draft
        with draft.open("rb") as stream:
            os.fsync(stream.fileno())
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write a text file whole or not at all."""
    with replacing(path) as draft:
        draft.write_text(text, encoding="utf-8")


def write_json(path: str | Path, document: Any) -> None:
    """Write an indented JSON file whole or not at all."""
    write_text(path, json.dumps(document, indent=2, ensure_ascii=False) + "\n")
