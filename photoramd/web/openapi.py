"""The API's description: OpenAPI 3.1, made of its operations and their types.

https://spec.openapis.org/oas/v3.1.1.html
"""

from __future__ import annotations

import hashlib
import inspect
import json
from functools import cache
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from photoramd.web import problems
from photoramd.web.api import ENDPOINTS
from photoramd.web.api.endpoint import PREFIX, Endpoint
from photoramd.web.picture_versions import is_known
from photoramd.web.problems import Problem
from photoramd.web.schemas import PhotoAsked

_ANY_PROBLEM = (400, 401, 503)
"""Statuses of problems that any operation may have."""

_CHANGE_PROBLEMS = (403, 415)

_TITLES = {
    200: "The answer.",
    202: "The daemon will do it.",
    304: "As it is known already.",
    400: "The request, or the query in it, cannot be read.",
    401: "The token is needed.",
    403: "Nothing can be changed here, or not from another site.",
    404: "There is none.",
    409: "The order is no longer known, or is not what it was.",
    413: "These are too many.",
    415: "The body is to be JSON.",
    422: "The photo cannot be decoded.",
    503: "Not now: the database cannot be read, or the answer would take too long.",
    504: "The disk of the photo does not answer.",
}

_PICTURES = (
    ("thumbnail", "A small picture of a photo, 320 pixels long.", ("image/webp",), (404, 422)),
    ("preview", "A larger picture of a photo, 1440 pixels long.", ("image/jpeg",), (404, 422)),
    ("original", "The file of a photo, to be saved.", ("application/octet-stream",), (404, 504)),
)
"""What `photoramd.web.media` serves: name, summary, media types, problems."""

_SCHEMAS = "#/components/schemas/{name}"


def document() -> dict[str, Any]:
    """Return the description."""
    types = [kind for each in ENDPOINTS for kind in (each.given, each.body) if kind is not None]
    asked: list[Any] = [each.asked for each in ENDPOINTS]
    _, components = msgspec.json.schema_components(
        [*types, *asked, PhotoAsked, Problem], ref_template=_SCHEMAS
    )
    paths: dict[str, dict[str, Any]] = {}
    for each in ENDPOINTS:
        paths.setdefault(PREFIX + each.path, {})[each.method.lower()] = _operation(each, components)
    for name, summary, media_types, failures in _PICTURES:
        paths[f"{PREFIX}/photos/{{id}}/{name}"] = {
            "get": _picture(name, summary, media_types, failures, components)
        }
    # They stand as parameters.
    for kind in {*asked, PhotoAsked} - set(types):
        components.pop(kind.__name__, None)
    # Python 3.13 takes the indentation out of docstrings; others do not.
    for each in components.values():
        if "description" in each:
            each["description"] = inspect.cleandoc(each["description"])
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "photoramd",
            "version": "1",
            "description": "What photoramd's gallery knows of photos, and edits of their tags.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "../..", "description": "Relative to this document."}],
        "security": [{}, {"token": []}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def text() -> str:
    """Return the description as JSON for people."""
    return json.dumps(document(), indent=2) + "\n"


def _operation(each: Endpoint, components: dict[str, Any]) -> dict[str, Any]:
    (given,), _ = msgspec.json.schema_components([each.given], ref_template=_SCHEMAS)
    changes = _CHANGE_PROBLEMS if each.method == "POST" else ()
    found: dict[str, Any] = {
        "operationId": _name(each.method, each.path),
        "summary": each.summary,
        "parameters": _parameters(components[each.asked.__name__], each.names_in_path),
        "responses": {
            str(each.status): {
                "description": _TITLES[each.status],
                "content": {"application/json": {"schema": given}},
            },
            **_problems((*_ANY_PROBLEM, *changes, *each.problems)),
        },
    }
    if each.body is not None:
        schema = {"$ref": _SCHEMAS.format(name=each.body.__name__)}
        found["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": schema}},
        }
    return found


def _picture(
    name: str,
    summary: str,
    media_types: tuple[str, ...],
    failures: tuple[int, ...],
    components: dict[str, Any],
) -> dict[str, Any]:
    version = {
        "name": "v",
        "in": "query",
        "schema": {"type": "string"},
        "description": "As `thumbnail` of a photo has it: what comes may be kept for ever.",
    }
    return {
        "operationId": f"photo_{name}",
        "summary": summary,
        "parameters": [*_parameters(components[PhotoAsked.__name__], ("id",)), version],
        "responses": {
            "200": {
                "description": _TITLES[200],
                "content": {kind: {} for kind in media_types},
            },
            **_problems((*_ANY_PROBLEM, *failures)),
        },
    }


def _parameters(schema: dict[str, Any], in_path: tuple[str, ...]) -> list[dict[str, Any]]:
    found = []
    for name, inner in schema["properties"].items():
        rest = dict(inner)
        description = rest.pop("description", None)
        is_path = name in in_path
        entry = {"name": name, "in": "path" if is_path else "query", "schema": rest}
        if is_path or name in schema.get("required", ()):
            entry["required"] = True
        found.append(entry | ({"description": description} if description else {}))
    return found


def _problems(statuses: tuple[int, ...]) -> dict[str, Any]:
    content = {problems.MEDIA_TYPE: {"schema": {"$ref": _SCHEMAS.format(name="Problem")}}}
    return {str(n): {"description": _TITLES[n], "content": content} for n in sorted(set(statuses))}


def _name(method: str, path: str) -> str:
    words = [part.strip("{}") for part in path.split("/") if part]
    return "_".join([*([] if method == "GET" else [method.lower()]), *words])


@cache
def _served() -> tuple[bytes, str]:
    body = msgspec.json.encode(document())
    return body, f'"{hashlib.blake2b(body, digest_size=9).hexdigest()}"'


async def describe(request: Request) -> Response:
    """Send the description."""
    body, tag = _served()
    if is_known(request, tag):
        return Response(status_code=304, headers={"ETag": tag})
    return Response(body, media_type="application/json", headers={"ETag": tag})


ROUTES = [Route(f"{PREFIX}/openapi.json", describe)]
