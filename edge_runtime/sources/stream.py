"""A network camera: RTSP; over HTTP Motion-JPEG, a still picture a request, or whatever else FFmpeg reads."""

from __future__ import annotations

import http.client
import os
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.error import URLError
from urllib.parse import urlsplit

import cv2

from edge_runtime.errors import CameraError, ConfigError
from edge_runtime.sources._http_camera import HttpPictures
from edge_runtime.sources._source import VideoSource, announced_wh, is_motion_jpeg
from edge_runtime.text.address import Address, AddressError, split_url
from edge_runtime.types import Frame

PORTS = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443}
_OPEN_TIMEOUT_S = 15
_READ_TIMEOUT_S = 30
"""Where nobody waits with a deadline of their own, as a capture process's daemon does."""
_OPTIONS = "rtsp_transport;tcp|fflags;nobuffer|flags;low_delay"
"""Nothing is lost on the way, or kept back to play smoothly."""
_VARIABLE = "OPENCV_FFMPEG_CAPTURE_OPTIONS"
_CONNECT_S = 3.0


def open(argument: str, camera: str) -> StreamSource:
    """The stream at the URL ``argument``, user and password in it where it wants them."""
    return StreamSource(parse(argument, camera), camera)


def parse(argument: str, camera: str) -> str:
    """The URL, once it is clear what in it is host and what password.

    Raises:
        ConfigError: that is not clear; nothing of the address is repeated.
    """
    try:
        if split_url(argument).scheme in PORTS:
            return argument
        why = "scheme is another"
    except AddressError as error:
        why = str(error)
    raise ConfigError(
        f"camera {camera}: expected {'://, '.join(PORTS)}:// and then HOST/PATH, found an address whose {why}; "
        "in user and password write %23 for #, %2F for /, %3A for :, %3F for ?, %40 for @"
    )


class StreamSource(VideoSource):
    """See ``protocols.FrameSource``; frames have the time of their arrival."""

    def __init__(self, url: str, camera: str) -> None:
        """Connect.

        Raises:
            CameraError: nobody answers, or not with a stream.
        """
        self._url, self._camera = url, camera
        if url.startswith("http") and (pictures := self._ask()) is not None:
            self._capture = pictures
            return
        os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
        wanted = [
            *(cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, _OPEN_TIMEOUT_S * 1000),
            *(cv2.CAP_PROP_READ_TIMEOUT_MSEC, _READ_TIMEOUT_S * 1000),
            # Threads of a decoder hold a picture each: later pictures, more memory.
            *(cv2.CAP_PROP_N_THREADS, 1),
        ]
        with _options():
            self._capture = cv2.VideoCapture(url, cv2.CAP_FFMPEG, wanted)
        if not self._capture.isOpened():
            raise CameraError(f"camera {camera}: expected a stream at {Address(url)}, {_why_not(url)}")
        self.announced_wh = announced_wh(self._capture)
        if is_motion_jpeg(self._capture):
            # The files themselves: whether they are whole shows only there.
            self._capture.set(cv2.CAP_PROP_FORMAT, -1)

    def __iter__(self) -> Iterator[Frame]:
        """See :meth:`VideoSource.__iter__`."""
        if isinstance(self._capture, HttpPictures):
            self._capture.fps = self.snapshot_fps
        return super().__iter__()

    def _ask(self) -> HttpPictures | None:
        """The camera's JPEG pictures; None where FFmpeg must try what it is."""
        try:
            return HttpPictures(self._url, self._camera, self.snapshot_fps)
        except CameraError:
            raise
        except (http.client.HTTPException, ssl.SSLError, ValueError):
            return None
        except OSError as error:
            if isinstance(error, URLError) and isinstance(error.reason, ssl.SSLError):
                return None
            shown = Address(self._url)
            raise CameraError(f"camera {self._camera}: expected a stream at {shown}, {_why_not(self._url)}") from error

    def _lost(self, seq: int) -> str:
        shown = Address(self._url)
        return f"camera {self._camera}: {shown} gave {seq} frames and then none; check the camera's power and network"


@contextmanager
def _options() -> Iterator[None]:
    """FFmpeg's options while a stream is opened, unless somebody chose others: a clip would lose its first frames."""
    if _VARIABLE in os.environ:
        yield
        return
    os.environ[_VARIABLE] = _OPTIONS
    try:
        yield
    finally:
        del os.environ[_VARIABLE]


def _why_not(url: str) -> str:
    """What is the matter with an address that did not open: FFmpeg keeps it to itself."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or PORTS[parts.scheme]
    try:
        socket.create_connection((host, port), _CONNECT_S).close()
    except OSError as error:
        return f"{host} port {port} cannot be reached ({error.strerror or error}); check address, power and network"
    return (
        f"{host} port {port} answers, but not with a picture that can be read; check the path, user and password "
        "(with %40 for @ and %2F for /)"
    )
