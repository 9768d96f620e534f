"""JSON files that are there whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from edge_runtime.storage.files import replacing


def write_json(path: str | Path, document: Any) -> None:
    """Write an indented JSON file whole or not at all."""
    with replacing(path) as draft:
        draft.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
