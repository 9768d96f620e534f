"""Events by HTTP, one request each: as JSON, signed, or as a message for ntfy, Slack, Discord or Telegram."""

from __future__ import annotations

import hashlib
import hmac
import time
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from edge_runtime.errors import ConfigError, SinkRefusedError
from edge_runtime.schema.table import key
from edge_runtime.sinks import picture_key
from edge_runtime.sinks.webhook.exchange import Exchange
from edge_runtime.sinks.webhook.messages import FORMATS, WORDS, Request, check_text, make_request
from edge_runtime.storage.secret import read_secret
from edge_runtime.types import Event

_WHERE = "sink webhook"
_UNFIT = {400, 413, 415, 422}
"""The receiver takes others, but never this one."""
_TOO_LARGE = 413
_LATER = {408, 425, 429}
"""Not now; and so is everything from 500 on."""


@dataclass(frozen=True)
class Settings:
    """Keys of a ``[[sink]]`` table of this type."""

    url: str = key("", "http:// or https:// address of the receiver; it is a secret where it holds one", secret=True)
    url_file: str = key("", "file with the address alone, not for everybody to read")
    url_env: str = key("", "variable of the environment with the address")
    format: str = key("json", f"what is sent: {' | '.join(FORMATS)}; Home Assistant takes json", choices=FORMATS)
    text: str = key("", f"text of a message, with {', '.join(f'${word}' for word in WORDS)}; empty: the usual")
    chat_id: str = key("", "who gets a message of Telegram's")
    picture: str = picture_key("sent", clips=True)
    secret_file: str = key("", "file with a secret that requests are signed with (HMAC-SHA256)")
    secret_env: str = key("", "variable of the environment with that secret")
    token_file: str = key("", "file with a token, sent as Authorization: Bearer")
    token_env: str = key("", "variable of the environment with that token")
    ca_certs: str = key("", "file of certificate authorities instead of the system's")
    timeout_s: float = key(10.0, "seconds one request may take in all", 0.1, 300)

    def __post_init__(self) -> None:
        if sum(bool(one) for one in (self.url, self.url_file, self.url_env)) != 1:
            raise ConfigError(f"{_WHERE}: expected one of url, url_file, url_env, found none or several")
        if self.url:
            check_url(self.url)
        if self.format == "telegram" and not self.chat_id:
            raise ConfigError(f"{_WHERE}, chat_id: expected who gets the message, found nothing")
        if self.format == "slack" and self.picture != "none":
            raise ConfigError(f"{_WHERE}, picture: Slack's webhooks take no pictures; delete the line")
        check_text(self.text, _WHERE)

    @property
    def target(self) -> str:
        """What distinguishes it from others of its kind, without what may be secret."""
        if not self.url:
            return self.url_file or self.url_env
        return f"{urlsplit(self.url).hostname}#{hashlib.sha256(self.url.encode()).hexdigest()[:8]}"

    @property
    def pictures(self) -> str:
        """See ``protocols.Sink``."""
        return self.picture


def check_url(url: str) -> str:
    """The address, if it is one.

    Raises:
        ConfigError: it is not.
    """
    try:
        parts = urlsplit(url)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        sound = False
    if not sound or not url.isascii() or not url.isprintable() or " " in url:
        raise ConfigError(f"{_WHERE}, url: expected http://… or https://… without spaces, found something else")
    return url


def open(settings: Settings) -> WebhookSink:
    """A sink to this receiver, which need not be there.

    Raises:
        ConfigError: a secret or the file of authorities cannot be read.
    """
    return WebhookSink(settings)


class WebhookSink:
    """See ``protocols.Sink``: a request an event, one after the other, on a connection of its own each."""

    lasting = True

    def __init__(self, settings: Settings) -> None:
        """Read the secrets; see :func:`open`."""
        self.refused = 0
        self.pictures = settings.picture
        self._settings = settings
        self._url = settings.url or check_url(read_secret(settings.url_file, settings.url_env, f"{_WHERE}, url") or "")
        self._secret = read_secret(settings.secret_file, settings.secret_env, f"{_WHERE}, secret")
        self._token = read_secret(settings.token_file, settings.token_env, f"{_WHERE}, token")
        self._exchange = Exchange(self._url, settings.timeout_s, settings.ca_certs)
        self._closed = False
        self._too_slow: int | None = -1

    def emit(self, event: Event) -> None:
        """Send one request.

        Raises:
            ValueError: closed.
            SinkRefusedError: the receiver wants another address, or does not let us in.
            OSError: it is not there, too slow, or asks to come again.
        """
        if self._closed:
            raise ValueError("sink: closed; open it again")
        if event.event_id == self._too_slow:
            event = replace(event, clip=None)
        status = self._post(event)
        if status == _TOO_LARGE and event.clip:
            status = self._post(replace(event, clip=None))
        if 200 <= status < 300:
            return
        said = f"{self._exchange.host} answers {status}"
        if status in _UNFIT:
            self.refused += 1
        elif status in _LATER or status >= 500:
            raise ConnectionError(said)
        elif 300 <= status < 400:
            raise SinkRefusedError(f"{said}, another address: redirects are not followed; write the new address as url")
        else:
            raise SinkRefusedError(f"{said}; check url and secrets")

    def _post(self, event: Event) -> int:
        request = make_request(event, self._settings.format, self._url, self._settings.text, self._settings.chat_id)
        try:
            return self._exchange.post(request.url, request.body, self._headers(event, request))
        except TimeoutError:
            # A line that is too slow for the film would hold up everything behind it for good.
            if event.clip:
                self._too_slow = event.event_id
            raise

    def flush(self) -> None:
        """Nothing: what was emitted is answered."""

    def close(self) -> None:
        """End; may be called again."""
        self._closed = True
        self._exchange.close()

    def _headers(self, event: Event, request: Request) -> dict[str, str]:
        stamp = str(int(time.time()))
        headers = {
            "Content-Type": request.content_type,
            "User-Agent": "Familiar",
            "X-Familiar-Event": "" if event.event_id is None else str(event.event_id),
            "X-Familiar-Timestamp": stamp,
        }
        if self._secret is not None:
            signed = hmac.new(self._secret.encode(), f"{stamp}.".encode() + request.body, hashlib.sha256)
            headers["X-Familiar-Signature"] = f"sha256={signed.hexdigest()}"
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token}"
        return headers
