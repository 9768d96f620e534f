"""Addresses of cameras without what opens them: names and passwords are for the camera, not for logs and events."""

from __future__ import annotations

import re

_ADDRESS = re.compile(r"(?P<scheme>[a-zA-Z][a-zA-Z0-9+.-]*://)(?P<rest>[^\s'\"<>]+)")
_SECRET = re.compile(
    r"(?i)([?&;](?:user|usr|username|login|password|passwd|pass|pwd|pw|token|key|auth|secret)=)[^&#\s]*"
)


def masked(text: str) -> str:
    """``text`` with ``***`` for the user information of every URL in it, and for secrets in a URL's query."""
    return _ADDRESS.sub(_mask, text)


def _mask(found: re.Match[str]) -> str:
    rest = found["rest"]
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    _, colon, port = authority.rpartition(":")
    if "@" in authority:
        rest = f"***@{authority.rpartition('@')[2]}{rest[len(authority) :]}"
    elif "@" in rest and colon and not port.isdecimal() and not port.endswith("]"):
        # A password with an unescaped slash: no URL any more, but still a password.
        rest = f"***@{rest.rpartition('@')[2]}"
    return found["scheme"] + _SECRET.sub(r"\1***", rest)
