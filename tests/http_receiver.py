"""A real HTTP server of a test's own, which keeps what it gets and answers as it is told."""

from __future__ import annotations

import ssl
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.mosquitto import free_port


@dataclass
class Got:
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes
    at_s: float = field(default_factory=time.time)


class HttpReceiver:
    """On a port of its own; may be away, slow, or answer whatever it is told."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[Got] = []
        self.answers: list[int | bytes] = []
        """What is answered next: a status, or raw bytes; 200 when there is nothing here."""
        self.drip_s = 0.0
        """Between two bytes of an answer of raw bytes."""
        self.location = ""
        self.port = free_port()
        self._tls = tls
        self._server: ThreadingHTTPServer | None = None
        self.come_back()

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}/hook"

    def come_back(self) -> None:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                answer = receiver.answers.pop(0) if receiver.answers else 200
                if answer in (200, 204) or isinstance(answer, bytes):
                    receiver.requests.append(Got(self.path, dict(self.headers.items()), body))
                if isinstance(answer, bytes):
                    receiver.drip(self.wfile, answer)
                    return
                self.send_response(answer)
                if receiver.location:
                    self.send_header("Location", receiver.location)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None: ...

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            allow_reuse_address = True

            def handle_error(self, *_: Any) -> None: ...

        self._server = Server(("127.0.0.1", self.port), Handler)
        if self._tls is not None:
            self._server.socket = self._tls.wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def leave(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def drip(self, stream: Any, answer: bytes) -> None:
        if not self.drip_s:
            stream.write(answer)
            return
        for number in range(len(answer)):
            stream.write(answer[number : number + 1])
            time.sleep(self.drip_s)
