"""The OpenAPI 3.1 document of the API, made of the table of routes and its types."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import msgspec

from edge_runtime.web.answers import Failed
from edge_runtime.web.routes import FILE, PASSPHRASE, PICTURE, ROUTES, Route

_REF = "#/components/schemas/{name}"
_FAILURES = {
    "400": "the request makes no sense",
    "401": "no token, or a wrong one",
    "403": "a token that does not reach so far, or another site's page",
    "404": "there is no such thing",
    "409": "another program or a running request is in the way; try again",
    "422": "the picture cannot be used",
    "429": "too many wrong tokens",
    "503": "no daemon answers",
}
_OF_BODIES = {"408": "the body took too long", "413": "the body is too large", "415": "the body has another type"}
_PASSPHRASE = {
    "name": PASSPHRASE,
    "in": "header",
    "required": True,
    "schema": {"type": "string", "minLength": 8, "maxLength": 1000, "pattern": "^[!-~]+$"},
    "description": "of the file, percent-encoded UTF-8",
}
_WHOLE_NUMBERS = ("template_id", "event_id")


@cache
def document() -> dict[str, Any]:
    """The whole document, JSON-ready."""
    types = {Failed} | {kind for route in ROUTES for kind in (route.answer, route.body) if isinstance(kind, type)}
    ordered = sorted(types, key=lambda kind: kind.__name__)
    _, components = msgspec.json.schema_components(ordered, ref_template=_REF)
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Familiar",
            "version": "1",
            "description": "Who is in front of the cameras of this device, and who is enrolled on it.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "familiar token add NAME"},
                "session": {"type": "apiKey", "in": "cookie", "name": "familiar"},
            },
        },
    }


def _operation(route: Route) -> dict[str, Any]:
    failures = _FAILURES | (_OF_BODIES if route.body else {})
    operation: dict[str, Any] = {
        "operationId": f"{route.method.lower()} {route.path}",
        "summary": route.summary,
        "responses": {
            "200": {"description": "done", "content": _content(route)},
            **{code: _failure(text) for code, text in failures.items()},
        },
        "security": [] if route.scope == "open" else [{"token": []}, {"session": []}],
    }
    if route.scope != "open":
        operation["x-scope"] = route.scope
    parameters = [*map(_path_parameter, re.findall(r"{(\w+)}", route.path)), *_query_parameters(route)]
    if route.passphrase:
        parameters.append(_PASSPHRASE)
    if parameters:
        operation["parameters"] = parameters
    if route.body is not None:
        operation["requestBody"] = {"required": True, "content": _body(route.body)}
    return operation


def _content(route: Route) -> dict[str, Any]:
    if isinstance(route.answer, str):
        return {route.answer: {"schema": {"type": "string", "contentMediaType": route.answer}}}
    content: dict[str, Any] = {"application/json": {"schema": _ref(route.answer)}}
    if route.command == "events.list":
        content["text/event-stream"] = {"schema": {"type": "string"}}
    return content


def _body(body: type[msgspec.Struct] | str) -> dict[str, Any]:
    if isinstance(body, type):
        return {"application/json": {"schema": _ref(body)}}
    if body == FILE:
        return {
            "application/octet-stream": {"schema": {"type": "string", "contentMediaType": "application/octet-stream"}}
        }
    assert body == PICTURE
    picture = {"type": "string", "contentMediaType": "image/*"}
    form = {"type": "object", "properties": {"file": picture}, "required": ["file"]}
    return {
        "image/jpeg": {"schema": picture},
        "image/png": {"schema": picture},
        "multipart/form-data": {"schema": form},
    }


def _path_parameter(name: str) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": 200}
    if name in _WHOLE_NUMBERS:
        schema = {"type": "integer", "minimum": 0, "maximum": 2**53}
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _query_parameters(route: Route) -> list[dict[str, Any]]:
    if route.query is None:
        return []
    _, components = msgspec.json.schema_components([route.query], ref_template=_REF)
    properties = components[route.query.__name__]["properties"]
    return [
        {
            "name": name,
            "in": "query",
            "schema": {key: value for key, value in schema.items() if key != "description"},
            **({"description": schema["description"]} if "description" in schema else {}),
        }
        for name, schema in properties.items()
    ]


def _ref(kind: type) -> dict[str, str]:
    return {"$ref": _REF.format(name=kind.__name__)}


def _failure(text: str) -> dict[str, Any]:
    return {"description": text, "content": {"application/json": {"schema": _ref(Failed)}}}
