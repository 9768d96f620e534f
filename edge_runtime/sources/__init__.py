"""Where frames come from: one file a source, opened by ``name:argument``; an address with ``://`` is a stream."""

from __future__ import annotations

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
    name, _, argument = spec.partition(":")
    if argument.startswith("//") and name not in backend_names(_HERE):
        name, argument = "stream", spec
    source: FrameSource = load_backend(_HERE, name, f"camera {camera}: source").open(argument, camera)
    return source
