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
        "confidence": "" if event.confidence is None else _surely(event.confidence),
        "visits": str(event.visits or ""),
    }
    return " ".join(Template(template or _USUAL[event.kind]).safe_substitute(words).split())


def _surely(share: float) -> str:
    """A probability in per cent, which is never certain, however it is rounded."""
    return "over 99%" if share > 0.99 else "under 1%" if share < 0.01 else f"{share:.0%}"


def make_request(event: Event, format: str, url: str, template: str = "", chat_id: str = "") -> Request:
    """The request for an event, with its picture and its film if it has them; where only one goes along, the film.

    Args:
        event: any.
        format: one of ``FORMATS``.
        url: of the receiver; of a Telegram bot without a method.
        template: see :func:`text_of`.
        chat_id: who gets a message of Telegram's.
    """
    text, picture = text_of(event, template), event.crop
    shown = attachments(event)
    if format == "json":
        more = {"text": text} if template else {}
        files = {"picture": picture, "clip": event.clip}
        encoded = {name: base64.b64encode(data).decode() for name, data in files.items() if data}
        return Request(url, _json({**event.as_json(), **more, **encoded}))
    if format == "ntfy":
        name, kind, data = (shown or [("", "text/plain; charset=utf-8", text.encode())])[-1]
        told = {"title": "Familiar", "message": text, "filename": name} if shown else {"title": "Familiar"}
        query = ("&" if urlsplit(url).query else "?") + urlencode(told)
        return Request(url + query, data, kind)
    if format == "slack":
        return Request(url, _json({"text": text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")}))
    if format == "discord":
        said: dict[str, Any] = {"content": text[:2000], "allowed_mentions": {"parse": []}}
        if not shown:
            return Request(url, _json(said))
        return _form(url, {"payload_json": json.dumps(said)}, {f"files[{n}]": file for n, file in enumerate(shown)})
    url = url.rstrip("/")
    if not shown:
        return Request(f"{url}/sendMessage", _json({"chat_id": chat_id, "text": text[:1024]}))
    # Telegram shows a film only in a coding that this device has no encoder for; a document it takes of any kind.
    method, field = ("sendDocument", "document") if event.clip else ("sendPhoto", "photo")
    return _form(f"{url}/{method}", {"chat_id": chat_id, "caption": text[:1024]}, {field: shown[-1]})


def attachments(event: Event) -> list[tuple[str, str, bytes]]:
    """File name, media type and bytes of an event's picture and film, as far as it has them."""
    files = (("face.jpg", "image/jpeg", event.crop), ("film.avi", "video/x-msvideo", event.clip))
    return [(name, kind, data) for name, kind, data in files if data]


def _form(url: str, fields: dict[str, str], files: dict[str, tuple[str, str, bytes]]) -> Request:
    """A form with files (RFC 7578)."""
    edge = secrets.token_hex(16)
    parts = [
        f'--{edge}\r\nContent-Disposition: form-data; name="{field}"\r\n\r\n{value}\r\n'.encode()
        for field, value in fields.items()
    ]
    for field, (name, kind, data) in files.items():
        head = f'--{edge}\r\nContent-Disposition: form-data; name="{field}"; filename="{name}"\r\n'
        parts += [f"{head}Content-Type: {kind}\r\n\r\n".encode(), data, b"\r\n"]
    return Request(url, b"".join([*parts, f"--{edge}--\r\n".encode()]), f"multipart/form-data; boundary={edge}")


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
