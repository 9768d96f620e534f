"""Secrets kept out of whatever is shown: those that are known by what they are, and those an address shows by its form.

What a camera, a broker or a receiver is reached with is remembered when it is read (``remember``); from then on it is
``***`` in every text that is shown, whoever wrote it and however it is spelt there. Addresses that nobody announced
lose their user information, and the secrets in their query, by their form.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from urllib.parse import quote, quote_plus, unquote, unquote_plus

_ADDRESS = re.compile(r"(?P<start>(?:[a-zA-Z][a-zA-Z0-9+.-]*:)?//)(?P<rest>[^\s'\"<>]+)")
_SECRET = re.compile(
    r"(?i)([?&;](?:user|usr|username|login|password|passwd|pass|pwd|pw|token|key|auth|secret)=)[^&#\s'\"]*"
)
_SHORTEST = 4
"""Letters and digits; a shorter secret cannot be told from any other word."""
_known: dict[str, str] = {}
"""What is shown instead of each text that must not be."""
_pattern: re.Pattern[str] | None = None


def remember(secrets: Iterable[str], shown: str = "***") -> None:
    """Show ``shown`` instead of these texts from now on, in every spelling that an address or JSON has for them.

    What has fewer than four letters and digits is passed over: remember it with what stands around it.
    """
    global _pattern
    for secret in secrets:
        for text in _spellings(secret):
            secret_enough = sum(map(str.isalnum, text)) >= _SHORTEST and not text.endswith("://")
            if secret_enough and _known.get(text) != shown:
                _known[text] = shown
                _pattern = None


def masked(text: str) -> str:
    """``text`` with ``***`` for every secret in it that is known, and for the user information of every address.

    Everything up to an address's last ``@`` goes, since passwords that hold one, or a slash, are rarely escaped.
    """
    return _ADDRESS.sub(_mask, without_known(text))


def without_known(text: str) -> str:
    """``text`` with ``***`` for the secrets that are known, and no other change."""
    global _pattern
    if not _known:
        return text
    if _pattern is None:
        # The longest first: an address whole before the password in it.
        _pattern = re.compile("|".join(map(_alone, sorted(_known, key=len, reverse=True))))
    return _pattern.sub(lambda found: _known[found[0]], text)


def _alone(secret: str) -> str:
    """A pattern for a secret, but not within a longer word: ``live`` is no part of ``delivered``."""
    before = r"(?<![^\W_])" if secret[0].isalnum() else ""
    after = r"(?![^\W_])" if secret[-1].isalnum() else ""
    return before + re.escape(secret) + after


def _spellings(secret: str) -> set[str]:
    plain = {secret, unquote(secret), unquote_plus(secret)}
    spelt = plain | {change(text) for text in plain for change in (_quoted, _quoted_whole, _quoted_plus)}
    return {
        form for text in spelt for form in (text, json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1])
    }


def _quoted(text: str) -> str:
    return quote(text, errors="surrogatepass")


def _quoted_whole(text: str) -> str:
    return quote(text, safe="", errors="surrogatepass")


def _quoted_plus(text: str) -> str:
    return quote_plus(text, errors="surrogatepass")


def _mask(found: re.Match[str]) -> str:
    rest = found["rest"]
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    _, colon, port = authority.rpartition(":")
    # What follows the colon of a host is its port; anything else is a password with a slash in it.
    password = bool(colon) and not port.isdecimal() and not port.endswith("]")
    if "@" in authority or ("@" in rest and password):
        rest = f"***@{rest.rpartition('@')[2]}"
    return found["start"] + _SECRET.sub(r"\1***", rest)
