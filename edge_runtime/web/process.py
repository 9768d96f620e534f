"""The daemon's side of the API: a process of its own, started again when it dies.

Pages and programs of others then cost the frame loop nothing, and what they send never reaches a process that holds
the device key. The socket is bound here, so an address that cannot be used is known at the start, and nobody who
connects while the process starts again is refused.
"""

from __future__ import annotations

import importlib.util
import json
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from edge_runtime.config import Config, socket_path, tokens_path
from edge_runtime.errors import ConfigError
from edge_runtime.schema.listening import parse_listen
from edge_runtime.system.closing import Closing
from edge_runtime.system.environment import harmless_environment
from edge_runtime.system.loopback import is_loopback
from edge_runtime.system.relay import relay

_NEEDED = ("starlette", "uvicorn", "msgspec", "python_multipart")
_AGAIN_S, _LONGEST_AGAIN_S = 1.0, 60.0
_WELL_S = 60.0
"""A process that lived so long was well: the next pause is short again."""
_GRACE_S = 1.5
_PROGRAM = "import sys; sys.path[:] = {path!r}; from edge_runtime.web.child import main; main()"


class WebProcess(Closing):
    """Serves as long as this is open; used from one thread."""

    def __init__(self, config: Config) -> None:
        """Bind the address and start the process.

        Raises:
            ConfigError: a package is missing, the address cannot be used, or it needs TLS.
        """
        host, port = _address(config)
        self._listener = _listen(host, port)
        self._settings = {
            "control": str(socket_path(config).absolute()),
            "tokens": str(tokens_path(config).absolute()),
            "tls_cert": config.web.tls_cert,
            "tls_key": config.web.tls_key,
            "behind_proxy": config.web.behind_proxy,
            "max_upload_mb": config.web.max_upload_mb,
            "max_megapixels": config.images.max_megapixels,
        }
        self._pause_s = _AGAIN_S
        self._again_s = 0.0
        self._process: subprocess.Popen[bytes] | None = None
        self._started_s = 0.0
        self._start()

    def look(self) -> str | None:
        """Start the process again if it died; why it does not serve at the moment, or None."""
        now = time.monotonic()
        if self._process is not None:
            code = self._process.poll()
            if code is None:
                return None
            if now - self._started_s > _WELL_S:
                self._pause_s = _AGAIN_S
            self._process, self._again_s = None, now + self._pause_s
            self._pause_s = min(2 * self._pause_s, _LONGEST_AGAIN_S)
        if now < self._again_s:
            return "API and page ended; they are started again soon"
        self._start()
        return None

    def close(self) -> None:
        """End the process; may be called again."""
        self._listener.close()
        if self._process is None:
            return
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def _start(self) -> None:
        self._started_s = time.monotonic()
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM.format(path=sys.path), str(self._listener.fileno())],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            pass_fds=[self._listener.fileno()],
            env=harmless_environment(),
            process_group=0,
        )
        assert self._process.stdin is not None and self._process.stderr is not None
        relay(self._process.stderr, "the page's lines")
        with suppress(OSError):
            self._process.stdin.write(json.dumps(self._settings).encode() + b"\n")
            self._process.stdin.flush()


def _address(config: Config) -> tuple[str, int]:
    """Host and port, if they may be used as the rest of ``[web]`` is."""
    web = config.web
    host, port = parse_listen(web.listen, "[web] listen")
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"[web] listen: expected the packages of the extra web, found no {missing[0]}; "
            "pip install 'familiar-edge[web]', or leave [web] listen empty"
        )
    if bool(web.tls_cert) != bool(web.tls_key):
        raise ConfigError("[web]: expected tls_cert and tls_key, found one of them")
    for name in (web.tls_cert, web.tls_key):
        if name and not Path(name).is_file():
            raise ConfigError(f"[web]: expected a PEM file at {name}, found none there")
    if not is_loopback(host) and not web.tls_cert and not web.behind_proxy:
        raise ConfigError(
            f"[web] listen: expected tls_cert and tls_key for {host}, which is reached from elsewhere, found neither; "
            "set them, or behind_proxy = true if a proxy does TLS, or listen at 127.0.0.1"
        )
    return host, port


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(128)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise ConfigError(
            f"[web] listen: cannot listen at {host} port {port} ({error.strerror or error}); choose another"
        ) from error
    return listener
