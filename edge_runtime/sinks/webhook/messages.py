"""What is sent for an event: all of it as JSON, or a line of text in the shape that a service of messages wants.

ntfy: https://docs.ntfy.sh/publish/; Slack: https://api.slack.com/messaging/webhooks; Discord:
https://discord.com/developers/docs/resources/webhook#execute-webhook; Telegram:
https://core.telegram.org/bots/api#sendmessage. Names come from people: they are text there, and never markup.
"""

from __future__ import annotations

import base64
import json
import secrets
import time
from dataclasses import dataclass
from string import Template
from typing import Any
from urllib.parse import urlencode, urlsplit

from edge_runtime.errors import ConfigError
from edge_runtime.types import Event

FORMATS = ("json", "ntfy", "slack", "discord", "telegram")
WORDS = ("person", "camera", "kind", "reason", "time", "confidence", "visits")
_USUAL = {
    "appeared": "Somebody has appeared at $camera",
    "identified": "$person at $camera",
    "unknown": "Somebody unknown at $camera",
    "left": "$person has left $camera",
    "rejected": "Somebody at $camera, not to be recognised ($reason)",
    "camera_lost": "Camera $camera is lost: $reason",
    "camera_back": "Camera $camera is back",
    "degraded": "Degraded: $reason",
    "recovered": "Recovered: $reason",
}


@dataclass(frozen=True)
class Request:
    """A request before it is signed."""

    url: str
    body: bytes
    content_type: str = "application/json"


def check_text(template: str, where: str) -> None:
    """See that a text of the owner's has known words only.

    Raises:
        ConfigError: it has others, or a ``$`` alone.
    """
    if not Template(template).is_valid() or set(Template(template).get_identifiers()) - set(WORDS):
        raise ConfigError(f"{where}, text: expected words of {', '.join(WORDS)} after a $, found {template!r}")


def text_of(event: Event, template: str = "") -> str:
    """An event on one line.

    Args:
        event: any.
        template: with ``$word`` for each of ``WORDS``; empty: the usual of its kind.
    """
    words = {
        "person": event.person or "Somebody unknown",
        "camera": event.camera or "the device",
        "kind": event.kind,
        "reason": event.reason or "",
        "time": time.strftime("%H:%M", time.localtime(event.wall_time)),
        "confidence": "" if event.confidence is None else f"{event.confidence:.0%}",
        "visits": str(event.visits or ""),
    }
    return " ".join(Template(template or _USUAL[event.kind]).safe_substitute(words).split())


def make_request(event: Event, format: str, url: str, template: str = "", chat_id: str = "") -> Request:
    """The request for an event, with its picture if it has one.

    Args:
        event: any.
        format: one of ``FORMATS``.
        url: of the receiver; of a Telegram bot without a method.
        template: see :func:`text_of`.
        chat_id: who gets a message of Telegram's.
    """
    text, picture = text_of(event, template), event.crop
    if format == "json":
        more = {"text": text} if template else {}
        shown = {"picture": base64.b64encode(picture).decode()} if picture else {}
        return Request(url, _json({**event.as_json(), **more, **shown}))
    if format == "ntfy":
        told = {"title": "Familiar", "message": text} if picture else {"title": "Familiar"}
        more = {"filename": "face.jpg"} if picture else {}
        query = ("&" if urlsplit(url).query else "?") + urlencode({**told, **more})
        return Request(url + query, picture or text.encode(), "image/jpeg" if picture else "text/plain; charset=utf-8")
    if format == "slack":
        return Request(url, _json({"text": text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")}))
    if format == "discord":
        said: dict[str, Any] = {"content": text[:2000], "allowed_mentions": {"parse": []}}
        if picture is None:
            return Request(url, _json(said))
        return _form(url, {"payload_json": json.dumps(said)}, "files[0]", picture)
    method, words = ("sendPhoto", "caption") if picture else ("sendMessage", "text")
    message = {"chat_id": chat_id, words: text[:1024]}
    url = f"{url.rstrip('/')}/{method}"
    return _form(url, message, "photo", picture) if picture else Request(url, _json(message))


def _form(url: str, fields: dict[str, str], name: str, picture: bytes) -> Request:
    """A form with a file (RFC 7578)."""
    edge = secrets.token_hex(16)
    parts = [
        f'--{edge}\r\nContent-Disposition: form-data; name="{field}"\r\n\r\n{value}\r\n'.encode()
        for field, value in fields.items()
    ]
    head = f'--{edge}\r\nContent-Disposition: form-data; name="{name}"; filename="face.jpg"\r\n'
    parts += [f"{head}Content-Type: image/jpeg\r\n\r\n".encode(), picture, f"\r\n--{edge}--\r\n".encode()]
    return Request(url, b"".join(parts), f"multipart/form-data; boundary={edge}")


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
