"""Where frames come from: one file a source, opened by ``name:argument``; an address with ``://`` is a stream."""

from __future__ import annotations

from typing import Any

from edge_runtime.errors import ConfigError
from edge_runtime.protocols import FrameSource
from edge_runtime.schema.backends import backend_names, load_backend
from edge_runtime.text.address import Address

_HERE = __name__


def open_source(spec: str | Address, camera: str) -> FrameSource:
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


def load_source(spec: str | Address, camera: str) -> tuple[Any, str]:
    """The module that a source's name means, with what it imports, and the argument; see :func:`open_source`.

    Raises:
        ConfigError: no such source.
    """
    address = Address(spec)
    if not address:
        raise ConfigError(f'[camera.{camera}]: expected a source, found none; add the line source = "v4l2:0"')
    name, argument = address.split()
    names = backend_names(_HERE)
    if argument.startswith("//") and name not in names:
        name, argument = "stream", address.reveal()
    if name not in names:
        raise ConfigError(
            f"camera {camera}: source {address!r}: expected one of {', '.join(names)}, or an address as rtsp://…; "
            "check the spelling"
        )
    if name != "stream" and "://" in argument:
        raise ConfigError(
            f"camera {camera}: source {address!r}: expected {name}: and no address behind it, found one; "
            "write the address alone"
        )
    return load_backend(_HERE, name, f"camera {camera}: source"), argument


def check_source(spec: str | Address, camera: str) -> None:
    """See that a source is written as it must be, without opening it.

    Raises:
        ConfigError: no such source, or an argument it does not take.
    """
    module, argument = load_source(spec, camera)
    module.parse(argument, camera)
