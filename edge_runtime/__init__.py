"""The device side of Familiar: a camera in, names out. Never imports tensorflow or keras.

The names below are what programs build on; each is loaded when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edge_runtime.bundle.folder import Bundle
    from edge_runtime.config import Config, load_config
    from edge_runtime.decision.matcher import Matcher
    from edge_runtime.errors import FamiliarError
    from edge_runtime.faces.chain import FaceChain
    from edge_runtime.gallery.store import Gallery
    from edge_runtime.pipeline import Pipeline
    from edge_runtime.recognizer import Recognizer
    from edge_runtime.types import Event, Frame, Match

__all__ = [
    "Bundle",
    "Config",
    "Event",
    "FaceChain",
    "FamiliarError",
    "Frame",
    "Gallery",
    "Match",
    "Matcher",
    "Pipeline",
    "Recognizer",
    "load_config",
]

_MODULES = {
    "Bundle": "bundle.folder",
    "Config": "config",
    "Event": "types",
    "FaceChain": "faces.chain",
    "FamiliarError": "errors",
    "Frame": "types",
    "Gallery": "gallery.store",
    "Match": "types",
    "Matcher": "decision.matcher",
    "Pipeline": "pipeline",
    "Recognizer": "recognizer",
    "load_config": "config",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
