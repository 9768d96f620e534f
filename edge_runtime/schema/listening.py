"""Where a server of ours listens: an address and a port, as the configuration names them."""

from __future__ import annotations

from edge_runtime.errors import ConfigError


def parse_listen(listen: str, where: str) -> tuple[str, int]:
    """Address and port of ``127.0.0.1:9108`` or ``[::1]:9108``.

    Args:
        listen: the text.
        where: the key, for the error line.

    Raises:
        ConfigError: it is neither.
    """
    host, colon, port = listen.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not (colon and host and port.isdecimal() and 0 <= int(port) < 65536):
        raise ConfigError(f"{where}: expected ADDRESS:PORT, as 127.0.0.1:9108, found {listen!r}")
    return host, int(port)
