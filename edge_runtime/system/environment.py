"""What of the environment a process gets that reads what strangers may send: nothing that could be a secret."""

from __future__ import annotations

import os

_NEEDED = frozenset({"HOME", "LANG", "PATH", "TMPDIR", "TZ"})
_NEEDED_PREFIXES = ("LC_", "LD_", "PYTHON", "OPENCV_", "GST_", "LIBCAMERA_", "FAKETIME", "STANDIN_")
"""What Python, OpenCV's backends and camera programs are set up by. Nothing else reaches a process that reads what a
stranger may send: the environment of a daemon may hold the device key."""


def harmless_environment() -> dict[str, str]:
    """What a process of ours needs and no more."""
    return {name: value for name, value in os.environ.items() if name in _NEEDED or name.startswith(_NEEDED_PREFIXES)}
