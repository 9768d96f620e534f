"""Pictures that strangers may have made: bounded in bytes and time, and decoded in a process that may die of them.

What comes out is a PNG of our own, upright and within the limits; only that reaches the daemon. See ``decoding``.
"""

from __future__ import annotations

import asyncio
import json
import sys

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from edge_runtime.errors import FamiliarError, ImageError, revive
from edge_runtime.system.environment import harmless_environment

_BODY_S = 60.0
"""How long a body may take to arrive."""
_DECODE_S = 20.0
_MOST_AT_ONCE = 2
_PROGRAM = "import sys; sys.path[:] = {path!r}; from edge_runtime.web.decoding import serve; serve()"


async def body_of(request: Request, max_bytes: int) -> bytes:
    """The whole body.

    Raises:
        HTTPException: 413 where it is larger, 408 where it takes too long, 400 where the sender goes away.
    """
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > max_bytes:
        raise HTTPException(413, f"expected at most {max_bytes >> 10} KiB, received more; send something smaller")
    body = bytearray()
    try:
        async with asyncio.timeout(_BODY_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > max_bytes:
                    raise HTTPException(413, f"expected at most {max_bytes >> 10} KiB, received more")
    except TimeoutError as error:
        raise HTTPException(408, f"expected the whole body within {_BODY_S:g} s") from error
    except ClientDisconnect as error:
        raise HTTPException(400, "expected the whole body, received a part of it") from error
    return bytes(body)


class Decoder:
    """Decodes pictures, each in a process of its own."""

    def __init__(self, max_megapixels: float) -> None:
        self._max_megapixels = max_megapixels
        self._slots = asyncio.Semaphore(_MOST_AT_ONCE)

    async def png(self, picture: bytes) -> bytes:
        """The picture as a PNG: RGB, upright, of at most the megapixels allowed.

        Raises:
            ImageError: it cannot be decoded, or not within time and memory.
        """
        async with self._slots:
            # Not a fork: this process has threads.
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-c",
                _PROGRAM.format(path=sys.path),
                str(self._max_megapixels),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                env=harmless_environment(),
            )
            try:
                async with asyncio.timeout(_DECODE_S):
                    output, _ = await process.communicate(picture)
            except TimeoutError as error:
                raise ImageError(f"picture: cannot be decoded within {_DECODE_S:g} s; send another") from error
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
        if process.returncode == 0:
            return output
        raise _error(output)


def _error(output: bytes) -> FamiliarError:
    """What the process said before it ended, or that it died."""
    try:
        name, message = json.loads(output)
        return revive(str(name), str(message))
    except (ValueError, TypeError):
        return ImageError("picture: the decoder died of it; send another")
