"""Who may use the API: tokens, of which only hashes are kept.

A token holds 256 random bits, so a plain SHA-256 of it cannot be guessed back; slow hashes are for passwords.
"""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_runtime.errors import ConfigError, InputError
from edge_runtime.storage.files import write_state
from edge_runtime.storage.ownership import what_helps

SCOPES = ("read", "name", "admin")
"""Each may do what those before it may: look; enrol, name and forget; set the device up."""
_PREFIX = "fam_"
_VERSION = 1
_MOST_TOKENS = 1000


@dataclass(frozen=True)
class Token:
    """One token, as it is kept.

    Attributes:
        name: what its owner calls it.
        scope: one of ``SCOPES``.
        sha256: of the token, hexadecimal.
        made: seconds since the Unix epoch.
        cameras: those it may see; None: all.
        expires: seconds since the Unix epoch at which it ends; None: when it is removed.
    """

    name: str
    scope: str
    sha256: str
    made: float
    cameras: tuple[str, ...] | None = None
    expires: float | None = None

    @property
    def over(self) -> bool:
        """Whether its time is up."""
        return self.expires is not None and time.time() >= self.expires

    def allows(self, scope: str) -> bool:
        """Whether what needs ``scope`` may be done with it."""
        return SCOPES.index(scope) <= SCOPES.index(self.scope)

    def sees(self, camera: str) -> bool:
        """Whether it may see a camera; what belongs to no camera, everybody may."""
        return self.cameras is None or camera in self.cameras or not camera


EVERYTHING = Token("this device", "admin", "", 0.0)
"""Who asks from this device itself, while no token was ever made."""


class Tokens:
    """The file of tokens: read again whenever it has changed, so that a token made or removed counts at once."""

    def __init__(self, path: Path) -> None:
        """Use the file at ``path``, which need not exist."""
        self.path = path
        self._read: tuple[object, tuple[Token, ...]] = (None, ())

    def all(self) -> tuple[Token, ...]:
        """Every token, in the order in which they were made.

        Raises:
            ConfigError: the file is damaged or cannot be read.
        """
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise ConfigError(f"{self.path}: the tokens cannot be read ({error.strerror})") from error
        stamp = (found.st_ino, found.st_size, found.st_mtime_ns)
        if stamp != self._read[0]:
            self._read = stamp, self._load()
        return self._read[1]

    def find(self, text: str) -> Token | None:
        """The token that ``text`` is, unless its time is up; compared in constant time with all of them."""
        given = _hash(text)
        matching = [token for token in self.all() if hmac.compare_digest(token.sha256, given)]
        return matching[0] if matching and not matching[0].over else None

    def holds(self, token: Token) -> bool:
        """Whether what was let in by ``token`` still is: it was not removed or changed, and its time is not up."""
        try:
            every = self.all()
        except ConfigError:
            return False
        return not every if token is EVERYTHING else token in every and not token.over

    def add(self, name: str, scope: str, cameras: Sequence[str] | None = None, expires: float | None = None) -> str:
        """Make a token; it is shown this once.

        Args:
            name: what its owner calls it.
            scope: one of ``SCOPES``.
            cameras: those it may see; None: all.
            expires: seconds since the Unix epoch at which it ends; None: when it is removed.

        Raises:
            InputError: a name that is taken or empty, or an unknown scope.
        """
        tokens = self.all()
        if scope not in SCOPES:
            raise InputError(f"token: expected a scope of {', '.join(SCOPES)}, received {scope!r}")
        if not name.strip() or not name.isprintable() or len(name) > 80:
            raise InputError("token: expected a name of 1 to 80 printable characters; choose another")
        if any(token.name == name for token in tokens):
            raise InputError(f"token {name!r}: expected a free name, there is one; familiar token remove {name}")
        if len(tokens) >= _MOST_TOKENS:
            raise InputError(f"token: expected at most {_MOST_TOKENS} tokens; familiar token remove NAME")
        text = _PREFIX + secrets.token_urlsafe(32)
        new = Token(name, scope, _hash(text), time.time(), None if cameras is None else tuple(cameras), expires)
        self._write((*tokens, new))
        return text

    def remove(self, name: str) -> None:
        """A token is of no use from now on.

        Raises:
            InputError: there is none of this name.
        """
        tokens = self.all()
        left = tuple(token for token in tokens if token.name != name)
        if len(left) == len(tokens):
            raise InputError(f"token {name!r}: expected one that was made, found none; familiar token list")
        self._write(left)

    def _load(self) -> tuple[Token, ...]:
        try:
            document = json.loads(self.path.read_bytes())
            if document["version"] != _VERSION:
                raise ValueError(f"version {document['version']}")
            return tuple(_token(row) for row in document["tokens"])
        except PermissionError as error:
            raise ConfigError(
                f"{self.path}: the tokens cannot be read ({error.strerror}); {what_helps(self.path, 'file')}"
            ) from error
        except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
            raise ConfigError(
                f"{self.path}: expected a file of tokens, found something else ({error}); "
                "delete it and make new ones with familiar token add"
            ) from error

    def _write(self, tokens: Sequence[Token]) -> None:
        document = {"version": _VERSION, "tokens": [dataclasses.asdict(token) for token in tokens]}
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_state(self.path, json.dumps(document, indent=1))


def _token(row: dict[str, Any]) -> Token:
    cameras, expires = row["cameras"], row.get("expires")
    token = Token(
        str(row["name"]),
        row["scope"],
        str(row["sha256"]),
        float(row["made"]),
        None if cameras is None else tuple(str(camera) for camera in cameras),
        None if expires is None else float(expires),
    )
    if token.scope not in SCOPES:
        raise ValueError(f"scope {token.scope!r}")
    return token


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
