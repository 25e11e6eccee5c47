"""An operation of the API: how requests are checked, answered and described."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
from anyio import to_thread
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from photoramd.web.readers import Reader
from photoramd.web.schemas import Asked
from photoramd.web.site import Site, site_of

PREFIX = "/api/v1"

A = TypeVar("A", bound=Asked)
B = TypeVar("B", bound=Asked)

Respond = Callable[[Request, Any], Awaitable[Response]]
"""Answers a request whose parameters were checked."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An operation.

    Attributes:
        method: Of HTTP.
        path: Below `PREFIX`; names in braces are parameters.
        summary: What it does, in one sentence.
        asked: The type of its parameters, in path and query.
        respond: Answers.
        given: The type of the answer.
        body: The type of the body; None: it has none.
        status: Of the answer.
        problems: Statuses of problems besides those that any operation may have.
    """

    method: str
    path: str
    summary: str
    asked: type[Asked]
    respond: Respond
    given: Any
    body: type[Asked] | None = None
    status: int = 200
    problems: tuple[int, ...] = ()

    @property
    def names_in_path(self) -> tuple[str, ...]:
        """The parameters that are in the path."""
        parts = self.path.split("/")
        return tuple(part[1:-1] for part in parts if part.startswith("{"))

    def route(self) -> Route:
        """Return the route for it."""

        async def handle(request: Request) -> Response:
            return await self.respond(request, self._parameters(request))

        return Route(PREFIX + self.path, handle, methods=[self.method])

    def _parameters(self, request: Request) -> Asked:
        given = dict(request.path_params)
        for name, value in request.query_params.multi_items():
            if name in given:
                raise HTTPException(400, f"{name} is given twice")
            given[name] = value
        return checked(given, self.asked, is_text=True)


def checked(value: object, type_: type[A], *, is_text: bool = False) -> A:
    """Return a value as a type.

    Args:
        value: What was sent.
        type_: What it should be.
        is_text: Whether numbers come as text, as in a URL.

    Raises:
        HTTPException: It is none: status 400.
    """
    try:
        if isinstance(value, bytes):
            return msgspec.json.decode(value, type=type_)
        return msgspec.convert(value, type_, strict=not is_text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise HTTPException(400, _sentence(str(error))) from error


def _sentence(message: str) -> str:
    """Return what msgspec says of a value as people read it: "limit: expected `int` <= 500"."""
    what, _, where = message.partition(" - at `$")
    name = where.rstrip("`").lstrip(".")
    text = what[:1].lower() + what[1:]
    return f"{name}: {text}" if name else f"the request cannot be read: {text}"


def json_response(value: object, status: int = 200) -> Response:
    """Return a value as JSON."""
    headers = {"Cache-Control": "no-cache"}
    return Response(msgspec.json.encode(value), status, headers, media_type="application/json")


def reading(answer: Callable[[Site, Reader, A], object], *, needs_all: bool = False) -> Respond:
    """Return what answers by asking the database, in a thread; see `Readers.ask`."""

    async def respond(request: Request, asked: A) -> Response:
        site = site_of(request)
        return await site.readers.ask(
            lambda reader: json_response(answer(site, reader, asked)), needs_all=needs_all
        )

    return respond


def writing(
    body: type[B] | None, act: Callable[[Site, A, B], object], status: int = 202
) -> Respond:
    """Return what answers by leaving a request for the daemon, in a thread.

    Args:
        body: The type of the body; None: it has none, and is not looked at.
        act: Does it.
        status: Of the answer.
    """

    async def respond(request: Request, asked: A) -> Response:
        site = site_of(request)
        sent: Any = None if body is None else checked(await request.body(), body)
        return await to_thread.run_sync(lambda: json_response(act(site, asked, sent), status))

    return respond
