"""Passwords in texts that people read: sources are addresses, and addresses may carry credentials."""

from __future__ import annotations

import re

_CREDENTIALS = re.compile(r"//[^\s\"']*@")
_PARAMETER = re.compile(r"([?&;](?:pass(?:word)?|pwd|token|key|secret|auth)=)[^&;\s\"']+", re.IGNORECASE)


def masked(text: str) -> str:
    """The text with ``***`` for user and password of every address, and for parameters that hold a secret.

    Everything up to an address's last ``@`` goes, since passwords that hold one are rarely escaped.
    """
    return _PARAMETER.sub(r"\1***", _CREDENTIALS.sub("//***@", text))
