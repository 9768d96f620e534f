"""Where frames come from: one file a source, opened by ``name:argument``; an address with ``://`` is a stream."""

from __future__ import annotations

from typing import Any

from edge_runtime.protocols import FrameSource
from edge_runtime.schema.backends import backend_names, load_backend

_HERE = __name__


def open_source(spec: str, camera: str) -> FrameSource:
    """Open a source.

    Args:
        spec: ``v4l2:0``, ``rpicam:0``, ``rtsp://…``, ``http://…``, ``file:clip.mp4``, ``dir:photos`` or
            ``synthetic:``.
        camera: the camera's name, which every frame carries.

    Raises:
        ConfigError: no such source, or an argument it does not take.
        CameraError: what the argument names is not there.
    """
    module, argument = load_source(spec, camera)
    source: FrameSource = module.open(argument, camera)
    return source


def load_source(spec: str, camera: str) -> tuple[Any, str]:
    """The module that a source's name means, with what it imports, and the argument; see :func:`open_source`.

    Raises:
        ConfigError: no such source.
    """
    name, _, argument = spec.partition(":")
    if argument.startswith("//") and name not in backend_names(_HERE):
        name, argument = "stream", spec
    return load_backend(_HERE, name, f"camera {camera}: source"), argument
