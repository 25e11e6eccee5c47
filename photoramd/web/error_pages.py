"""Errors as people read them, where a browser asks for a page; else as problem details."""

from __future__ import annotations

from typing import cast

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from photoramd.errors import PhotoramdError
from photoramd.web import problems
from photoramd.web.templating import page

_TITLES = {404: "There is nothing here", 405: "This cannot be done here"}


def wants_page(request: Request) -> bool:
    """Tell whether a person asks: a browser that shows the answer as a page."""
    return "text/html" in request.headers.get("Accept", "")


async def on_photoramd_error(request: Request, error: Exception) -> Response:
    """Answer a request that failed with an error of photoramd."""
    if not wants_page(request):
        return await problems.on_photoramd_error(request, error)
    problem = problems.problem_of(cast(PhotoramdError, error))
    return page(request, "error", problem.status, title=problem.title, detail=problem.detail)


async def on_http_error(request: Request, error: Exception) -> Response:
    """Answer a request that there is nothing for."""
    found = cast(HTTPException, error)
    if not wants_page(request):
        return await problems.on_http_error(request, error)
    title = _TITLES.get(found.status_code, found.detail)
    response = page(request, "error", found.status_code, title=title, detail=None)
    response.headers.update(found.headers or {})
    return response
