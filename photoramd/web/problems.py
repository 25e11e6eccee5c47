"""Errors as programs read them: problem details (RFC 9457)."""

from __future__ import annotations

from typing import Any, cast

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from photoramd.errors import PhotoramdError, StoreError, UsageError
from photoramd.web.readers import SlowQuestionError

MEDIA_TYPE = "application/problem+json"


class Problem(msgspec.Struct, omit_defaults=True):
    """What went wrong (RFC 9457).

    Attributes:
        title: What happened, in one sentence.
        status: The status of HTTP.
        detail: What can be done about it.
        position: Where in the query the error is, from 0.
    """

    title: str
    status: int
    detail: str | None = None
    position: int | None = None


def response(problem: Problem, headers: dict[str, str] | None = None) -> Response:
    """Return a problem as a response."""
    body = msgspec.json.encode(problem)
    return Response(body, problem.status, headers, media_type=MEDIA_TYPE)


def problem_of(error: PhotoramdError) -> Problem:
    """Return an error of photoramd as a problem. Paths stay out of it: its messages name them."""
    if isinstance(error, SlowQuestionError):
        status = 503
    elif isinstance(error, UsageError):
        status = 400
    elif isinstance(error, StoreError):
        status = 503
    else:
        status = 500
    found: Any = getattr(error, "position", None)
    position = None if found is None else found - 1
    return Problem(error.message, status, error.remedy, position)


async def on_photoramd_error(_: Request, error: Exception) -> Response:
    """Answer a request that failed with an error of photoramd."""
    return response(problem_of(cast(PhotoramdError, error)))


async def on_http_error(_: Request, error: Exception) -> Response:
    """Answer a request that there is nothing for."""
    found = cast(HTTPException, error)
    headers = dict(found.headers) if found.headers else None
    return response(Problem(found.detail, found.status_code), headers)
