"""Logging in and out: the token is exchanged for a cookie that only the browser sees."""

from __future__ import annotations

import msgspec
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from photoramd.clock import monotonic
from photoramd.web.access import SESSION_SECONDS
from photoramd.web.gate import COOKIE, client_of, session_numbers, try_token
from photoramd.web.site import site_of


class Login(msgspec.Struct, forbid_unknown_fields=True):
    """What is sent to log in.

    Attributes:
        token: The token.
    """

    token: str


async def login(request: Request) -> Response:
    """Begin a session for whoever knows the token."""
    access = site_of(request).access
    if access is None:
        raise HTTPException(404, "no token is needed here")
    try:
        given = msgspec.json.decode(await request.body(), type=Login)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise HTTPException(400, 'what is sent must be {"token": "..."}') from error
    now = monotonic()
    refusal = try_token(access, given.token, client_of(request.scope), now)
    if refusal is not None:
        return refusal
    return _with_cookie(request, access.sessions.begin(now), int(SESSION_SECONDS))


async def logout(request: Request) -> Response:
    """End the sessions that a browser has."""
    access = site_of(request).access
    if access is not None:
        for number in session_numbers(Headers(scope=request.scope)):
            access.sessions.end(number)
    return _with_cookie(request, "", 0)


def _with_cookie(request: Request, number: str, seconds: int) -> Response:
    response = Response(status_code=204, headers={"Cache-Control": "no-store"})
    response.set_cookie(
        COOKIE,
        number,
        max_age=seconds,
        path=site_of(request).config.gallery.base_path or "/",
        secure=request.scope["scheme"] == "https",
        httponly=True,
        samesite="strict",
    )
    return response


ROUTES = [
    Route("/api/v1/login", login, methods=["POST"]),
    Route("/api/v1/logout", logout, methods=["POST"]),
]
