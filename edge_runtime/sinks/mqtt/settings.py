"""Keys of a ``[[sink]]`` table of type ``mqtt``."""

from __future__ import annotations

import platform
import ssl
from dataclasses import dataclass

from edge_runtime.errors import ConfigError
from edge_runtime.schema.table import key
from edge_runtime.sinks import picture_key
from edge_runtime.sinks.mqtt.topics import Topics, slug
from edge_runtime.storage.certificates import client_context
from edge_runtime.storage.secret import read_secret

_PORT, _TLS_PORT = 1883, 8883
_WHERE = "sink mqtt"


@dataclass(frozen=True)
class Settings:
    """Keys of a ``[[sink]]`` table of this type."""

    host: str = key(help="name or address of the broker")
    port: int = key(0, "its port; 0: 1883, with TLS 8883", 0, 65535)
    topic_prefix: str = key("familiar", "first level of every topic; each device needs one of its own")
    client_id: str = key("", "name at the broker, unique there; empty: familiar- and the host's name")
    user: str = key("", "user at the broker; empty: nobody")
    password_file: str = key("", "file with the password alone, not for everybody to read")
    password_env: str = key("", "variable of the environment with the password")
    tls: bool = key(False, "encrypt, and check the broker's certificate against the system's authorities")
    tls_ca_certs: str = key("", "file of certificate authorities instead of the system's; turns tls on")
    tls_client_cert: str = key("", "file of this device's certificate; turns tls on")
    tls_client_key: str = key("", "file of the certificate's key; empty: it is in tls_client_cert")
    protocol: str = key("5", "version of MQTT", choices=("5", "3.1.1"))
    timeout_s: float = key(10.0, "seconds the broker has for an answer", 0.1, 300)
    stats_interval: float = key(60.0, "seconds between two messages of stats; 0: no stats", 0, 86400)
    presence: bool = key(True, "publish of each person where and when they were last seen, and whether they are home")
    away_after_h: float = key(12.0, "hours without being seen after which somebody is not home", 0.01, 8760)
    image: str = picture_key("published")
    discovery: bool = key(True, "announce everything to Home Assistant")
    discovery_prefix: str = key("homeassistant", "first level of the topics where it listens")
    commands: bool = key(False, "take commands: whoever may write to the broker can switch cameras off")

    def __post_init__(self) -> None:
        if not self.host:
            raise ConfigError(f"{_WHERE}, host: expected a name or an address, found nothing")
        for name in ("topic_prefix", "discovery_prefix"):
            text = getattr(self, name)
            if not text or not text.isprintable() or set(text) & set("+#") or text[0] in "$/" or text[-1] == "/":
                raise ConfigError(
                    f"{_WHERE}, {name}: expected levels of a topic without + # $, as familiar or home/familiar, "
                    f"found {text!r}"
                )

    @property
    def target(self) -> str:
        """What distinguishes it from others of its kind."""
        return f"{self.where}/{self.topic_prefix}"

    @property
    def pictures(self) -> str:
        """See ``protocols.Sink``."""
        return self.image

    @property
    def where(self) -> str:
        """Host and port, for people."""
        return f"{self.host}:{self.port_or_usual}"

    @property
    def port_or_usual(self) -> int:
        return self.port or (_TLS_PORT if self._encrypted else _PORT)

    @property
    def client_id_or_usual(self) -> str:
        return self.client_id or f"familiar-{slug(platform.node()) or 'device'}"

    @property
    def topics(self) -> Topics:
        """Every topic there is."""
        return Topics(self.topic_prefix, self.discovery_prefix, slug(self.client_id_or_usual) or "familiar")

    @property
    def _encrypted(self) -> bool:
        return self.tls or bool(self.tls_ca_certs or self.tls_client_cert)

    def read_password(self) -> str | None:
        """The password; None: there is no password.

        Raises:
            ConfigError: see ``read_secret``.
        """
        return read_secret(self.password_file, self.password_env, f"{_WHERE}, password")

    def tls_context(self) -> ssl.SSLContext | None:
        """How to encrypt; None: in the clear. The broker's certificate and its name are always checked.

        Raises:
            ConfigError: a file cannot be read, or holds no certificate or key.
        """
        if not self._encrypted:
            return None
        return client_context(self.tls_ca_certs, f"{_WHERE}, tls", self.tls_client_cert, self.tls_client_key)
