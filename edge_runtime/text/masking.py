"""Addresses of cameras without what opens them: names and passwords are for the camera, not for logs and events."""

from __future__ import annotations

import re

_ADDRESS = re.compile(r"(?P<start>(?:[a-zA-Z][a-zA-Z0-9+.-]*:)?//)(?P<rest>[^\s'\"<>]+)")
_SECRET = re.compile(
    r"(?i)([?&;](?:user|usr|username|login|password|passwd|pass|pwd|pw|token|key|auth|secret)=)[^&#\s'\"]*"
)


def masked(text: str) -> str:
    """``text`` with ``***`` for the user information of every address in it, and for secrets in an address's query.

    Everything up to an address's last ``@`` goes, since passwords that hold one, or a slash, are rarely escaped.
    """
    return _ADDRESS.sub(_mask, text)


def _mask(found: re.Match[str]) -> str:
    rest = found["rest"]
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    _, colon, port = authority.rpartition(":")
    # What follows the colon of a host is its port; anything else is a password with a slash in it.
    password = bool(colon) and not port.isdecimal() and not port.endswith("]")
    if "@" in authority or ("@" in rest and password):
        rest = f"***@{rest.rpartition('@')[2]}"
    return found["start"] + _SECRET.sub(r"\1***", rest)
