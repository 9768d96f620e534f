"""Whom a client trusts over TLS: certificates and names are always checked."""

from __future__ import annotations

import ssl

from edge_runtime.errors import ConfigError


def client_context(ca_certs: str, where: str, own: str = "", own_key: str = "") -> ssl.SSLContext:
    """What a client connects with: TLS 1.2 or later.

    Args:
        ca_certs: file of certificate authorities; empty: the system's.
        where: the key that names it, for the error line.
        own: file of the client's own certificate; empty: it has none.
        own_key: file of its key; empty: it is in ``own``.

    Raises:
        ConfigError: a file holds no certificates, or cannot be read.
    """
    try:
        context = ssl.create_default_context(cafile=ca_certs or None)
        ca_certs = own or ca_certs
        if own:
            context.load_cert_chain(own, own_key or None)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"{where}: expected certificates in {ca_certs}, found none ({error})") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
