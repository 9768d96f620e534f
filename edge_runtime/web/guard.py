"""Who asks, and whether they may: tokens, sessions of the page, and what another site's page could send.

A browser sends its cookie wherever a page makes it; so what changes something is taken only from our own page
(``Origin`` and ``Sec-Fetch-Site``, Fetch standard), and cookies are ``SameSite=Strict``. While no token was ever made,
only this device itself may ask, by a name that means this device: a foreign name that leads here (DNS rebinding)
is refused.
"""

from __future__ import annotations

import ipaddress
import secrets
import time
from collections import OrderedDict

from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection

from edge_runtime.system.loopback import is_loopback
from edge_runtime.web.tokens import EVERYTHING, Token, Tokens

COOKIE = "familiar"
SESSION_S = 30 * 24 * 3600
_MOST_SESSIONS = 200
_MOST_FAILURES, _FAILURES_S = 10, 60.0
"""So many wrong tokens from one address in so many seconds; then it waits."""
_MOST_ADDRESSES = 1000
_FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip")


class Guard:
    """Lets requests in; used from one thread."""

    def __init__(self, tokens: Tokens, behind_proxy: bool) -> None:
        """Decide by ``tokens``; behind a proxy everybody seems to be this device, so everybody needs one."""
        self._tokens = tokens
        self._behind_proxy = behind_proxy
        self._sessions: OrderedDict[str, tuple[str, float]] = OrderedDict()
        """By cookie: hash of the session's token, and monotonic seconds of its end."""
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def admit(self, request: HTTPConnection, scope: str, changes: bool) -> Token:
        """Who asks.

        Args:
            request: their request.
            scope: what they need.
            changes: something may be another thing afterwards.

        Raises:
            HTTPException: 401 without a token that counts, 403 where it does not reach or another site asks, 429 after
                too many wrong ones.
        """
        token = self._who(request, changes)
        if not token.allows(scope):
            raise HTTPException(403, f"expected a token with the scope {scope}, this one has {token.scope}")
        return token

    def log_in(self, request: HTTPConnection, text: str) -> tuple[str, Token]:
        """The cookie of a new session, and whose it is; raises as :meth:`admit` does."""
        check_origin(request)
        token = self._by_token(request, text)
        while len(self._sessions) >= _MOST_SESSIONS:
            self._sessions.popitem(last=False)
        cookie = secrets.token_urlsafe(32)
        self._sessions[cookie] = token.sha256, time.monotonic() + SESSION_S
        return cookie, token

    def log_out(self, request: HTTPConnection) -> None:
        """End the session, if there is one."""
        check_origin(request)
        self._sessions.pop(request.cookies.get(COOKIE, ""), None)

    def still(self, token: Token) -> bool:
        """Whether who was admitted with ``token`` would be again; for answers that go on."""
        return self._tokens.holds(token)

    def _who(self, request: HTTPConnection, changes: bool) -> Token:
        scheme, _, text = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and text.strip():
            return self._by_token(request, text.strip())
        if changes:
            check_origin(request)
        digest, until_s = self._sessions.get(request.cookies.get(COOKIE, ""), ("", 0.0))
        if until_s > time.monotonic():
            # A token that was removed ends its sessions; one that was narrowed narrows them.
            for token in self._tokens.all():
                if token.sha256 == digest and not token.over:
                    return token
        if not self._behind_proxy and not self._tokens.all() and _from_here(request):
            return EVERYTHING
        raise HTTPException(
            401, "expected a token; make one on the device: familiar token add NAME", {"WWW-Authenticate": "Bearer"}
        )

    def _by_token(self, request: HTTPConnection, text: str) -> Token:
        address, now = _address(request), time.monotonic()
        count, since_s = self._failures.get(address, (0, now))
        if now - since_s > _FAILURES_S:
            count, since_s = 0, now
        if count >= _MOST_FAILURES:
            wait = str(int(since_s + _FAILURES_S - now) + 1)
            raise HTTPException(429, f"too many wrong tokens; wait {wait} s", {"Retry-After": wait})
        token = self._tokens.find(text)
        if token is None:
            while len(self._failures) >= _MOST_ADDRESSES:
                self._failures.popitem(last=False)
            self._failures[address] = count + 1, since_s
            raise HTTPException(
                401, "expected a token that was made here; familiar token list", {"WWW-Authenticate": "Bearer"}
            )
        return token


def check_origin(request: HTTPConnection) -> None:
    """See that no page of another site sent this.

    Raises:
        HTTPException: 403.
    """
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    host = request.headers.get("host", "")
    if site not in (None, "same-origin", "none") or (origin is not None and origin.partition("://")[2] != host):
        raise HTTPException(403, "expected a request of this page or of a program, another site's page sent it")


def _from_here(request: HTTPConnection) -> bool:
    """Whether this device asks for itself, and nobody through it."""
    name = request.headers.get("host", "")
    host = name[1 : name.find("]")] if name.startswith("[") else name.rpartition(":")[0] or name
    peer = request.client.host if request.client else ""
    return is_loopback(peer) and is_loopback(host) and not any(name in request.headers for name in _FORWARDED)


def _address(request: HTTPConnection) -> str:
    """Where wrong tokens are counted: an address, or the network of an IPv6 one, which has as many as it likes."""
    peer = request.client.host if request.client else ""
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return peer
    return str(ipaddress.ip_network((address, 64), strict=False)) if address.version == 6 else peer
