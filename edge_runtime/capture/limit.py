"""What a capture process may take: a few of the largest pictures allowed, and no more, whatever it is sent."""

from __future__ import annotations

import resource
from pathlib import Path

import cv2

from edge_runtime.errors import CameraError

_PICTURES = 8
"""Pictures at once, of three bytes a pixel: one decoded, one converted, and a decoder's reference pictures (16 of one
and a half bytes a pixel at most, ITU-T H.264, A.3.1)."""
_LIBRARIES_BYTES = 96 << 20
"""What decoders, and their threads' stacks, take besides."""


class PictureLimit:
    """The largest picture of a camera, and the memory that follows from it."""

    def __init__(self, camera: str, max_megapixels: float) -> None:
        self._camera, self._max_megapixels = camera, max_megapixels

    @property
    def memory_bytes(self) -> int:
        """What pictures and decoders may take, beside what the program took before the first."""
        return _LIBRARIES_BYTES + int(_PICTURES * 3 * self._max_megapixels * 1e6)

    def bound_memory(self) -> None:
        """Limit the process's private memory (getrlimit(2), RLIMIT_DATA), for it and all that it starts.

        Memory shared with the daemon is not in it; pictures there are bounded by :meth:`check`.
        """
        limit = _private_bytes() + self.memory_bytes
        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))

    def check(self, height: int, width: int) -> None:
        """See that a picture is not too large.

        Raises:
            CameraError: it is.
        """
        if height * width > self._max_megapixels * 1e6:
            raise CameraError(
                f"camera {self._camera}: expected pictures of at most {self._max_megapixels:g} megapixels, found "
                f"{width}x{height}; set the camera to a smaller size, or raise max_megapixels"
            )

    def exceeded(self) -> str:
        """What to say where memory did not suffice."""
        return (
            f"camera {self._camera}: expected pictures of at most {self._max_megapixels:g} megapixels, found one that "
            f"takes more than {self.memory_bytes >> 20} MiB; set the camera to a smaller size, or raise max_megapixels"
        )


def no_memory(error: Exception) -> bool:
    """Whether an error says that memory was refused."""
    return isinstance(error, MemoryError) or (isinstance(error, cv2.error) and error.code == cv2.Error.StsNoMem)


def _private_bytes() -> int:
    """Private writable memory of this process (proc_pid_status(5), VmData)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmData:"):
            return int(line.split()[1]) << 10
    return 0
