"""One connection to a broker, kept up by a thread of its own; MQTT 5.0 or 3.1.1 over TCP or TLS.

Every connection is a new client with a clean session: nothing of an earlier one is sent again behind our back. What
must arrive is sent again by whoever sent it (``events.delivery``), what is true now is published anew.
"""

from __future__ import annotations

import random
import ssl
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from edge_runtime.errors import SinkRefusedError
from edge_runtime.sinks.mqtt.settings import Settings
from edge_runtime.timing.retry import delay_s

LARGEST_PACKET = 1 << 18
"""Bytes of one packet from the broker: it has nothing larger to say to us."""
_FIRST_RETRY_S, _LAST_RETRY_S = 0.5, 60.0
_STEADY_S = 30.0
_KEEPALIVE_S = 30
_MOST_WAITING = 1000
_MOST_ACKNOWLEDGED = 4096
_GOODBYE_S = 0.3
_HOPELESS = {
    "Bad user name or password",
    "Not authorized",
    "Unsupported protocol version",
    "Client identifier not valid",
    "Banned",
    "Bad authentication method",
}
"""Reasons of MQTT 5.0, section 2.4, that do not pass by themselves."""
_UNFIT = {"Packet too large", "Payload format invalid", "Topic name invalid", "Retain not supported"}


class UnfitError(Exception):
    """The broker takes everything but this message."""


class _BoundedClient(paho.Client):
    """paho's client, with a bound on what a broker may make it hold, and with the reason for which it broke off."""

    broken: Exception | None = None

    def _sock_recv(self, bufsize: int) -> bytes:
        try:
            if bufsize > LARGEST_PACKET:
                raise ConnectionError(
                    f"expected packets of at most {LARGEST_PACKET} bytes, the broker announced {bufsize}"
                )
            return super()._sock_recv(bufsize)
        except BlockingIOError:
            raise
        except OSError as error:
            self.broken = error
            raise


class Connection:
    """Safe to use from several threads.

    Attributes:
        session: counts connections that the broker has accepted; 0: no connection yet.
    """

    def __init__(
        self,
        settings: Settings,
        will: str,
        on_message: Callable[[str, bytes, bool], None],
        retry_s: tuple[float, float] = (_FIRST_RETRY_S, _LAST_RETRY_S),
    ) -> None:
        """Check what there is to check without a broker, and start connecting.

        Args:
            settings: where to, and as whom.
            will: topic that says ``online``, ``offline`` (the last will) or ``stopped``.
            on_message: gets topic, payload, and whether it was retained; called from the connection's thread.
            retry_s: first and last wait before another connection, seconds.

        Raises:
            ConfigError: a secret or a certificate cannot be read.
        """
        self.session = 0
        self._settings, self._will, self._on_message, self._retry_s = settings, will, on_message, retry_s
        self._password = settings.read_password()
        self._tls = settings.tls_context()
        self._changed = threading.Condition()
        """Guards what follows; never held while the client is called, which has locks of its own."""
        self._client: _BoundedClient | None = None
        self._error: Exception | None = None
        self._acknowledged: OrderedDict[int, ReasonCode | None] = OrderedDict()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"mqtt {settings.target}", daemon=True)
        self._thread.start()

    @property
    def connected(self) -> bool:
        return self._client is not None

    def send(self, topic: str, payload: bytes, retain: bool = False, qos: int = 1) -> bool:
        """Hand over a message, without waiting for the broker; whether there was room for it."""
        client = self._client
        return client is not None and client.publish(topic, payload, qos, retain).rc == paho.MQTT_ERR_SUCCESS

    def publish(self, topic: str, payload: bytes) -> None:
        """Send a message, and return when the broker has taken it over.

        Raises:
            SinkRefusedError: the broker does not let us in, or not write there.
            UnfitError: it takes other messages, but not this.
            OSError: there is no connection, or no answer in time.
        """
        until_s = time.monotonic() + self._settings.timeout_s
        with self._changed:
            self._changed.wait_for(
                lambda: self._client or self._error or self._closing.is_set(), self._settings.timeout_s
            )
            client, error = self._client, self._error
        if client is None:
            if isinstance(error, SinkRefusedError):
                raise SinkRefusedError(str(error))
            raise ConnectionError(f"no connection to {self._settings.where}: {error or 'no answer'}")
        sent = client.publish(topic, payload, 1)
        if sent.rc != paho.MQTT_ERR_SUCCESS:
            raise ConnectionError(f"{self._settings.where}: {paho.error_string(sent.rc)}")
        with self._changed:
            done = self._changed.wait_for(
                lambda: sent.mid in self._acknowledged or client is not self._client, max(until_s - time.monotonic(), 0)
            )
            if client is not self._client or not done:
                lost = self._error if done else "no acknowledgement in time"
                raise ConnectionError(f"{self._settings.where}: {lost or 'the connection was closed'}")
            reason = self._acknowledged.pop(sent.mid)
        _check_reason(reason, topic)

    def subscribe(self, *topics: str) -> None:
        """Ask for messages; nothing happens without a connection."""
        client = self._client
        if client is not None:
            client.subscribe([(topic, 1) for topic in topics])

    def unsubscribe(self, *topics: str) -> None:
        """Ask for no more of them."""
        client = self._client
        if client is not None:
            client.unsubscribe(list(topics))

    def close(self) -> None:
        """Say ``stopped``, and go; may be called again."""
        if self._closing.is_set():
            return
        client = self._client
        if client is not None:
            # Without an acknowledgement: a slow broker may have so many to give that nothing else would go out.
            client.publish(self._will, b"stopped", 0, retain=True)
        self._closing.set()
        with self._changed:
            self._changed.notify_all()
        self._thread.join(2 * _GOODBYE_S)

    # On the connection's thread.

    def _run(self) -> None:
        attempt = 0
        while not self._closing.is_set():
            began_s = time.monotonic()
            try:
                self._connect_and_stay()
                error: Exception | None = None
            except Exception as found:  # a hostile packet raises anything in the client
                error = self._told(found)
            with self._changed:
                self._client, self._error = None, error
                self._changed.notify_all()
            attempt = 0 if time.monotonic() - began_s >= _STEADY_S else attempt + 1
            self._closing.wait(delay_s(attempt, random.random(), *self._retry_s))

    def _connect_and_stay(self) -> None:
        """One connection, until it breaks or is to end."""
        client = self._make()
        answer: list[ReasonCode] = []

        def on_connect(_c: Any, _u: Any, _f: Any, reason: ReasonCode, _p: Any) -> None:
            answer.append(reason)

        client.on_connect = on_connect
        try:
            client.connect(self._settings.host, self._settings.port_or_usual, _KEEPALIVE_S)
            until_s = time.monotonic() + self._settings.timeout_s
            while not answer:
                broken = self._turn(client)
                if broken and not answer:  # a refusal is an answer before it is the end
                    raise broken
                if self._closing.is_set() or time.monotonic() > until_s:
                    raise TimeoutError("no answer in time to the request to connect")
            if answer[0].is_failure:
                raise _refusal(answer[0])
            client.publish(self._will, b"online", 1, retain=True)
            with self._changed:
                self._acknowledged.clear()
                self._client, self._error = client, None
                self.session += 1
                self._changed.notify_all()
            while not self._closing.is_set():
                if broken := self._turn(client):
                    raise broken
            self._leave(client)
        finally:
            if (sock := client.socket()) is not None:
                sock.close()

    def _leave(self, client: _BoundedClient) -> None:
        until_s = time.monotonic() + _GOODBYE_S
        while client.want_write() and time.monotonic() < until_s:
            self._turn(client, 0.05)
        client.disconnect()
        client.loop(0.05)

    def _turn(self, client: _BoundedClient, timeout_s: float = 0.5) -> Exception | None:
        """Read and write what there is; why the connection is over, if it is."""
        rc = client.loop(timeout_s)
        return None if rc == paho.MQTT_ERR_SUCCESS else client.broken or ConnectionError(paho.error_string(rc))

    def _make(self) -> _BoundedClient:
        settings = self._settings
        newest = settings.protocol == "5"
        client = _BoundedClient(
            CallbackAPIVersion.VERSION2,
            settings.client_id_or_usual,
            clean_session=None if newest else True,
            protocol=paho.MQTTv5 if newest else paho.MQTTv311,
            reconnect_on_failure=False,
        )
        client.connect_timeout = settings.timeout_s
        client.max_queued_messages_set(_MOST_WAITING)
        # With it paho leaves all writing to the thread that calls ``loop``, and others only queue.
        client.on_socket_register_write = lambda *_: None
        client.on_publish = self._on_publish
        client.on_message = lambda _c, _u, message: self._on_message(
            message.topic, bytes(message.payload), message.retain
        )
        if settings.user or self._password:
            client.username_pw_set(settings.user, self._password)
        if self._tls is not None:
            client.tls_set_context(self._tls)
        client.will_set(self._will, b"offline", 1, retain=True)
        return client

    def _on_publish(self, _client: Any, _userdata: Any, mid: int, reason: ReasonCode, _properties: Any) -> None:
        with self._changed:
            self._acknowledged[mid] = reason
            while len(self._acknowledged) > _MOST_ACKNOWLEDGED:
                self._acknowledged.popitem(last=False)
            self._changed.notify_all()

    def _told(self, error: Exception) -> Exception:
        """What went wrong, in words for people."""
        if isinstance(error, ssl.SSLCertVerificationError):
            return SinkRefusedError(f"{self._settings.where}: its certificate is not trusted ({error.verify_message})")
        if isinstance(error, ssl.SSLError):
            return ConnectionError(f"TLS failed ({error.reason or error})")
        if isinstance(error, OSError | SinkRefusedError):
            return error
        return ConnectionError(f"the broker sent what cannot be read ({type(error).__name__})")


def _refusal(reason: ReasonCode) -> Exception:
    text = f"the broker refuses the connection: {reason}"
    if str(reason) == "Unsupported protocol version":
        text += '; try protocol = "3.1.1"'
    return SinkRefusedError(text) if str(reason) in _HOPELESS else ConnectionError(text)


def _check_reason(reason: ReasonCode | None, topic: str) -> None:
    """What the broker says of a message it has received; MQTT 3.1.1 says nothing."""
    if reason is None or not reason.is_failure:
        return
    text = f"the broker does not take {topic}: {reason}"
    if str(reason) == "Not authorized":
        raise SinkRefusedError(text)
    raise UnfitError(text) if str(reason) in _UNFIT else ConnectionError(text)
