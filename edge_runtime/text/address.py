"""What a camera is reached at: a text that may hold a password, so that nothing shows it by accident."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import SplitResult, urlsplit

from edge_runtime.text.masking import remember

_HERE = frozenset({"v4l2", "rpicam", "file", "dir", "synthetic"})
"""Sources on this device: their argument is a number, a path or options, and no secret."""
_PATHS = frozenset({"file", "dir"})
_HARMLESS = re.compile(r"[a-z0-9]{0,10}(?::\d{0,3})?|/dev/[A-Za-z0-9/_.-]+")
"""What is shown of a text that is no source: a slip like ``v4l:0``, which helps to be seen, and nothing else."""
_URL = re.compile(r"(?:stream:)?(?P<url>[A-Za-z][A-Za-z0-9+.-]*://.*)", re.DOTALL)
_VALUE = re.compile(r"[^?&;/#=_\s]+=([^?&;/#\s]*)")


class AddressError(ValueError):
    """An address that cannot be used; its text says why and repeats nothing of it."""


class Address:
    """The source of a camera. Whatever prints it shows scheme, host and port; only :meth:`reveal` gives it whole.

    Everything else in it (user, password, path, query) is remembered as secret, so that no text shows it either.
    """

    __slots__ = ("_shown", "_text")

    def __init__(self, text: str | Address) -> None:
        """Take an address; any text will do, :meth:`url` says whether it can be used."""
        self._text: str = text.reveal() if isinstance(text, Address) else text
        self._shown = self._learn()

    def reveal(self) -> str:
        """The whole text, for whoever opens it."""
        return self._text

    def split(self) -> tuple[str, str]:
        """Name of the source and its argument, at the first colon; the argument is as secret as the whole."""
        name, _, argument = self._text.partition(":")
        return name, argument

    def __str__(self) -> str:
        """What may be shown."""
        return self._shown

    def __repr__(self) -> str:
        return repr(self._shown)

    def __format__(self, how: str) -> str:
        return format(self._shown, how)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Address) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __bool__(self) -> bool:
        return bool(self._text)

    def __copy__(self) -> Address:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Address:
        return self

    def __reduce__(self) -> tuple[type[Address], tuple[str]]:
        return Address, (self._text,)

    def _learn(self) -> str:
        """Remember what is secret; returns what may be shown."""
        name, _, argument = self._text.partition(":")
        if name in _HERE and "://" not in argument and ("@" not in argument or name in _PATHS):
            return self._text
        found = _URL.fullmatch(self._text)
        if found is None:
            if _HARMLESS.fullmatch(self._text):
                return self._text
            shown = f"{name}:***" if name in _HERE else "***"
            remember([self._text, argument], shown)
            remember(_secrets(self._text))
            return shown
        if not found["url"].partition("://")[2]:
            return self._text  # nothing but the scheme, which is no secret
        try:
            shown = _shown(split_url(found["url"]))
        except AddressError:
            shown = f"{found['url'].partition(':')[0]}://***"
        remember([self._text, found["url"]], shown)
        remember(_secrets(found["url"]))
        return shown


NOWHERE = Address("")
"""What stands where no source is given."""


def split_url(url: str) -> SplitResult:
    """The parts of an address of a stream.

    Raises:
        AddressError: they cannot be told apart, so that a password could be taken for a host.
    """
    if "#" in url:
        raise AddressError("text has a # in it")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise AddressError("host or port cannot be read") from None
    behind = url.partition("://")[2].partition(parts.netloc)[2] if parts.netloc else url
    for found, why in (
        (not parts.hostname, "host is missing"),
        (port == 0, "port is 0"),
        ("@" in behind, "path has an @ in it"),
        (not url.isprintable(), "text has a character in it that cannot be printed"),
    ):
        if found:
            raise AddressError(why)
    return parts


def _shown(parts: SplitResult) -> str:
    _, at, place = parts.netloc.rpartition("@")
    more = "/***" if parts.path.strip("/") or parts.query else parts.path
    return f"{parts.scheme}://{'***@' if at else ''}{place}{more}"


def _secrets(url: str) -> list[str]:
    """The parts of a URL that are nobody's business, also where it is put together wrongly."""
    rest = url.partition("://")[2] or url
    found = [rest]
    before, at, after = rest.rpartition("@")
    if at:
        _, colon, password = before.partition(":")
        # With what stands around it, where it is too short to stand alone.
        found += [f"{before}@", f":{password}@", before] if colon else [f"{before}@"]
        found += [password] if colon else []
    behind = re.split(r"[/?#]", after, maxsplit=1)
    if len(behind) > 1 and behind[1]:
        found += [behind[1]] if _looks_secret(behind[1]) else []
        pairs = [match[0] for match in _VALUE.finditer(behind[1])]
        found += pairs
        found += [value for pair in pairs if _looks_secret(value := pair.partition("=")[2])]
        found += [piece for piece in re.split(r"[/?&;]", behind[1]) if "=" not in piece and _looks_secret(piece)]
        # user=admin_password=…_channel=1, as some cameras have it in the path
        for value in re.findall(r"=([^=&;/?]*?)(?:_[A-Za-z]+(?==)|[&;/?]|$)", behind[1]):
            found += [value] if _looks_secret(value) else []
    return found


def _looks_secret(text: str) -> bool:
    """Whether a part of a path or query is more than one of the words that every text may have."""
    return len(text) >= 8 or (any(map(str.isdigit, text)) and any(map(str.isalpha, text)))
