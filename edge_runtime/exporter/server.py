"""A page of figures for Prometheus; needs prometheus-client."""

from __future__ import annotations

import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client import ProcessCollector
from prometheus_client.exposition import choose_encoder, generate_latest
from prometheus_client.registry import CollectorRegistry

from edge_runtime.errors import ConfigError
from edge_runtime.exporter.figures import Figures, Read
from edge_runtime.schema.listening import parse_listen

PATH = "/metrics"
_READERS = 4
"""So many may read at once; others are turned away."""
_PATIENCE_S = 5.0
_WHERE = "[metrics] listen"


class Exporter:
    """Serves until it is closed, on threads of its own.

    Attributes:
        address: where it listens: host and port.
    """

    def __init__(self, listen: str, read: Read, version: str) -> None:
        """Start serving.

        Args:
            listen: address and port.
            read: gives what is to be told.
            version: of this program.

        Raises:
            ConfigError: that is no address, or not a free one.
        """
        host, port = parse_listen(listen, _WHERE)
        registry = self._registry = CollectorRegistry(auto_describe=False)
        registry.register(Figures(read, version))
        ProcessCollector(registry=registry)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            self._server = _Server((host, port), registry, family)
        except OSError as error:
            raise ConfigError(
                f"{_WHERE}: expected a free port of an address of this device, {listen} cannot be used "
                f"({error.strerror or error})"
            ) from error
        self.address: tuple[str, int] = self._server.server_address[:2]  # type: ignore[assignment]
        self._thread = threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True)
        self._thread.start()

    def text(self) -> str:
        """What is served, in Prometheus's text format 0.0.4."""
        return generate_latest(self._registry).decode()

    def close(self) -> None:
        """Stop serving; may be called again."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, address: tuple[str, int], registry: CollectorRegistry, family: socket.AddressFamily) -> None:
        self.address_family = family
        self.registry = registry
        self._free = threading.BoundedSemaphore(_READERS)
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A reader that goes away in the middle is nobody's trouble."""


class _Handler(BaseHTTPRequestHandler):
    timeout = _PATIENCE_S
    server: _Server

    def do_GET(self) -> None:
        if self.path.partition("?")[0] != PATH:
            self.send_error(404, f"expected {PATH}")
            return
        encode, kind = choose_encoder(self.headers.get("Accept", ""))
        page = encode(self.server.registry)
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, format: str, *args: Any) -> None:
        """Nobody wants a line for each reading."""

    def version_string(self) -> str:
        return "Familiar"
