"""One HTTP request and its answer, bounded in time and size; a redirect is an answer like others."""

from __future__ import annotations

import http.client
import ssl
import threading
from contextlib import suppress
from urllib.parse import urlsplit

from edge_runtime.errors import SinkRefusedError
from edge_runtime.storage.certificates import client_context

LARGEST_REPLY = 1 << 16
"""Bytes of an answer that are read; what it says beyond its status is nobody's business."""


class Exchange:
    """Posts to one host; certificates and names are always checked.

    Attributes:
        host: for people, without what may be secret.
    """

    def __init__(self, url: str, timeout_s: float, ca_certs: str) -> None:
        """Prepare.

        Args:
            url: of the host.
            timeout_s: for one request in all.
            ca_certs: file of certificate authorities; empty: the system's.

        Raises:
            ConfigError: that file holds no certificates.
        """
        parts = urlsplit(url)
        self.host = parts.hostname or ""
        self._secure = parts.scheme == "https"
        self._timeout_s = timeout_s
        self._port = parts.port
        self._connection: http.client.HTTPConnection | None = None
        self._tls = client_context(ca_certs, "sink webhook, ca_certs") if self._secure else None

    def post(self, url: str, body: bytes, headers: dict[str, str]) -> int:
        """The status of the answer.

        Raises:
            SinkRefusedError: the certificate is not trusted.
            OSError: no connection, no answer in time, or one that is not HTTP.
        """
        parts = urlsplit(url)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._connection = connection = self._connect()
        overdue = threading.Event()

        def give_up() -> None:
            overdue.set()
            _shut(connection)

        # A socket's own timeout starts anew with each byte.
        clock = threading.Timer(self._timeout_s, give_up)
        clock.daemon = True
        clock.start()
        try:
            connection.request("POST", path, body, headers)
            answer = connection.getresponse()
            status = answer.status
            with suppress(OSError, http.client.HTTPException, ValueError):
                answer.read(LARGEST_REPLY)
        except ssl.SSLCertVerificationError as error:
            raise SinkRefusedError(f"{self.host}: its certificate is not trusted ({error.verify_message})") from error
        except (OSError, http.client.HTTPException, ValueError, AttributeError) as error:
            if overdue.is_set():
                raise TimeoutError(f"{self.host}: no answer in {self._timeout_s:g} s") from error
            told = getattr(error, "strerror", None) or type(error).__name__
            raise ConnectionError(f"{self.host}: no answer ({told})") from error
        finally:
            clock.cancel()
            connection.close()
            self._connection = None
        return status

    def close(self) -> None:
        """Break off what is under way; may be called again."""
        if self._connection is not None:
            _shut(self._connection)

    def _connect(self) -> http.client.HTTPConnection:
        if self._tls is not None:
            return http.client.HTTPSConnection(self.host, self._port, timeout=self._timeout_s, context=self._tls)
        return http.client.HTTPConnection(self.host, self._port, timeout=self._timeout_s)


def _shut(connection: http.client.HTTPConnection) -> None:
    """End a connection under the hands of another thread, which then sees the end of it."""
    import socket

    sock = connection.sock
    if sock is not None:
        with suppress(OSError):
            socket.socket.shutdown(sock, socket.SHUT_RDWR)
