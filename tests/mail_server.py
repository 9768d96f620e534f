"""A real mail server of a test's own, as far as a client needs one: STARTTLS or TLS, AUTH PLAIN, DATA."""

from __future__ import annotations

import base64
import socketserver
import ssl
import threading
import time
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from tests.mosquitto import free_port


class MailServer:
    """On a port of its own; answers what it is told to, and keeps the mails it takes."""

    def __init__(self, tls: ssl.SSLContext, at_once: bool = False, users: dict[str, str] | None = None) -> None:
        self.mails: list[EmailMessage] = []
        self.clear: list[bytes] = []
        """Lines that came before the connection was encrypted."""
        self.answers: dict[str, str] = {}
        """What is answered to a verb instead of the usual."""
        self.largest: int | None = None
        """Bytes of a mail it takes; it says so beforehand (RFC 1870) if ``says_largest``, else it refuses the mail."""
        self.says_largest = False
        self.drip_s = 0.0
        self.port = free_port()
        self.tls, self.at_once, self.users = tls, at_once, users
        self._server: Any = None
        self.come_back()

    def come_back(self) -> None:
        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = daemon_threads = True

            def handle_error(self, *_: Any) -> None: ...

        self._server = Server(("127.0.0.1", self.port), _handler(self))
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def leave(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


def _handler(server: MailServer) -> type[socketserver.BaseRequestHandler]:
    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.secure = False
            if server.at_once:
                self._encrypt()
            self.stream = self.request.makefile("rb")
            self._say(server.answers.get("GREETING", "220 here"))
            while line := self.stream.readline():
                if not self.secure:
                    server.clear.append(line)
                verb = line.split()[0].decode().upper()
                if verb in server.answers:
                    self._say(server.answers[verb])
                elif verb == "EHLO":
                    self._say("250-here", "250-AUTH PLAIN" if server.users else "250-8BITMIME",
                              *([f"250-SIZE {server.largest}"] if server.says_largest else []),
                              "250 8BITMIME" if self.secure else "250 STARTTLS")  # fmt: skip
                elif b"SIZE=" in line.upper() and self._is_too_large(int(line.upper().split(b"SIZE=")[1].split()[0])):
                    self._say("552 too large")
                elif verb == "STARTTLS":
                    self._say("220 go on")
                    self._encrypt()
                    self.stream = self.request.makefile("rb")
                elif verb == "AUTH":
                    _, name, password = base64.b64decode(line.split()[2]).decode().split("\0")
                    known = (server.users or {}).get(name) == password
                    self._say("235 welcome" if known else "535 no")
                elif verb == "DATA":
                    self._say("354 go on")
                    self._take()
                elif verb == "QUIT":
                    self._say("221 bye")
                    return
                else:
                    self._say("250 well")

        def _encrypt(self) -> None:
            self.request = server.tls.wrap_socket(self.request, server_side=True)
            self.secure = True

        def _take(self) -> None:
            lines = []
            while (line := self.stream.readline()) != b".\r\n":
                lines.append(line[1:] if line.startswith(b"..") else line)
            too_large = self._is_too_large(sum(map(len, lines)))
            answer = "552 too large" if too_large else server.answers.get("TAKE", "250 taken")
            if answer.startswith("2"):
                mail = message_from_bytes(b"".join(lines), policy=policy.default)
                server.mails.append(mail)  # type: ignore[arg-type]
            self._say(answer)

        def _is_too_large(self, size: int) -> bool:
            return server.largest is not None and size > server.largest

        def _say(self, *lines: str) -> None:
            for line in lines:
                self.request.sendall(line.encode() + b"\r\n")
                time.sleep(server.drip_s)

    return Handler
