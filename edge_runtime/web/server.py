"""The application: every route of the table, the page's files, and the headers that keep browsers from harm."""

from __future__ import annotations

import base64
import importlib.resources
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

import anyio
import msgspec
from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as StarletteRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edge_runtime import errors
from edge_runtime.control.client import ControlClient
from edge_runtime.enrolment.poses import ANY
from edge_runtime.errors import BusyError, ControlError, FamiliarError
from edge_runtime.web import answers, fields, openapi
from edge_runtime.web.event_stream import EventStream, Newsroom
from edge_runtime.web.guard import COOKIE, SESSION_S, Guard
from edge_runtime.web.live_stream import LiveStream
from edge_runtime.web.routes import FILE, PASSPHRASE, PICTURE, ROUTES, Media, Route
from edge_runtime.web.tokens import Token
from edge_runtime.web.uploads import Decoder, body_of

STATUSES: dict[type[FamiliarError], int] = {
    errors.MissingError: 404,
    errors.MissingEventError: 404,
    errors.ImageError: 422,
    errors.EnrolmentError: 422,
    errors.BusyError: 409,
    errors.CameraError: 503,
    errors.ControlError: 503,
    errors.GalleryError: 503,
    errors.BundleError: 503,
    errors.InterpreterError: 503,
    errors.UnknownsError: 503,
    errors.EventLogError: 503,
}
"""By error; whatever else is the fault of the request: 400."""
_SLASH = "\ue000"
"""Stands for a slash within a name; of Unicode's private use."""
_MAX_JSON_BYTES = 64 << 10
_MOST_CALLS = 4
_MOST_LIVE = 2
_TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


class Api:
    """The API of one daemon."""

    def __init__(
        self, client: ControlClient, guard: Guard, max_megapixels: float, max_upload_bytes: int, secure: bool
    ) -> None:
        """Answer with the daemon behind ``client``.

        Args:
            client: to the daemon's control socket.
            guard: says who may.
            max_megapixels: of an uploaded picture.
            max_upload_bytes: of its file.
            secure: pages come over TLS, so the cookie may too.
        """
        self._client, self._guard = client, guard
        self._decoder = Decoder(max_megapixels)
        self._max_upload_bytes, self._secure = max_upload_bytes, secure
        self._calls = anyio.CapacityLimiter(_MOST_CALLS)
        self._live_threads = anyio.CapacityLimiter(_MOST_LIVE)
        self.newsroom = Newsroom(self.ask)
        self._own: dict[str, Callable[[Request, Token | None], Any]] = {
            "GET /api/health": self._health,
            "POST /api/session": self._log_in,
            "GET /api/session": self._session,
            "POST /api/session/end": self._log_out,
            "POST /api/faces/{name}/live": self._live,
        }

    async def ask(self, command: str, arguments: Mapping[str, Any], payload: bytes = b"") -> dict[str, Any]:
        """Ask the daemon; raises what it raises."""
        return await anyio.to_thread.run_sync(self._client.call, command, arguments, payload, limiter=self._calls)

    def endpoint(self, route: Route) -> Callable[[Request], Any]:
        """What answers one route."""

        async def endpoint(request: Request) -> Response:
            token = None
            if route.scope != "open":
                token = self._guard.admit(request, route.scope, route.method == "POST")
                if route.whole and token.cameras is not None:
                    raise HTTPException(403, "expected a token for all cameras; see familiar token list")
            if own := self._own.get(f"{route.method} {route.path}"):
                answer: Response = await own(request, token)
                return answer
            assert token is not None
            if route.command == "events.list" and "text/event-stream" in request.headers.get("accept", ""):
                return self._stream(request, token)
            arguments, payload = await self._arguments(route, request)
            check_camera(token, arguments.get("camera", ""))
            await self._check_event(token, arguments)
            answered = visible(await self.ask(route.command, arguments, payload), token)
            if isinstance(route.answer, str):
                return _file_of(answered[route.only], route.answer)
            return _json(answered, route.answer)

        return endpoint

    async def _check_event(self, token: Token, arguments: Mapping[str, Any]) -> None:
        """See that a token may see the camera of the event asked about, before anything is done with it."""
        if token.cameras is not None and "event_id" in arguments:
            place = {"after": arguments["event_id"] - 1, "limit": 1}
            for event in (await self.ask("events.list", place))["events"]:
                if event["event_id"] == arguments["event_id"]:
                    check_camera(token, event["camera"])

    async def _arguments(self, route: Route, request: Request) -> tuple[dict[str, Any], bytes]:
        given = {name: text.replace(_SLASH, "/") for name, text in request.path_params.items()}
        arguments: dict[str, Any] = dict(given)
        for name in ("template_id", "event_id"):
            if name in arguments:
                arguments[name] = _whole_number(name, arguments[name])
        if route.passphrase:
            arguments["passphrase"] = unquote(request.headers.get(PASSPHRASE, ""))
        payload = b""
        if route.query is not None:
            query = _checked(lambda kind: msgspec.convert(dict(request.query_params), kind, strict=False), route.query)
            arguments |= msgspec.structs.asdict(query)
        if route.body == PICTURE:
            payload = await self._decoder.png(await self._picture(request))
        elif route.body == FILE:
            if _media_type(request) not in ("", "application/octet-stream"):
                raise HTTPException(415, "expected a file (application/octet-stream)")
            payload = await body_of(request, self._max_upload_bytes)
        elif isinstance(route.body, type):
            arguments |= msgspec.structs.asdict(await _body(request, route.body))
        return arguments, payload

    async def _picture(self, request: Request) -> bytes:
        """The file of a picture, as the body or as the field ``file`` of a form."""
        kind = _media_type(request)
        if kind == "multipart/form-data":
            body = await body_of(request, self._max_upload_bytes + (64 << 10))

            async def replay() -> Message:
                return {"type": "http.request", "body": body, "more_body": False}

            form = await Request(request.scope, replay).form(max_files=1, max_fields=4)
            try:
                file = form.get("file")
                if not isinstance(file, UploadFile):
                    raise HTTPException(400, "expected a form with a picture in the field file")
                return await file.read()
            finally:
                await form.close()
        if kind and not kind.startswith("image/") and kind != "application/octet-stream":
            raise HTTPException(415, "expected a picture (image/*) or a form with one (multipart/form-data)")
        return await body_of(request, self._max_upload_bytes)

    async def _health(self, request: Request, token: Token | None) -> Response:
        try:
            state = (await self.ask("status", {}))["state"]
        except ControlError:
            state = "away"
        return _json({"state": state}, answers.Health)

    async def _session(self, request: Request, token: Token | None) -> Response:
        assert token is not None
        cameras = None if token.cameras is None else list(token.cameras)
        return _json({"name": token.name, "scope": token.scope, "cameras": cameras}, answers.Session)

    async def _log_in(self, request: Request, token: Token | None) -> Response:
        given = await _body(request, fields.TokenGiven)
        cookie, found = self._guard.log_in(request, given.token)
        response = await self._session(request, found)
        response.set_cookie(
            COOKIE, cookie, max_age=SESSION_S, httponly=True, samesite="strict", secure=self._secure, path="/"
        )
        return response

    async def _log_out(self, request: Request, token: Token | None) -> Response:
        self._guard.log_out(request)
        response = _json({"state": "ok"}, answers.Health)
        response.delete_cookie(COOKIE, path="/")
        return response

    async def _live(self, request: Request, token: Token | None) -> Response:
        assert token is not None
        given = await _body(request, fields.BeforeCamera)
        check_camera(token, given.camera)
        name = request.path_params["name"].replace(_SLASH, "/")
        if not self._live_threads.available_tokens:
            raise BusyError("two people are being enrolled before cameras already; try again in a minute")
        # What can be wrong from the start is said with a status of its own.
        await self.ask("enroll.pose", {"camera": given.camera, "want": ANY, "name": name})
        return LiveStream(self._client, self._live_threads, name, given.camera, given.views)

    def _stream(self, request: Request, token: Token) -> Response:
        if self.newsroom.full:
            raise HTTPException(503, "too many listen to events already; try again", {"Retry-After": "10"})
        last = request.headers.get("last-event-id", "")
        return EventStream(
            self.newsroom,
            self.ask,
            token,
            self._guard.still,
            int(last) if last.isdecimal() and len(last) < 16 else None,
        )


def application(api: Api) -> ASGIApp:
    """The ASGI application: API, OpenAPI document and page."""
    routes = [StarletteRoute(route.path, api.endpoint(route), methods=[route.method]) for route in ROUTES]
    # What stands literally comes before what any name fits.
    routes.sort(key=lambda route: route.path.count("{"))
    routes.append(StarletteRoute("/api/openapi.json", _openapi, methods=["GET"]))
    routes += [StarletteRoute(f"/{name}", _file(content, kind)) for name, (content, kind) in _page().items()]
    return Starlette(
        routes=routes,
        middleware=[Middleware(_SafeHeaders), Middleware(_EncodedSlashes)],
        exception_handlers={HTTPException: _http_error, FamiliarError: _familiar_error, Exception: _broken},
    )


def visible(answer: dict[str, Any], token: Token) -> dict[str, Any]:
    """What a token may see of an answer: of no camera but its own."""
    if token.cameras is None:
        return answer
    seen = dict(answer)
    if isinstance(seen.get("cameras"), dict):
        seen["cameras"] = {name: value for name, value in seen["cameras"].items() if token.sees(name)}
    for name in ("events", "records", "visits"):
        if isinstance(seen.get(name), list):
            seen[name] = [row for row in seen[name] if token.sees(row.get("camera", ""))]
    if "strangers" in seen:
        seen["strangers"] = [row for row in seen["strangers"] if any(map(token.sees, row["cameras"]))]
    if "troubles" in seen:
        seen["troubles"] = [row for row in seen["troubles"] if _of_no_other_camera(row["part"], token)]
    return seen


def _of_no_other_camera(part: str, token: Token) -> bool:
    kind, _, name = part.partition(" ")
    return kind not in ("camera", "pace") or token.sees(name)


def check_camera(token: Token, camera: str) -> None:
    """See that a token may see a camera.

    Raises:
        HTTPException: 403.
    """
    if not token.sees(camera):
        raise HTTPException(403, "expected a token for this camera; see familiar token list")


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def _body(request: Request, kind: type[Any]) -> Any:
    if _media_type(request) != "application/json":
        raise HTTPException(415, "expected a JSON body with the header Content-Type: application/json")
    body = await body_of(request, _MAX_JSON_BYTES)
    return _checked(lambda wanted: msgspec.json.decode(body, type=wanted), kind)


def _checked(read: Callable[[type[Any]], Any], kind: type[Any]) -> Any:
    try:
        return read(kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise HTTPException(400, f"expected what /api/openapi.json says, received something else ({error})") from error


def _whole_number(name: str, text: str) -> int:
    if not text.isdecimal() or len(text) > 16:
        raise HTTPException(404, f"{name}: expected a number")
    return int(text)


def _file_of(given: str, kind: Media) -> Response:
    """Text as it is, anything else from base64."""
    if not given:
        raise HTTPException(404, "no picture is kept here; see [events] keep")
    headers = {"cache-control": "no-store"}
    if kind == "application/octet-stream":
        headers["content-disposition"] = 'attachment; filename="people.familiar"'
    return Response(given if kind == "text/plain" else base64.b64decode(given), media_type=kind, headers=headers)


def _json(answer: dict[str, Any], kind: Any, status: int = 200) -> Response:
    body = msgspec.json.encode(msgspec.convert(answer, kind, strict=False))
    return Response(body, status, {"cache-control": "no-store"}, "application/json")


def _failed(status: int, text: str, headers: Mapping[str, str] | None = None) -> Response:
    response = _json({"error": text}, answers.Failed, status)
    response.headers.update(headers or {})
    return response


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _failed(error.status_code, error.detail, error.headers)


async def _familiar_error(request: Request, error: Exception) -> Response:
    status = next((STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES), 400)
    return _failed(status, str(error))


async def _broken(request: Request, error: Exception) -> Response:
    return _failed(500, f"the server failed ({type(error).__name__}); see the log: journalctl -u familiar")


async def _openapi(request: Request) -> Response:
    return Response(msgspec.json.encode(openapi.document()), media_type="application/json")


def _page() -> dict[str, tuple[bytes, str]]:
    """Each file of the page, by its path; the first page has none."""
    files = {}
    for file in sorted(importlib.resources.files("edge_runtime.web").joinpath("page").iterdir(), key=lambda f: f.name):
        kind = _TYPES.get(file.name[file.name.rfind(".") :])
        if kind is not None:
            files["" if file.name == "index.html" else file.name] = file.read_bytes(), kind
    return files


def _file(content: bytes, kind: str) -> Callable[[Request], Any]:
    async def endpoint(request: Request) -> Response:
        return Response(content, media_type=kind, headers={"cache-control": "no-cache"})

    return endpoint


class _EncodedSlashes:
    """Keeps a slash of a name, %2F, from parting the path; the router sees paths decoded."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        raw: bytes = scope.get("raw_path", b"")
        if b"%2f" in raw.lower():
            parts = raw.decode("ascii", "replace").split("/")
            scope = {**scope, "path": "/".join(unquote(part).replace("/", _SLASH) for part in parts)}
        await self._app(scope, receive, send)


class _SafeHeaders:
    """Sends ``_HEADERS`` with whatever is answered."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._headers = [(name.encode(), value.encode()) for name, value in _HEADERS.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *self._headers]
            await send(message)

        await self._app(scope, receive, sending)
