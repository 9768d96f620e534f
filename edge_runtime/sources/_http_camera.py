"""A camera that answers HTTP with JPEG files: one after the other in one answer, or one a request."""

from __future__ import annotations

import http.client
import random
import ssl
import time
from collections import deque
from typing import Any
from urllib import request
from urllib.error import HTTPError
from urllib.parse import SplitResult, unquote, urlunsplit

import numpy as np

from edge_runtime.errors import CameraError
from edge_runtime.sources._jpeg_stream import LARGEST_BYTES, START_OF_IMAGE, JpegStream
from edge_runtime.text.address import Address, split_url
from edge_runtime.timing.retry import delay_s
from edge_runtime.types import Pixels

_TIMEOUT_S = 8.0
"""Without a byte; below the usual ``deadline_s``, so that the reason is told and not only the silence."""
_PIECE_BYTES = 1 << 16
_MOST_FAILURES = 6
"""Requests in a row; what lasts longer is a lost camera, which is opened anew."""
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.2, 5.0
_ENOUGH_BYTES = 4096
"""In which a stream's first picture begins."""
_ADVICE = {401: "user and password", 403: "user and password", 404: "the path"}
_NO_PICTURE = np.empty((1, 0), np.uint8)
_FAILURES = (OSError, http.client.HTTPException, ValueError)


class HttpPictures:
    """JPEG files of one address, read as from OpenCV's ``VideoCapture``.

    Attributes:
        fps: how often a still picture is asked for, a second.
    """

    def __init__(self, url: str, camera: str, fps: float) -> None:
        """Ask once, and see from the answer which kind of camera it is.

        Raises:
            CameraError: the camera refuses, or gives pictures of another format.
            OSError, HTTPException, ValueError: it cannot be asked like this, or sends neither kind of pictures.
        """
        self.fps = fps
        self._address = Address(url)
        self._camera = camera
        parts = split_url(url)
        self._url = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
        self._opener = _opener(parts)
        self._files: deque[bytes | None] = deque()
        self._answer = self._ask()
        self._stream = JpegStream()
        self._due_s, self._failures = time.monotonic(), 0
        kind = self._answer.headers.get_content_type()
        first = b""
        while (
            START_OF_IMAGE not in first and len(first) < _ENOUGH_BYTES and (piece := self._answer.read1(_PIECE_BYTES))
        ):
            first += piece
        # A length belongs to one picture; streams have none.
        has_length = self._answer.headers.get("Content-Length") is not None
        self._still = kind.startswith("image/") or (first.startswith(START_OF_IMAGE) and has_length)
        if self._still:
            self._files.append(self._rest(first))
            if not first.startswith(START_OF_IMAGE):
                raise CameraError(self._failed("a still picture of another format; set the camera to JPEG"))
        elif kind.startswith("multipart/") or START_OF_IMAGE in first:
            self._files.extend(self._stream.feed(first))
        else:
            self.release()
            raise ValueError("no JPEG pictures")

    def read(self) -> tuple[bool, Pixels]:
        """The next file's bytes, uint8 (1, N); none in it: what came was no whole picture. False at the end.

        Raises:
            CameraError: the camera gives no picture any more.
        """
        try:
            while not self._files:
                if self._still:
                    self._files.append(self._next_still())
                elif data := self._answer.read1(_PIECE_BYTES):
                    self._files.extend(self._stream.feed(data))
                else:
                    return False, _NO_PICTURE
        except CameraError:
            raise
        except _FAILURES:
            return False, _NO_PICTURE
        file = self._files.popleft()
        return True, np.frombuffer(file, np.uint8)[None] if file else _NO_PICTURE

    def release(self) -> None:
        """Hang up; may be called again."""
        self._answer.close()

    def _next_still(self) -> bytes | None:
        """Wait until a picture is due and ask for it; None where that fails, and the next is due later each time."""
        time.sleep(max(self._due_s - time.monotonic(), 0.0))
        try:
            self._answer = self._ask()
            file = self._rest(b"")
        except _FAILURES as error:
            reason = error if isinstance(error, CameraError) else self._failed(f"no whole answer ({error})")
            self._failures += 1
            if self._failures == _MOST_FAILURES:
                raise CameraError(f"{reason}, {self._failures} times in a row") from error
            wait_s = delay_s(self._failures - 1, random.random(), _FIRST_WAIT_S, _LONGEST_WAIT_S)
            self._due_s = time.monotonic() + max(wait_s, 1 / self.fps)
            return None
        self._failures = 0
        self._due_s = max(self._due_s + 1 / self.fps, time.monotonic())
        return file

    def _rest(self, first: bytes) -> bytes | None:
        """A still picture's file, of which ``first`` was read; None if it is too large."""
        data = bytearray(first)
        with self._answer as answer:
            while piece := answer.read1(_PIECE_BYTES):
                data += piece
                if len(data) > LARGEST_BYTES:
                    return None
        return bytes(data)

    def _ask(self) -> Any:
        wanted = request.Request(self._url, headers={"User-Agent": "familiar", "Accept": "*/*"})
        try:
            return self._opener.open(wanted, timeout=_TIMEOUT_S)
        except HTTPError as error:
            with error:
                advice = _ADVICE.get(error.code, "whether it is busy")
                raise CameraError(self._failed(f"the answer {error.code}; check {advice}")) from None

    def _failed(self, why: str) -> str:
        return f"camera {self._camera}: expected pictures of {self._address}, found {why}"


def _opener(parts: SplitResult) -> request.OpenerDirector:
    """What asks, with user and password where the camera wants them; it follows to HTTP addresses alone."""
    passwords = request.HTTPPasswordMgrWithDefaultRealm()
    if parts.username is not None:
        passwords.add_password(
            None,
            f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/",
            unquote(parts.username),
            unquote(parts.password or ""),
        )
    # Cameras sign their certificates themselves; FFmpeg, which reads the other streams, does not check them either.
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    opener = request.OpenerDirector()
    for handler in (
        request.HTTPHandler(),
        request.HTTPSHandler(context=context),
        request.HTTPRedirectHandler(),
        request.HTTPDefaultErrorHandler(),
        request.HTTPErrorProcessor(),
        request.HTTPBasicAuthHandler(passwords),
        request.HTTPDigestAuthHandler(passwords),
    ):
        opener.add_handler(handler)
    return opener
