"""Network cameras on this machine's loopback, with drawn pictures, that fail on command."""

from __future__ import annotations

import base64
import contextlib
import http.server
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_runtime.types import Pixels

_RTSP_PROGRAM = Path(__file__).parent / "rtsp_server.py"
_DEBIAN_PYTHON = "/usr/bin/python3"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def jpeg(pixels: Pixels) -> bytes:
    done, data = cv2.imencode(".jpg", np.ascontiguousarray(pixels[:, :, ::-1]))
    assert done
    return bytes(data)


class Halting:
    """A picture whose sending stops halfway until an event is set."""

    def __init__(self, data: bytes, event: threading.Event) -> None:
        self.data, self.event = data, event


class MjpegCamera:
    """Motion-JPEG over HTTP whose every byte is the test's; one picture after the other to each client.

    Attributes:
        url: with user and password if it wants them.
        clients: how many connected so far.
    """

    def __init__(self, pictures: Callable[[], Iterator[bytes | Halting]], fps: float = 25, user: str = "") -> None:
        """Serve ``pictures()`` to each client, JPEG files, until they end; ``user`` is NAME:PASSWORD or nobody."""
        camera = self
        self.clients = 0
        self._open = True

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                wanted = "Basic " + base64.b64encode(user.encode()).decode()
                if user and self.headers.get("Authorization") != wanted:
                    self.send_response(401)
                    self.send_header("WWW-Authenticate", 'Basic realm="camera"')
                    self.end_headers()
                    return
                camera.clients += 1
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
                self.end_headers()
                try:
                    for picture in pictures():
                        data = picture.data if isinstance(picture, Halting) else picture
                        head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
                        self.wfile.write(head.encode() + data[: len(data) // 2])
                        if isinstance(picture, Halting):
                            while camera._open and not picture.event.wait(0.1):
                                pass
                        self.wfile.write(data[len(data) // 2 :] + b"\r\n")
                        time.sleep(1 / fps)
                        if not camera._open:
                            return
                except OSError:
                    return

            def log_message(self, *arguments: Any) -> None:
                """Nothing."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        # Closing waits for the clients' threads, so that nothing is left open.
        self._server.daemon_threads = False
        self.url = f"http://{user + '@' if user else ''}127.0.0.1:{self._server.server_port}/video"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def __enter__(self) -> MjpegCamera:
        return self

    def __exit__(self, *error: object) -> None:
        self._open = False
        self._server.shutdown()
        self._server.server_close()


class HttpCamera:
    """A server of which every answer is the test's.

    Attributes:
        url: with user and password if given.
        asked_s: monotonic seconds of each request.
    """

    def __init__(self, answer: Callable[[http.server.BaseHTTPRequestHandler, int], None], user: str = "") -> None:
        """Serve; ``answer`` writes it all, and is told how many requests came before."""
        self.asked_s: list[float] = []
        camera = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                camera.asked_s.append(time.monotonic())
                with contextlib.suppress(OSError):
                    answer(self, len(camera.asked_s) - 1)

            def log_message(self, *arguments: Any) -> None:
                """Nothing."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://{user + '@' if user else ''}127.0.0.1:{self._server.server_port}/picture"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def __enter__(self) -> HttpCamera:
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def answer_with(handler: http.server.BaseHTTPRequestHandler, kind: str, body: bytes = b"", code: int = 200) -> None:
    """The head of an answer, and a body of known length if there is one."""
    handler.send_response(code)
    handler.send_header("Content-Type", kind)
    if body:
        handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


class ProgramCamera:
    """A server program that can be killed and started again at the same address."""

    def __init__(self, url: str, command: list[str]) -> None:
        self.url, self._command = url, command
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def __enter__(self) -> ProgramCamera:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.kill()


def ffmpeg_camera(size: str = "320x240", fps: int = 25) -> ProgramCamera:
    """Motion-JPEG over HTTP by ffmpeg; it serves one client and ends with it."""
    program = shutil.which("ffmpeg")
    if program is None:
        pytest.skip("no ffmpeg here: apt install ffmpeg")
    url = f"http://127.0.0.1:{free_port()}/video"
    source = ["-re", "-f", "lavfi", "-i", f"testsrc2=size={size}:rate={fps}"]
    return ProgramCamera(url, [program, "-loglevel", "quiet", *source, "-f", "mpjpeg", "-listen", "1", url])


def rtsp_camera() -> ProgramCamera:
    """H.264 over RTSP by GStreamer's server, at 320x240 and 15 frames a second."""
    check = subprocess.run([_DEBIAN_PYTHON, str(_RTSP_PROGRAM), "--check"], capture_output=True, text=True)
    if check.returncode:
        pytest.skip(
            f"no RTSP server here ({check.stderr.strip().splitlines()[-1:]}): apt install python3-gi "
            "gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-base gstreamer1.0-plugins-good"
        )
    port = free_port()
    return ProgramCamera(f"rtsp://127.0.0.1:{port}/camera", [_DEBIAN_PYTHON, str(_RTSP_PROGRAM), str(port)])


def wait_for_port(url: str, timeout_s: float = 60) -> None:
    """Wait until a server listens, without making it a client's end."""
    port = int(url.split(":")[2].split("/")[0])
    until_s = time.monotonic() + timeout_s
    while f":{port:04X} " not in Path("/proc/net/tcp").read_text():
        assert time.monotonic() < until_s, f"nobody listens at {url}"
        time.sleep(0.05)


def write_rpicam(folder: Path, name: str = "rpicam-vid") -> Path:
    """A stand-in for ``rpicam-vid`` in ``folder``, to be put on PATH; see ``tests/standin_rpicam.py``."""
    program = folder / name
    standin = Path(__file__).parent / "standin_rpicam.py"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} {standin} "$@"\n')
    program.chmod(0o755)
    return program
