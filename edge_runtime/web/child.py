"""The process that serves: it gets a listening socket and the daemon's control socket, and neither key nor gallery."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import threading
from pathlib import Path
from socket import socket
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from edge_runtime.control.client import ControlClient
from edge_runtime.web.guard import Guard
from edge_runtime.web.server import Api, application
from edge_runtime.web.tokens import Tokens

_NICE = 10
_MOST_CONNECTIONS = 256
_FIRST_REQUEST_S = 10.0
"""How long a new connection may take over its first request's head."""
_KEEP_ALIVE_S = 15
_MAX_HEAD_BYTES = 32 << 10


class _Impatient(H11Protocol):
    """A connection that must say something soon: one that is silent would hold its place for ever."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See ``asyncio.Protocol``."""
        super().connection_made(transport)
        if len(self.connections) > _MOST_CONNECTIONS:
            transport.abort()
            return
        self.loop.call_later(_FIRST_REQUEST_S, self._look)

    def _look(self) -> None:
        if self.scope is None and not self.transport.is_closing():
            self.transport.abort()


def serve(listener: socket, settings: dict[str, Any]) -> None:
    """Serve on ``listener`` until standard input closes: the daemon is gone then.

    Args:
        listener: bound and listening.
        settings: see ``WebProcess``.
    """
    secure = bool(settings["tls_cert"])
    guard = Guard(Tokens(Path(settings["tokens"])), settings["behind_proxy"])
    api = Api(
        ControlClient(Path(settings["control"])),
        guard,
        settings["max_megapixels"],
        int(settings["max_upload_mb"] * (1 << 20)),
        secure or settings["behind_proxy"],
    )
    config = uvicorn.Config(
        application(api),
        http=_Impatient,
        ws="none",
        loop="asyncio",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=1,
        h11_max_incomplete_event_size=_MAX_HEAD_BYTES,
        ssl_certfile=settings["tls_cert"] or None,
        ssl_keyfile=settings["tls_key"] or None,
    )
    server = uvicorn.Server(config)

    def watch() -> None:
        while os.read(0, 4096):
            pass
        server.should_exit = True

    threading.Thread(target=watch, name="daemon", daemon=True).start()
    # Ctrl-C in a terminal is for the daemon, which then ends this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    asyncio.run(_serve(server, listener, api))


async def _serve(server: uvicorn.Server, listener: socket, api: Api) -> None:
    ending = asyncio.create_task(_end(server, api))
    try:
        await server.serve(sockets=[listener])
    finally:
        ending.cancel()


async def _end(server: uvicorn.Server, api: Api) -> None:
    """Let the listeners of events go in time, so that the server need not wait for them."""
    while not server.should_exit:
        await asyncio.sleep(0.2)
    api.newsroom.close()


def main() -> None:
    """Settings as one line of JSON on standard input, the listening socket as the descriptor named in the arguments."""
    # The frame loop comes first; what is decoded for this process inherits it.
    os.nice(_NICE)
    # Unbuffered, so that nothing behind the line is read away from who watches for the end.
    settings = json.loads(os.fdopen(0, "rb", buffering=0, closefd=False).readline())
    with socket(fileno=int(sys.argv[1])) as listener:
        serve(listener, settings)
